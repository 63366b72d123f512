"""The networks that `train` can train, by name: the presets of the two-stage network, and the plain U-Net."""

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
# The values of --preset.
PRESET_NAMES = (*PRESETS, UNET)


class Trainable(Protocol):
    """A kind of network that can be trained."""

    @property
    def recipe(self) -> Recipe:
        """The default training settings."""
        ...

    def build(self, stage: str, changes: Sequence[str], start: Path | None, seed: int) -> nn.Module:
        """Build the network of a stage, initialised with `seed` or with the weights in `start`.

        Args:
            stage: "mask" or "content".
            changes: `KEY=VALUE` settings that differ from the preset.
            start: weights file, or None.
            seed: seed of the random initialisation.

        Raises:
            UsageError: an unknown setting, or a stage that this kind of network does not have.
            InputError: `start` has a different configuration.
        """
        ...

    def size(self, net: Any) -> int:
        """Side of a network's input in pixels."""
        ...

    def settings(self, net: Any) -> dict[str, Any]:
        """The description of a network in the training record; JSON-able."""
        ...

    def save(self, net: Any, path: Path, training: dict[str, Any]) -> None:
        """Write a network's weights together with the record `training`."""
        ...

    def method(self, stage: str, weights: Path) -> Any:
        """The method that `evaluate` runs with these weights."""
        ...


def trainable(name: str) -> Trainable:
    """Return the networks of a preset, or the U-Net.

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
        """See `Trainable.method`. These methods run a single stage and read the configuration from the weights."""
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
            raise UsageError("the plain U-Net only completes masks and has no settings; use train mask --preset unet")
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
        """See `Trainable.save`. The file contains no record."""
        from deocc_bench.baselines.unet import save_unet

        save_unet(net, path)

    def method(self, stage: str, weights: Path) -> Any:
        """See `Trainable.method`."""
        from deocc_bench.baselines.unet import UNetMethod

        return UNetMethod(weights)


def _changed(config: Any, pairs: Sequence[str]) -> Any:
    """Override a network's configuration by `KEY=VALUE` pairs."""
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
