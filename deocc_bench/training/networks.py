"""Which networks `train` can train, by name: the presets of the two-stage network, and the plain U-Net beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.models.config import PRESETS, QUICK, Preset, Recipe

if TYPE_CHECKING:
    from torch import nn

UNET = "unet"
# What --preset takes.
PRESET_NAMES = (*PRESETS, UNET)


class Trainable(Protocol):
    """A kind of network that can be trained."""

    @property
    def recipe(self) -> Recipe:
        """How it is trained unless told otherwise."""
        ...

    def build(self, stage: str, changes: Sequence[str], start: Path | None, seed: int) -> nn.Module:
        """The network of a stage, freshly initialised with `seed` or from the weights `start`.

        Args:
            changes: `KEY=VALUE` settings that differ from the preset.

        Raises:
            UsageError: an unknown setting, or a stage that it has not.
            InputError: `start` is of another configuration.
        """
        ...

    def size(self, net: Any) -> int:
        """Side in pixels that a network works at."""
        ...

    def settings(self, net: Any) -> dict[str, Any]:
        """What a run's record says of a network; JSON-able."""
        ...

    def save(self, net: Any, path: Path, training: dict[str, Any]) -> None:
        """Write a network's weights; `training` says how they came about."""
        ...

    def method(self, stage: str, weights: Path) -> Any:
        """The method that `evaluate` would run with these weights."""
        ...


def trainable(name: str) -> Trainable:
    """The networks of a preset, or the U-Net.

    Raises:
        UsageError: unknown name.
    """
    if name == UNET:
        return _UNet()
    if name not in PRESETS:
        raise UsageError(unknown("preset", name, PRESET_NAMES))
    return _TwoStage(PRESETS[name])


class _TwoStage:
    """One stage of a preset."""

    def __init__(self, preset: Preset) -> None:
        self.preset, self.recipe = preset, preset.recipe

    def build(self, stage: str, changes: Sequence[str], start: Path | None, seed: int) -> nn.Module:
        """See `Trainable.build`."""
        from deocc_bench.models.weights import build, load_weights

        config = _changed(getattr(self.preset, stage), changes)
        return load_weights(start, config)[0] if start else build(config, seed)

    def size(self, net: Any) -> int:
        """See `Trainable.size`."""
        return int(net.config.size)

    def settings(self, net: Any) -> dict[str, Any]:
        """See `Trainable.settings`."""
        return dataclasses.asdict(net.config)

    def save(self, net: Any, path: Path, training: dict[str, Any]) -> None:
        """See `Trainable.save`."""
        from deocc_bench.models.weights import save_weights

        save_weights(path, net, self.preset.name, training, half=True)

    def method(self, stage: str, weights: Path) -> Any:
        """The single-stage methods: a given file brings its own configuration."""
        from deocc_bench.models.two_stage import ContentBaseline, MaskBaseline

        return (MaskBaseline if stage == "mask" else ContentBaseline)(self.preset.name, weights)


class _UNet:
    """The plain U-Net, a baseline of stage 1."""

    recipe = QUICK

    def build(self, stage: str, changes: Sequence[str], start: Path | None, seed: int) -> nn.Module:
        """See `Trainable.build`."""
        import torch

        from deocc_bench.baselines.unet import UNet, load_unet

        if stage != "mask" or changes:
            raise UsageError("the plain U-Net completes masks and has no settings: train mask --preset unet")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return load_unet(start) if start else UNet()

    def size(self, net: Any) -> int:
        """See `Trainable.size`."""
        from deocc_bench.baselines.unet import SIZE

        return SIZE

    def settings(self, net: Any) -> dict[str, Any]:
        """See `Trainable.settings`."""
        return {"width": net.width}

    def save(self, net: Any, path: Path, training: dict[str, Any]) -> None:
        """See `Trainable.save`; the file holds no record."""
        from deocc_bench.baselines.unet import save_unet

        save_unet(net, path)

    def method(self, stage: str, weights: Path) -> Any:
        """See `Trainable.method`."""
        from deocc_bench.baselines.unet import UNetMethod

        return UNetMethod(weights)


def _changed(config: Any, pairs: Sequence[str]) -> Any:
    """A network's configuration with `KEY=VALUE` pairs laid over it."""
    known = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
    changes: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or key not in known:
            raise UsageError(unknown("network setting", key, known))
        changes[key] = _value(key, text, known[key])
    return dataclasses.replace(config, **changes)


def _value(key: str, text: str, old: Any) -> Any:
    try:
        if isinstance(old, bool):
            return {"true": True, "false": False}[text.lower()]
        if isinstance(old, str):
            return text
        return None if text == "none" else (int(text) if isinstance(old, int) else float(text))
    except (KeyError, ValueError):
        raise UsageError(f"--net {key}={text}: expected a value like {str(old).lower()}") from None
