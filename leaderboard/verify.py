"""Whether a record still says what the run found: against its own digests, its table, its dataset, its predictions."""

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

# The table is exact and sums are taken in one order; what is left is the last bits of another BLAS or numpy.
TOLERANCE = 1e-9
# A network's features differ between devices and their reduced precisions, and so do distances of them.
NETWORK_TOLERANCE = 1e-2
# The benchmark scores, and the two rooms talk through files: its one function that is called is named here.
_RESCORE = "deocc_bench.benchmark.verify:rescore_run"

# (folder of the run, dataset that it was scored on) -> the new numbers; raises DeoccError where it can't.
Rescore = Callable[[Path, DatasetReader], Rescored]


def load_rescore() -> Rescore:
    """The benchmark's scoring of a run's predictions.

    Raises:
        DeoccError: this installation has none.
    """
    try:
        rescore: Rescore = load_object(_RESCORE)
    except (ImportError, AttributeError) as error:
        raise DeoccError(f"--verify needs the scoring code ({error}); install deocc-bench whole") from error
    return rescore


def check_table(run: Run) -> Run:
    """Compare the record's metrics with what its own `samples.csv` gives; a contradiction is added to the findings.

    It finds a number that was edited even where the digests were written anew.
    """
    if run.samples is None:
        return run
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
    return replace(run, findings=(*run.findings, f"samples.csv gives other numbers: {join(odd, 3)}"))


def check_dataset(run: Run, datasets: Sequence[DatasetReader]) -> Run:
    """Mark a run whose dataset is at hand with another content than the run was scored on."""
    data = run.record.dataset
    same_name = [d for d in datasets if clean(d.name) == clean(data["name"])]
    if not same_name or any(d.fingerprint == data["fingerprint"] for d in datasets):
        return run
    text = f"the dataset was changed since: it now has fingerprint {same_name[0].fingerprint[:12]}"
    return replace(run, findings=(*run.findings, text))


def find_dataset(run: Run, datasets: Iterable[DatasetReader]) -> DatasetReader | None:
    """The dataset that the run was scored on, by fingerprint."""
    return next((d for d in datasets if d.fingerprint == run.record.dataset["fingerprint"]), None)


def check_predictions(run: Run, datasets: Sequence[DatasetReader], rescore: Rescore) -> Run:
    """Score the run's predictions anew and compare every number and their digest.

    A run that can't be scored anew is not flagged: `verified` says why not.
    """
    dataset = find_dataset(run, datasets)
    if dataset is None:
        return replace(run, verified="not verified: its dataset was not given (--data)")
    if run.record.row == BEST_OF_K:
        return replace(run, verified="not verified: the best draws were chosen, they are no prediction folder")
    if not (run.folder / PREDICTIONS_FOLDER).is_dir():
        return replace(run, verified="not verified: the run holds no predictions")
    try:
        scored = rescore(run.folder, dataset)
    except DeoccError as error:
        return replace(run, findings=(*run.findings, f"can't be scored anew: {error}"), verified="failed")
    findings = []
    digest = run.record.predictions_digest
    if None not in (digest, scored.predictions_digest) and digest != scored.predictions_digest:
        findings.append("the predictions are not those that were scored (their digest does not match)")
    odd, compared = _differences(run, scored.metrics)
    if odd:
        findings.append(f"scoring the predictions anew gives other numbers: {join(odd, 3)}")
    total = sum(metric["value"] is not None for metric in run.record.metrics.values())
    verified = "failed" if findings else f"verified: {compared} of {total} numbers scored anew"
    return replace(run, findings=(*run.findings, *findings), verified=verified)


def _differences(run: Run, scored: Mapping[str, Mapping[str, Any]]) -> tuple[list[str], int]:
    odd, compared = [], 0
    for name, metric in run.record.metrics.items():
        # A metric of a network that is not at hand now can't be compared, and says so by its reason.
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
    """Whether two intervals agree, or the scoring has none: an older record does not say how it made its own."""
    if recorded is None or computed is None:
        return computed is None
    return all(_same(a, b, near) for a, b in zip(recorded, computed, strict=True))


def _number(value: float | None) -> str:
    return "null" if value is None or math.isnan(value) else f"{value:.6g}"
