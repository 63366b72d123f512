"""Cluster-bootstrap intervals, paired tests and ranks. Variants of one human are not independent and form a cluster.

Every statistic is a *mean of ratios of sums*: sample i has a numerator and a denominator in each of K columns. The
statistic is the mean of sum(numerators) / sum(denominators) over the columns with a non-zero denominator. A plain mean
has denominator 1 (0 if the value is undefined); a pooled metric has its own denominator. Needs only numpy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from deocc_bench.core.seeding import rng

RESAMPLES = 1000
PERMUTATIONS = 10_000
# With up to this many clusters, all 2^G sign patterns are enumerated and the p-value is exact.
EXACT_CLUSTERS = 13
LEVEL = 0.95
_CHUNK = 250


@dataclass(frozen=True)
class Paired:
    """A paired comparison: `difference` = A - B, its percentile interval, two-sided p-value and number of clusters."""

    difference: float
    ci95: tuple[float, float] | None
    p: float | None
    clusters: int
    exact: bool


@dataclass(frozen=True)
class Rank:
    """A method's rank: 1 + the number of significantly better methods; `tied`: methods not significantly different."""

    rank: int
    tied: tuple[str, ...]


def statistic(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """The statistic (...) of sums (..., K): the mean over columns with a positive denominator; NaN without any."""
    defined = denominators > 0
    ratio = np.where(defined, numerators, 0.0) / np.where(defined, denominators, 1.0)
    columns = defined.sum(axis=-1)
    return np.asarray(np.where(columns > 0, ratio.sum(axis=-1) / np.maximum(columns, 1), np.nan))


def cluster_codes(groups: Sequence[str] | np.ndarray) -> tuple[np.ndarray, int]:
    """Cluster number of each sample, by sorted group id (independent of row order), and the number of clusters."""
    names, codes = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
    return codes.ravel(), len(names)


def cluster_sums(values: np.ndarray, codes: np.ndarray, clusters: int) -> np.ndarray:
    """Sum the rows of `values` (N, K) by cluster, float64 (G, K)."""
    sums = np.zeros((clusters, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums


def bootstrap_counts(clusters: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Chunks (b, G): draws of each cluster per resample; the same for all metrics and methods of a dataset."""
    generator = rng(seed, "cluster-bootstrap", clusters)
    for start in range(0, resamples, _CHUNK):
        rows = min(_CHUNK, resamples - start)
        drawn = generator.integers(0, clusters, size=(rows, clusters))
        drawn += np.arange(rows)[:, None] * clusters
        yield np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters).astype(np.float64)


def bootstrap(
    numerators: np.ndarray,
    denominators: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    widths: Sequence[int] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> np.ndarray:
    """Bootstrap draws of one or several statistics, resampling whole clusters.

    Args:
        numerators, denominators: (N,) or (N, K), no NaN.
        groups: N cluster ids.
        widths: number of columns of each statistic, in order, summing to K; None: one statistic of K columns.

    Returns:
        float64 (resamples, number of statistics); NaN if a statistic is undefined for a resample.
    """
    num, den = _columns(numerators), _columns(denominators)
    edges = np.cumsum([0, *(widths or [num.shape[1]])])
    codes, clusters = cluster_codes(groups)
    num, den = cluster_sums(num, codes, clusters), cluster_sums(den, codes, clusters)
    draws = []
    for counts in bootstrap_counts(clusters, resamples, seed):
        n, d = counts @ num, counts @ den
        draws.append(np.stack([statistic(n[:, a:b], d[:, a:b]) for a, b in pairwise(edges)], axis=1))
    return np.concatenate(draws)


def interval(draws: np.ndarray, level: float = LEVEL) -> tuple[float, float] | None:
    """Percentile interval of bootstrap draws (B,); None if fewer than half of them are defined."""
    defined = draws[~np.isnan(draws)]
    if len(defined) * 2 < len(draws) or not len(defined):
        return None
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def bootstrap_interval(
    numerators: np.ndarray,
    denominators: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float] | None:
    """Cluster-bootstrap interval of one statistic; None for fewer than two clusters, whose spread is unknown."""
    if cluster_codes(groups)[1] < 2:
        return None
    return interval(bootstrap(numerators, denominators, groups, resamples=resamples, seed=seed)[:, 0], level)


def paired(
    numerators_a: np.ndarray,
    denominators_a: np.ndarray,
    numerators_b: np.ndarray,
    denominators_b: np.ndarray,
    groups: Sequence[str] | np.ndarray,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Paired:
    """Compare two methods on the same samples: bootstrap interval of the difference, and a permutation test.

    The two-sided test swaps the results of the two methods for whole clusters (for a plain mean: flips the sign of the
    cluster's differences). With at most 13 clusters all swaps are enumerated and p is exact (`exact`). Otherwise
    p = (1 + hits) / (1 + permutations).

    Args:
        numerators_a ... denominators_b: (N,) or (N, K), no NaN; row i is the same sample in all four.
        groups: N cluster ids.
    """
    codes, clusters = cluster_codes(groups)
    na, da, nb, db = (
        cluster_sums(_columns(v), codes, clusters) for v in (numerators_a, denominators_a, numerators_b, denominators_b)
    )
    observed = _difference(na.sum(0), da.sum(0), nb.sum(0), db.sum(0))
    if np.isnan(observed) or clusters < 2:
        return Paired(float(observed), None, None, clusters, False)
    draws = np.concatenate(
        [_difference(c @ na, c @ da, c @ nb, c @ db) for c in bootstrap_counts(clusters, resamples, seed)]
    )
    exact = clusters <= EXACT_CLUSTERS
    hits = total = 0
    half = [(na + nb).sum(0) / 2, (na - nb) / 2, (da + db).sum(0) / 2, (da - db) / 2]
    # Values equal to the observed one must count as hits, but swapped sums are rounded differently.
    threshold = abs(float(observed)) * (1 - 1e-9) - 1e-15
    for signs in swaps(clusters, exact, permutations, seed):
        n, d = signs @ half[1], signs @ half[3]
        swapped = _difference(half[0] + n, half[2] + d, half[0] - n, half[2] - d)
        hits += int(np.sum(np.abs(swapped) >= threshold))
        total += len(signs)
    p = hits / total if exact else (1 + hits) / (1 + total)
    return Paired(float(observed), interval(draws), p, clusters, exact)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values, in input order; None (not tested) stays None and is not counted.

    Source: S. Holm, Scandinavian Journal of Statistics, 1979.
    """
    tested = sorted((p, i) for i, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    running = 0.0
    for step, (p, i) in enumerate(tested):
        running = max(running, min(1.0, (len(tested) - step) * p))
        adjusted[i] = running
    return adjusted


def rank_with_ties(
    values: Mapping[str, float | None],
    p_adjusted: Mapping[tuple[str, str], float | None],
    higher_is_better: bool,
    alpha: float = 0.05,
) -> dict[str, Rank]:
    """Ranks in which methods without a significant difference may share a rank.

    A method's rank is 1 + the number of methods that are significantly better: their value is better and the
    adjusted p-value of the pair is at most `alpha`. A pair without a p-value counts as tied.

    Args:
        values: method -> value; methods with None are not ranked.
        p_adjusted: Holm-adjusted p-value of each pair, with the names in either order.
    """
    known = {name: value for name, value in values.items() if value is not None}
    ranks = {}
    for name, value in known.items():
        better, tied = 0, []
        for other, theirs in known.items():
            if other == name:
                continue
            p = p_adjusted.get((name, other), p_adjusted.get((other, name)))
            if p is None or p > alpha or theirs == value:
                tied.append(other)
            elif (theirs > value) == higher_is_better:
                better += 1
        ranks[name] = Rank(1 + better, tuple(sorted(tied)))
    return ranks


def _difference(na: np.ndarray, da: np.ndarray, nb: np.ndarray, db: np.ndarray) -> np.ndarray:
    return np.asarray(statistic(na, da) - statistic(nb, db))


def swaps(clusters: int, exact: bool, permutations: int, seed: int) -> Iterator[np.ndarray]:
    """Signs (b, clusters) of a sign-flip permutation test, in chunks: all of them, or `permutations` seeded draws."""
    if exact:
        bits = np.arange(2**clusters)[:, None] >> np.arange(clusters)
        yield 1.0 - 2.0 * (bits & 1)
        return
    generator = rng(seed, "cluster-permutation", clusters)
    for start in range(0, permutations, _CHUNK):
        rows = min(_CHUNK, permutations - start)
        yield 1.0 - 2.0 * generator.integers(0, 2, size=(rows, clusters))


def _columns(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values
