"""The options of `train` and `ablate` that are not training settings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from deocc_bench.training.networks import Trainable, trainable


@dataclass(frozen=True)
class TrainingRequest:
    """The options of `train` and `ablate` that are not training settings.

    Args:
        stage: "mask" or "content".
        preset: one of `deocc_bench.training.networks.PRESET_NAMES`.
        data: dataset folder to train on; None to make samples on the fly from `humans` and `occluders`.
        split: split of the dataset or of the photos.
        humans, occluders: sources of samples made on the fly, as in `synth`.
        holdout, ratio, per_sample, initial, allow_bags, synth_seed, placement: same as for `synth`.
        val, val_split: dataset folder to validate on, and its split.
        val_limit: number of validation samples; None for all.
        templates: file of template masks.
        start: initial weights.
        net: network settings that differ from the preset.
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
        """The networks of `preset`.

        Raises:
            UsageError: unknown preset.
        """
        return trainable(self.preset)
