"""What a run and its scoring are asked for. The one owner of the defaults of `evaluate` and `score`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deocc_bench.core.statistics import RESAMPLES

SEED = 0
FIT_SPLIT = "train"
# In place of a convention's name: the table of all of them.
ALL_CONVENTIONS = "all"


@dataclass(frozen=True)
class ScoreOptions:
    """How predictions are scored.

    Args:
        split: the split to score.
        limit: only the first so many samples; None: all.
        workers: threads.
        seed: of random methods, masks and intervals; None: as noted beside the predictions, else 0.
        initial_mask: `SPEC` of the initial masks; None: as noted beside the predictions, else the dataset's.
        convention: adds another paper's scores.
        fid_extractor: TorchScript file of the features of FID; fid: fetch and use the feature network.
        lpips: TorchScript file of an LPIPS network.
        device: of the networks: "auto", "cpu", "cuda" or "cuda:N".
        resamples: of the bootstrap.
    """

    split: str = "test"
    limit: int | None = None
    workers: int = 1
    seed: int | None = None
    initial_mask: str | None = None
    convention: str = "deocc-bench"
    fid_extractor: str | Path | None = None
    fid: bool = True
    lpips: str | Path | None = None
    device: str = "auto"
    resamples: int = RESAMPLES


@dataclass(frozen=True)
class RunOptions(ScoreOptions):
    """How a method is run and scored; beside the fields of `ScoreOptions`:

    Args:
        batch_size: samples of one call.
        resume: go on with the run in the output folder.
        timeout: seconds that one batch may take; None: no limit.
        options: keyword arguments of the method's constructor.
        fit_split, fit_data: split ("train" where None) and dataset (the evaluated one) for methods that learn.
    """

    batch_size: int = 8
    resume: bool = False
    timeout: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fit_split: str | None = None
    fit_data: str | Path | None = None
