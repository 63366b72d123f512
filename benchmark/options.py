"""The options of runs and scoring. All defaults of `evaluate` and `score` are defined here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deocc_bench.core.statistics import RESAMPLES

SEED = 0
FIT_SPLIT = "train"
# Used instead of a convention's name for the table of all conventions.
ALL_CONVENTIONS = "all"


@dataclass(frozen=True)
class ScoreOptions:
    """Options of the scoring.

    Args:
        split: the split to score.
        limit: maximum number of samples, the first ones; None: all.
        workers: number of threads.
        seed: seed of random methods, masks and intervals; None: the seed stored with the predictions, else 0.
        initial_mask: `SPEC` of the initial masks; None: the one stored with the predictions, else the dataset's masks.
        convention: adds the metrics of another paper.
        fid_extractor: TorchScript file of the FID feature network; fid: download and use the feature network.
        lpips: TorchScript file of an LPIPS network.
        device: device of the networks: "auto", "cpu", "cuda" or "cuda:N".
        resamples: number of bootstrap resamples.
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
    """Options of a run and its scoring, in addition to those of `ScoreOptions`.

    Args:
        batch_size: number of samples per call.
        resume: continue the run in the output folder.
        timeout: maximum seconds per batch; None: no limit.
        options: keyword arguments of the method's constructor.
        fit_split, fit_data: training split and dataset of methods that learn; None: "train" and the evaluated dataset.
    """

    batch_size: int = 8
    resume: bool = False
    timeout: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    fit_split: str | None = None
    fit_data: str | Path | None = None
