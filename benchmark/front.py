"""`evaluate`, `score` and `compare` as functions, for the commands of these names and for `deocc_bench` in Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from deocc_bench.benchmark import compare as comparison
from deocc_bench.benchmark.jobs import Data, mask_specs, rescore_folder, run_method
from deocc_bench.benchmark.options import ALL_CONVENTIONS, SEED, RunOptions, ScoreOptions
from deocc_bench.core.errors import UsageError
from deocc_bench.core.results import RESULT_FILE, RunResult, run_folder

_RUN = RunOptions()


def evaluate(
    method: Any,
    data: Data,
    task: str,
    out: str | Path | None = None,
    *,
    split: str = _RUN.split,
    limit: int | None = _RUN.limit,
    workers: int = _RUN.workers,
    seed: int | None = _RUN.seed,
    initial_mask: str | None = _RUN.initial_mask,
    convention: str = _RUN.convention,
    fid_extractor: str | Path | None = _RUN.fid_extractor,
    fid: bool = _RUN.fid,
    lpips: str | Path | None = _RUN.lpips,
    device: str = _RUN.device,
    resamples: int = _RUN.resamples,
    batch_size: int = _RUN.batch_size,
    resume: bool = _RUN.resume,
    timeout: float | None = _RUN.timeout,
    options: Mapping[str, Any] | None = None,
    fit_split: str | None = _RUN.fit_split,
    fit_data: str | Path | None = _RUN.fit_data,
) -> RunResult:
    """Run a method on a split and score it, as `deocc-bench evaluate` does.

    Args:
        method: an object with `complete(batch)`, `recover(batch)` or both, its class, or a spec as on the command line
            ("two-stage:tiny", "file.py:Class", "predictions:DIR").
        data: a dataset folder, or samples of `load_dataset`, which have their own split.
        task: "mask", "content" or "joint".
        out: folder of the run: `result.json`, `samples.csv`, `predictions/`; None: only the record is returned.
        split, limit, workers, seed, initial_mask, convention, fid_extractor, fid, lpips, device, resamples: see
            `deocc_bench.benchmark.options.ScoreOptions`.
        batch_size, resume, timeout, options, fit_split, fit_data: see `deocc_bench.benchmark.options.RunOptions`.

    Returns:
        The record; for a random method, the record of the mean over its draws.

    Raises:
        UsageError: the options contradict each other or the method.
        DeoccError: the dataset lacks inputs of the task, or the method fails.
    """
    settings = RunOptions(
        split=split,
        limit=limit,
        workers=workers,
        seed=seed,
        initial_mask=initial_mask,
        convention=convention,
        fid_extractor=fid_extractor,
        fid=fid,
        lpips=lpips,
        device=device,
        resamples=resamples,
        batch_size=batch_size,
        resume=resume,
        timeout=timeout,
        options=options or {},
        fit_split=fit_split,
        fit_data=fit_data,
    )
    if len(mask_specs(settings)) > 1:
        raise UsageError("evaluate takes only one initial mask; call it once per mask")
    with _folder(out) as folder:
        return _kept(run_method(method, data, task, folder, settings).results[0], out)


def score(
    predictions: str | Path | RunResult,
    data: Data,
    task: str | None = None,
    out: str | Path | None = None,
    *,
    split: str = _RUN.split,
    limit: int | None = _RUN.limit,
    workers: int = _RUN.workers,
    seed: int | None = _RUN.seed,
    initial_mask: str | None = _RUN.initial_mask,
    convention: str = _RUN.convention,
    fid_extractor: str | Path | None = _RUN.fid_extractor,
    fid: bool = _RUN.fid,
    lpips: str | Path | None = _RUN.lpips,
    device: str = _RUN.device,
    resamples: int = _RUN.resamples,
) -> RunResult:
    """Score a prediction folder, as `deocc-bench score` does.

    Args:
        predictions: a prediction folder, the folder of a run, or a record that `evaluate` wrote to a folder.
        data: a dataset folder, or samples of `load_dataset`, which have their own split.
        task: "mask", "content" or "joint"; None: the task that `evaluate` stored with the predictions.
        out: folder of the new record; None: nothing is written.
        split, limit, workers, seed, initial_mask, convention, fid_extractor, fid, lpips, device, resamples: see
            `deocc_bench.benchmark.options.ScoreOptions`.

    Returns:
        The record; for a random method, the record of the mean over its draws.

    Raises:
        UsageError: no such folder, or the task is unknown.
        DeoccError: the predictions can't be scored; the message has the reason.
    """
    settings = ScoreOptions(
        split=split,
        limit=limit,
        workers=workers,
        seed=seed,
        initial_mask=initial_mask,
        convention=convention,
        fid_extractor=fid_extractor,
        fid=fid,
        lpips=lpips,
        device=device,
        resamples=resamples,
    )
    if convention == ALL_CONVENTIONS:
        raise UsageError("score takes only one convention; score_conventions returns the table of all")
    with _folder(out) as folder:
        return _kept(rescore_folder(run_folder(predictions), data, task, folder, settings)[0], out)


def compare(
    first: str | Path | RunResult,
    second: str | Path | RunResult,
    metrics: Iterable[str] | None = None,
    *,
    seed: int = SEED,
) -> dict[str, Any]:
    """Compare two runs on the same samples, as `deocc-bench compare` does.

    Args:
        first, second: folders of runs, or records that `evaluate` wrote to a folder.
        metrics: ids to compare; None: all except metrics of single body parts and of the input.
        seed: seed of the resampling.

    Returns:
        `first`, `second` (names), `task`, `n`, `notes`, and `metrics`: id -> `first`, `second`, `difference`, `ci95`,
        `p`, `p_holm`, `better`.

    Raises:
        UsageError: an unknown metric, or a record that was not written to a folder.
        DeoccError: the runs have different samples or tasks, or were changed after the run.
    """
    return comparison.compare_runs(run_folder(first), run_folder(second), metrics, seed)


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """The run's folder; a temporary one if `out` is None."""
    if out is not None:
        yield Path(out)
        return
    with TemporaryDirectory() as scratch:
        yield Path(scratch)


def _kept(result: RunResult, out: str | Path | None) -> RunResult:
    """The record with the path of its file; no path if `out` is None."""
    return replace(result, path=None if out is None else Path(out) / RESULT_FILE)
