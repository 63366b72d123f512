"""What `train` and `ablate` are asked for, and the network that stands for it: fresh, or from stored weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.models.training.ablate import UNET

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class TrainingRequest:
    """What the options of `train` and `ablate` ask for, beside the training settings.

    Args:
        stage: "mask" or "content"; preset: of the networks, or "unet".
        data, split: a dataset folder to learn from; else humans, occluders and the following make samples on the fly.
        holdout, ratio, per_sample, initial, allow_bags, synth_seed, placement: as for `synth`.
        val, val_split: a dataset folder to validate on; templates: a file of template masks.
        start: weights to begin with.
        net: settings of the network that differ from the preset.
    """

    stage: str
    preset: str
    data: Path | None
    split: str
    humans: tuple[str, ...]
    occluders: tuple[str, ...]
    holdout: int
    ratio: str
    per_sample: str
    initial: str
    allow_bags: bool
    synth_seed: int
    placement: str
    val: Path | None
    val_split: str
    val_limit: int | None
    templates: Path | None
    start: Path | None
    net: tuple[str, ...]


def build_net(request: TrainingRequest, seed: int) -> nn.Module:
    """The network of a request, freshly initialised or from `start`.

    Raises:
        UsageError: unknown preset or setting.
        InputError: `start` is of another configuration.
    """
    import torch

    from deocc_bench.models.config import PRESETS, preset
    from deocc_bench.models.weights import build, load_weights

    if request.preset == UNET:
        from deocc_bench.baselines.unet import UNet, load_unet

        if request.stage != "mask" or request.net:
            raise UsageError("the plain U-Net completes masks and has no settings: train mask --preset unet")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return load_unet(request.start) if request.start else UNet()
    if request.preset not in PRESETS:
        raise UsageError(unknown("preset", request.preset, (*PRESETS, UNET)))
    config: Any = getattr(preset(request.preset), request.stage)
    known = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changes: dict[str, Any] = {}
    for pair in request.net:
        key, equals, text = pair.partition("=")
        if not equals or key not in known:
            raise UsageError(unknown("network setting", key, known))
        changes[key] = _setting(key, text, known[key])
    config = dataclasses.replace(config, **changes)
    return load_weights(request.start, config)[0] if request.start else build(config, seed)


def _setting(key: str, text: str, old: Any) -> Any:
    try:
        if isinstance(old, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(old, str):
            return text
        return None if text == "none" else (int(text) if isinstance(old, int) else float(text))
    except (KeyError, ValueError):
        raise UsageError(f"--net {key}={text}: expected a value like {str(old).lower()}") from None


def train_size(request: TrainingRequest, net: Any) -> int:
    """Side in pixels that a network works at."""
    if request.preset == UNET:
        from deocc_bench.baselines.unet import SIZE

        return SIZE
    return int(net.config.size)


def saver(preset_name: str) -> Callable[[Any, Path, dict[str, Any]], None]:
    """How networks of a preset are written: (network, path, how the weights came about)."""

    def save(net: Any, path: Path, training: dict[str, Any]) -> None:
        if preset_name == UNET:
            from deocc_bench.baselines.unet import save_unet

            save_unet(net, path)
            return
        from deocc_bench.models.weights import save_weights

        save_weights(path, net, preset_name, training, half=True)

    return save
