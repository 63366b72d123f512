"""The paired comparison of `core.statistics` for all pairs of a table at once.

`statistics.paired` takes about 30 ms per pair; 50 methods have 1,225 pairs, for each column of a table. Here the
resamples and swaps, which are the same for all pairs of a dataset, are drawn once and applied by one matrix product.
The numbers equal those of `paired`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from deocc_bench.core.statistics import (
    EXACT_CLUSTERS,
    LEVEL,
    PERMUTATIONS,
    RESAMPLES,
    bootstrap_counts,
    cluster_codes,
    cluster_sums,
    holm,
    statistic,
    swaps,
)

# Holm multiplies the smallest p by the number of pairs: with fewer permutations no pair of a long table could be
# significant.
_PER_PAIR = 40


@dataclass(frozen=True)
class Pairs:
    """Paired differences of M methods on one metric; every array is float64 (M, M), [i, j] is method i minus method j.

    Args:
        difference: NaN where one of the two values is undefined.
        low, high: the 95 % interval; NaN where there is none.
        p: Holm-adjusted over all counted pairs; NaN on the diagonal and where not tested.
        clusters: number of resampled source humans.
        permutations: number of swaps in the permutation test; `exact`: these are all possible swaps.
        tested: number of counted pairs that were tested.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    clusters: int
    permutations: int
    exact: bool
    tested: int = 0

    def has_power(self, alpha: float) -> bool:
        """Whether any pair could reach `alpha`, given that at least two swaps are as extreme as the observed values."""
        if not self.tested:
            return False
        smallest = 2.0 ** (1 - self.clusters) if self.exact else 1 / (1 + self.permutations)
        return smallest * self.tested <= alpha


def compare_all(
    terms: Sequence[tuple[np.ndarray, np.ndarray]],
    groups: Sequence[np.ndarray],
    weights: Sequence[float] | None = None,
    seed: int = 0,
    counted: Sequence[bool] | None = None,
) -> Pairs:
    """Compare all pairs of methods.

    Args:
        terms: numerators and denominators (N_m, K) of each method.
        groups: cluster id of each of its rows; all methods must have the same set of clusters.
        weights: weight of a method's rows, 1 / draws for a random method; None: 1.
        counted: methods whose pairs count in Holm's correction, so that unranked methods do not reduce the power of
            the other tests. A pair with an uncounted method is corrected over all pairs. None: all count.

    Raises:
        ValueError: the methods' clusters differ.
    """
    sums = []
    names: np.ndarray | None = None
    for (num, den), group, weight in zip(terms, groups, weights or [1.0] * len(terms), strict=True):
        here = np.unique(group)
        if names is not None and not np.array_equal(names, here):
            raise ValueError("the methods were scored on different clusters")
        names = here
        codes, clusters = cluster_codes(group)
        sums.append((cluster_sums(num, codes, clusters) * weight, cluster_sums(den, codes, clusters) * weight))
    num = np.stack([n for n, _ in sums])
    den = np.stack([d for _, d in sums])
    return _compare(num, den, seed, np.ones(len(num), bool) if counted is None else np.array(counted, bool))


def _compare(num: np.ndarray, den: np.ndarray, seed: int, counted: np.ndarray) -> Pairs:
    methods, clusters, _ = num.shape
    point = statistic(num.sum(axis=1), den.sum(axis=1))
    difference = point[:, None] - point[None, :]
    low, high, p = (np.full((methods, methods), np.nan) for _ in range(3))
    first, second = (np.array(v, dtype=int) for v in zip(*combinations(range(methods), 2), strict=True)) if (
        methods > 1
    ) else (np.zeros(0, int), np.zeros(0, int))  # fmt: skip
    tested = ~np.isnan(difference[first, second]) if clusters > 1 else np.zeros(len(first), bool)
    first, second = first[tested], second[tested]
    count = counted[first] & counted[second]
    exact = clusters <= EXACT_CLUSTERS
    total = 0
    if len(first):
        draws = np.concatenate(
            [
                statistic(np.tensordot(c, num, (1, 1)), np.tensordot(c, den, (1, 1)))
                for c in bootstrap_counts(clusters, RESAMPLES, seed)
            ]
        )
        ends = _intervals(draws[:, first] - draws[:, second])
        low[first, second], high[first, second] = ends
        low[second, first], high[second, first] = -ends[1], -ends[0]
        wanted = max(PERMUTATIONS, _PER_PAIR * len(first))
        observed = difference[first, second]
        hits, total = _hits(num, den, first, second, observed=observed, exact=exact, permutations=wanted, seed=seed)
        raw = hits / total if exact else (1 + hits) / (1 + total)
        adjusted = np.array(holm(raw.tolist()), dtype=np.float64)
        adjusted[count] = np.array(holm(raw[count].tolist()), dtype=np.float64)
        p[first, second] = p[second, first] = adjusted
    return Pairs(difference, low, high, p, clusters, total, exact, int(np.count_nonzero(count)))


def _intervals(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    undefined = np.isnan(draws)
    if not undefined.any():
        low, high = np.quantile(draws, tails, axis=0)
        return low, high
    rare = undefined.mean(axis=0) > 0.5
    low, high = np.nanquantile(np.where(rare, 0.0, draws), tails, axis=0)
    return np.where(rare, np.nan, low), np.where(rare, np.nan, high)


def _hits(
    num: np.ndarray,
    den: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    *,
    observed: np.ndarray,
    exact: bool,
    permutations: int,
    seed: int,
) -> tuple[np.ndarray, int]:
    threshold = np.abs(observed) * (1 - 1e-9) - 1e-15
    hits, total = np.zeros(len(first)), 0
    columns = num.shape[2]
    swing_n = [(num[first, :, k] - num[second, :, k]).T / 2 for k in range(columns)]
    swing_d = [(den[first, :, k] - den[second, :, k]).T / 2 for k in range(columns)]
    mean_n = (num[first] + num[second]).sum(axis=1) / 2
    mean_d = (den[first] + den[second]).sum(axis=1) / 2
    fixed = [not d.any() for d in swing_d]
    for signs in swaps(num.shape[1], exact, permutations, seed):
        n = np.stack([signs @ v for v in swing_n], axis=-1)
        d = np.stack(
            [np.zeros(n.shape[:2]) if still else signs @ v for still, v in zip(fixed, swing_d, strict=True)], axis=-1
        )
        if columns == 1 and fixed[0]:
            swapped = 2 * n[..., 0] / mean_d[:, 0]
        else:
            swapped = statistic(mean_n + n, mean_d + d) - statistic(mean_n - n, mean_d - d)
        hits += (np.abs(swapped) >= threshold).sum(axis=0)
        total += len(signs)
    return hits, total
