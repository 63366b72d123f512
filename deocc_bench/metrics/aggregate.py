"""Numbers from per-sample tables: metrics with their intervals, comparisons of two tables, ranks of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from deocc_bench.core import statistics as stats
from deocc_bench.core.errors import DeoccError
from deocc_bench.metrics.spec import MetricSpec, get_spec, specs_for
from deocc_bench.metrics.terms import Terms


class MetricValue(TypedDict, total=False):
    """A metric's value and its context. `value` and `ci95` are None where undefined; `reason` may explain why."""

    value: float | None
    ci95: list[float] | None
    n: int
    n_defined: int
    unit: str
    higher_is_better: bool
    definition: str
    reason: str


def aggregate(
    table: pd.DataFrame,
    task: str,
    seed: int = 0,
    resamples: int = stats.RESAMPLES,
    metrics: Iterable[str] | None = None,
) -> dict[str, MetricValue]:
    """Compute every metric of `task` that is a function of the table, with its cluster-bootstrap interval.

    Args:
        table: one row per sample, from `table.to_table` or `read_table`; the row order does not matter.
        task: "mask", "content" or "joint".
        seed: seed of the bootstrap.
        resamples: number of bootstrap resamples; 0 omits the intervals.
        metrics: ids to compute; None: all.

    Returns:
        Metric id -> value. A metric whose columns are missing has value None and `n_defined` 0.
    """
    chosen = specs_for(task, table) if metrics is None else {m: _table_spec(m) for m in metrics}
    return summarise(table, chosen, seed, resamples)


def summarise(
    table: pd.DataFrame, specs: Mapping[str, MetricSpec], seed: int = 0, resamples: int = stats.RESAMPLES
) -> dict[str, MetricValue]:
    """Same as `aggregate`, for any specs with terms; they share one bootstrap."""
    table = table.sort_values("id", kind="stable", ignore_index=True)
    terms = {name: sample_terms(spec, table) for name, spec in specs.items() if spec.terms is not None}
    if not terms:
        return {}
    intervals = _intervals(terms, table["group"].to_numpy(dtype=str), seed, resamples)
    return {
        name: _value(specs[name], _point(num, den), intervals[name], len(table), int((den > 0).any(axis=1).sum()))
        for name, (num, den) in terms.items()
    }


