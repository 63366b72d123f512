"""Verify a record against its own digests, its table, its dataset and its predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError
from deocc_bench.core.registry import load_object
from deocc_bench.core.results import BEST_OF_K, PREDICTIONS_FOLDER, Rescored
from deocc_bench.core.statistics import statistic
from deocc_bench.leaderboard.records import Run
from deocc_bench.leaderboard.text import clean, join

# The table is exact and the order of sums is fixed; only the last bits may differ, with another BLAS or numpy.
TOLERANCE = 1e-9
# Network features, and therefore their distances, differ between devices and their reduced precisions.
NETWORK_TOLERANCE = 1e-2
# Scoring belongs to the benchmark, and the two packages communicate through files; this names its only called function.
_RESCORE = "deocc_bench.benchmark.verify:rescore_run"

# (folder of the run, dataset of the run) -> the new numbers; raises DeoccError if it can't be scored.
Rescore = Callable[[Path, DatasetReader], Rescored]


def load_rescore() -> Rescore:
    """Import the benchmark's function that scores a run's predictions.

    Raises:
        DeoccError: this installation lacks it.
    """
    try:
        rescore: Rescore = load_object(_RESCORE)
    except (ImportError, AttributeError) as error:
        raise DeoccError(f"--verify needs the scoring code ({error}); reinstall deocc-bench") from error
    return rescore


def check_table(run: Run) -> Run:
    """Compare the record's metrics with those of its own `samples.csv`; differences are added to the findings.

    This detects an edited number even if the digests were recomputed.
    """
    if run.samples is None:
        return run
    if len(run.samples) != run.record.rows:
        text = f"samples.csv has {len(run.samples)} rows, not {run.record.rows} as the record says"
        return replace(run, findings=(*run.findings, text))
    odd = []
    for name, metric in run.record.metrics.items():
        terms = run.terms(run.spec(name))
        if terms is None:
            continue
        computed = float(statistic(terms[0].sum(axis=0), terms[1].sum(axis=0))) if len(terms[0]) else math.nan
        if not _same(metric["value"], None if math.isnan(computed) else computed):
            odd.append(f"{clean(name)} ({_number(metric['value'])}, not {_number(computed)})")
    if not odd:
        return run
    return replace(run, findings=(*run.findings, f"samples.csv gives different numbers: {join(odd, 3)}"))


def check_dataset(run: Run, datasets: Sequence[DatasetReader]) -> Run:
    """Add a finding if the run's dataset was changed after the run."""
    data = run.record.dataset
    same_name = [d for d in datasets if clean(d.name) == clean(data["name"])]
    if not same_name or any(d.fingerprint == data["fingerprint"] for d in datasets):
        return run
    text = f"the dataset was changed after the run: its fingerprint is now {same_name[0].fingerprint[:12]}"
    return replace(run, findings=(*run.findings, text))


def find_dataset(run: Run, datasets: Iterable[DatasetReader]) -> DatasetReader | None:
    """Find the dataset of the run by its fingerprint."""
    return next((d for d in datasets if d.fingerprint == run.record.dataset["fingerprint"]), None)


def check_predictions(run: Run, datasets: Sequence[DatasetReader], rescore: Rescore) -> Run:
    """Score the run's predictions again and compare every number and the digest of the predictions.

    A run without a dataset or predictions is not flagged; `verified` has the reason.
    """
    dataset = find_dataset(run, datasets)
    if dataset is None:
        return replace(run, verified="not verified: its dataset was not provided (--data)")
    if run.record.row == BEST_OF_K:
        return replace(run, verified="not verified: a best-of-k row has no prediction folder")
    if not (run.folder / PREDICTIONS_FOLDER).is_dir():
        return replace(run, verified="not verified: the run has no predictions")
    try:
        scored = rescore(run.folder, dataset)
    except DeoccError as error:
        return replace(run, findings=(*run.findings, f"can't be scored again: {error}"), verified="failed")
    findings = []
    digest = run.record.predictions_digest
    if None not in (digest, scored.predictions_digest) and digest != scored.predictions_digest:
        findings.append("the predictions were changed after scoring (their digest does not match)")
    odd, compared = _differences(run, scored.metrics)
    if odd:
        findings.append(f"scoring the predictions again gives different numbers: {join(odd, 3)}")
    total = sum(metric["value"] is not None for metric in run.record.metrics.values())
    verified = "failed" if findings else f"verified: {compared} of {total} numbers reproduced"
    return replace(run, findings=(*run.findings, *findings), verified=verified)


def _differences(run: Run, scored: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], int]:
    odd, compared = [], 0
    for name, metric in run.record.metrics.items():
        # A metric whose network is not available now can't be compared; its entry has a reason.
        if name not in scored or (scored[name]["value"] is None and scored[name].get("reason")):
            continue
        compared += metric["value"] is not None
        near = TOLERANCE if run.spec(name).network is None else NETWORK_TOLERANCE
        if not _same(metric["value"], scored[name]["value"], near):
            odd.append(f"{clean(name)} ({_number(metric['value'])}, not {_number(scored[name]['value'])})")
        elif not _same_interval(metric["ci95"], scored[name].get("ci95"), near):
            odd.append(f"the interval of {clean(name)}")
    return odd, compared


def _same(recorded: float | None, computed: float | None, near: float = TOLERANCE) -> bool:
    if recorded is None or computed is None:
        return recorded is computed
    return math.isclose(recorded, computed, rel_tol=near, abs_tol=TOLERANCE)


def _same_interval(recorded: Sequence[float] | None, computed: Sequence[float] | None, near: float) -> bool:
    """Whether two intervals agree, or the new scoring has none, because an older record lacks the settings."""
    if recorded is None or computed is None:
        return computed is None
    return all(_same(a, b, near) for a, b in zip(recorded, computed, strict=True))


def _number(value: float | None) -> str:
    return "null" if value is None or math.isnan(value) else f"{value:.6g}"
