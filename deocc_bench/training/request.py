"""What `train` and `ablate` are asked for, beside the training settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deocc_bench.training.networks import Trainable, trainable


@dataclass(frozen=True)
class TrainingRequest:
    """What the options of `train` and `ablate` ask for.

    Args:
        stage: "mask" or "content".
        preset: one of `deocc_bench.training.networks.PRESET_NAMES`.
        data, split: a dataset folder to learn from; else humans, occluders and the following make samples on the fly.
        holdout, ratio, per_sample, initial, allow_bags, synth_seed, placement: as for `synth`.
        val, val_split, val_limit: a dataset folder to validate on, and how many of its samples (None: all).
        templates: a file of template masks.
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

    @property
    def network(self) -> Trainable:
        """What `preset` names.

        Raises:
            UsageError: unknown preset.
        """
        return trainable(self.preset)