def per_sample(metrics: Mapping[str, MetricValue], draws: int) -> dict[str, MetricValue]:
    """Convert `n` and `n_defined` from rows to samples, for a table with `draws` rows per sample."""
    if draws == 1:
        return dict(metrics)
    return {name: {**m, "n": m["n"] // draws, "n_defined": -(-m["n_defined"] // draws)} for name, m in metrics.items()}


def unavailable(metric_id: str, n: int, reason: str) -> MetricValue:
    """The entry of a metric that could not be computed: value None, with the reason."""
    return {**_value(get_spec(metric_id), None, None, n, 0), "reason": reason}


def distance_value(metric_id: str, value: float, n: int) -> MetricValue:
    """The entry of a distance between distributions, which is not a function of the table and has no interval."""
    return _value(get_spec(metric_id), value, None, n, n)


def sample_terms(spec: MetricSpec, table: pd.DataFrame) -> Terms:
    """Numerators and denominators of a metric with terms, float64 (N, K) each, in the table's row order."""
    assert spec.terms is not None
    num, den = (np.asarray(side, dtype=np.float64) for side in spec.terms(table))
    return (num[:, None], den[:, None]) if num.ndim == 1 else (num, den)


def compare(
    first: pd.DataFrame,
    second: pd.DataFrame,
    task: str,
    metrics: Iterable[str] | None = None,
    *,
    seed: int = 0,
    resamples: int = stats.RESAMPLES,
    permutations: int = stats.PERMUTATIONS,
) -> dict[str, dict[str, Any]]:
    """Compare two methods on the same samples, metric by metric, paired by sample id.

    Returns:
        Metric id -> `first`, `second` (values), `difference` (first - second), its `ci95`, `p` (permutation test over
        clusters), `p_holm` (Holm-corrected over the metrics compared), `clusters`, `exact`, and `better` ("first" or
        "second" at p_holm <= 0.05, else None). Metrics that are undefined for both methods are omitted.

    Raises:
        DeoccError: the tables contain different samples or groups.
    """
    first, second = _paired_tables(first, second)
    ids = list(metrics) if metrics is not None else list(specs_for(task, first))
    groups = first["group"].to_numpy(dtype=str)
    rows: dict[str, dict[str, Any]] = {}
    for name in ids:
        spec = _table_spec(name)
        one, two = sample_terms(spec, first), sample_terms(spec, second)
        a, b = _point(*one), _point(*two)
        if a is None and b is None:
            continue
        result = stats.paired(*one, *two, groups, resamples=resamples, permutations=permutations, seed=seed)
        rows[name] = {
            "first": a,
            "second": b,
            "difference": None if np.isnan(result.difference) else result.difference,
            "ci95": None if result.ci95 is None else list(result.ci95),
            "p": result.p,
            "clusters": result.clusters,
            "exact": result.exact,
        }
    for row, p, name in zip(rows.values(), stats.holm([r["p"] for r in rows.values()]), rows, strict=True):
        row["p_holm"] = p
        row["better"] = _better(row["difference"], p, get_spec(name).higher_is_better)
    return rows


def rank(
    tables: Mapping[str, pd.DataFrame],
    metric: str,
    alpha: float = 0.05,
    seed: int = 0,
    permutations: int = stats.PERMUTATIONS,
) -> dict[str, stats.Rank]:
    """Rank methods by one metric, with ties; all pairs are tested on the same samples and Holm-corrected.

    Args:
        tables: method -> per-sample table; all tables contain the same samples.
    """
    spec = _table_spec(metric)
    p_values: dict[tuple[str, str], float | None] = {}
    for a, b in combinations(tables, 2):
        one, two = _paired_tables(tables[a], tables[b])
        groups = one["group"].to_numpy(dtype=str)
        p_values[a, b] = stats.paired(
            *sample_terms(spec, one),
            *sample_terms(spec, two),
            groups,
            resamples=1,
            permutations=permutations,
            seed=seed,
        ).p
    adjusted = dict(zip(p_values, stats.holm(list(p_values.values())), strict=True))
    values = {name: _point(*sample_terms(spec, t.sort_values("id"))) for name, t in tables.items()}
    return stats.rank_with_ties(values, adjusted, spec.higher_is_better, alpha)


def _intervals(
    terms: Mapping[str, Terms], groups: np.ndarray, seed: int, resamples: int
) -> dict[str, list[float] | None]:
    if resamples < 1 or len(set(groups.tolist())) < 2:
        return dict.fromkeys(terms)
    num = np.concatenate([n for n, _ in terms.values()], axis=1)
    den = np.concatenate([d for _, d in terms.values()], axis=1)
    widths = [n.shape[1] for n, _ in terms.values()]
    draws = stats.bootstrap(num, den, groups, widths, resamples=resamples, seed=seed)
    found = {name: stats.interval(draws[:, i]) for i, name in enumerate(terms)}
    return {name: None if ends is None else list(ends) for name, ends in found.items()}


def _point(num: np.ndarray, den: np.ndarray) -> float | None:
    if len(num) == 0:
        return None
    value = float(stats.statistic(num.sum(axis=0), den.sum(axis=0)))
    return None if np.isnan(value) else value


def _value(spec: MetricSpec, value: float | None, ci95: list[float] | None, n: int, n_defined: int) -> MetricValue:
    return {
        "value": value,
        "ci95": ci95,
        "n": n,
        "n_defined": n_defined,
        "unit": spec.unit,
        "higher_is_better": spec.higher_is_better,
        "definition": spec.definition,
    }


def _better(difference: float | None, p: float | None, higher_is_better: bool) -> str | None:
    if difference is None or p is None or p > 0.05 or difference == 0:
        return None
    return "first" if (difference > 0) == higher_is_better else "second"


def _table_spec(metric_id: str) -> MetricSpec:
    spec = get_spec(metric_id)
    if spec.terms is None:
        raise DeoccError(f"{metric_id} is a distance between distributions and has no per-sample values; leave it out")
    return spec


def _paired_tables(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    first, second = (t.sort_values("id", kind="stable", ignore_index=True) for t in (first, second))
    one, two = set(first["id"]), set(second["id"])
    if one != two:
        odd = sorted(one ^ two)
        raise DeoccError(
            f"the two runs contain different samples ({len(odd)} in one run only, e.g. '{odd[0]}'); "
            "compare runs with the same split and limit"
        )
    if list(first["group"]) != list(second["group"]):
        raise DeoccError("the two runs assign their samples to different groups; compare runs of one dataset")
    return first, second
