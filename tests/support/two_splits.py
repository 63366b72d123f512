"""A dataset of two splits with four samples each, for tests of exports."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.dataset_writer import finish, write_sample
from deocc_bench.core.types import PlacedOccluder, Sample

SIDE = 48


def sample(split: str, number: int) -> Sample:
    """A person with a hole; every third one is not occluded."""
    generator = np.random.default_rng(number)
    amodal = np.zeros((SIDE, SIDE), bool)
    amodal[6:42, 14:32] = True
    amodal[20:24, 20:24] = False  # a hole: no polygon can say this
    amodal[generator.integers(0, SIDE, 20), generator.integers(0, SIDE, 20)] = True
    cover = np.zeros_like(amodal)
    if number % 3:
        cover[10 + number : 26 + number, 20:45] = True
    complete = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    parsing = np.where(amodal, 5, 0).astype(np.uint8)
    occluded = np.where(cover[..., None], np.uint8(128), complete)
    modal = amodal & ~cover
    placed = (PlacedOccluder("chair.1", "chair", 1, cover, "CC0"),) if cover.any() else ()
    return Sample(
        f"s{number}",
        split,
        f"g{number}",
        f"h{number}",
        number,
        occluded,
        complete,
        amodal,
        modal,
        modal,
        parsing,
        placed,
    )


def build(root: Path, name: str = "toy set", licence: str = "CC BY 4.0") -> DatasetReader:
    lines = {
        split: [write_sample(root, sample(split, k), licence=licence) for k in range(first, first + 4)]
        for split, first in (("test", 0), ("train", 4))
    }
    finish(root, name, {k: (lambda k=k: lines[k]) for k in lines}, {})
    return DatasetReader(root)
