"""Intervals, paired tests, Holm and ranks: golden values, exact enumeration, and small simulations of coverage."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deocc_bench.core.statistics import (
    EXACT_CLUSTERS,
    bootstrap,
    bootstrap_counts,
    bootstrap_interval,
    cluster_codes,
    cluster_sums,
    holm,
    interval,
    paired,
    rank_with_ties,
    statistic,
)


def ones(n: int) -> np.ndarray:
    return np.ones(n)


def names(n: int, size: int = 1) -> np.ndarray:
    return np.array([f"g{k // size:03d}" for k in range(n)])


def test_statistic_is_a_mean_of_ratios_over_defined_columns() -> None:
    assert statistic(np.array([1.0, 3.0, 9.0]), np.array([2.0, 4.0, 0.0])) == (0.5 + 0.75) / 2
    assert np.isnan(statistic(np.array([0.0]), np.array([0.0])))


def test_cluster_sums_do_not_depend_on_order() -> None:
    groups = np.array(["b", "a", "b", "c"])
    codes, clusters = cluster_codes(groups)
    assert codes.tolist() == [1, 0, 1, 2]
    sums = cluster_sums(np.array([[1.0], [2.0], [4.0], [8.0]]), codes, clusters)
    assert sums.ravel().tolist() == [2, 5, 8]


def test_bootstrap_counts_draw_as_many_clusters_as_there_are_and_are_seeded() -> None:
    counts = np.concatenate(list(bootstrap_counts(13, 600, seed=1)))
    assert counts.shape == (600, 13)
    assert (counts.sum(axis=1) == 13).all()
    assert counts.mean(axis=0) == pytest.approx(1.0, abs=0.2)
    assert np.array_equal(counts, np.concatenate(list(bootstrap_counts(13, 600, seed=1))))
    assert not np.array_equal(counts, np.concatenate(list(bootstrap_counts(13, 600, seed=2))))
    assert np.array_equal(counts[:250], np.concatenate(list(bootstrap_counts(13, 250, seed=1)))), "a prefix"


def test_bootstrap_equals_resampling_the_rows_themselves() -> None:
    rng = np.random.default_rng(0)
    groups = names(30, 3)
    num, den = rng.random(30), rng.random(30) + 0.5
    draws = bootstrap(num, den, groups, resamples=40, seed=5)[:, 0]
    counts = np.concatenate(list(bootstrap_counts(10, 40, seed=5))).astype(int)
    for draw, count in zip(draws, counts, strict=True):
        rows = np.concatenate([np.flatnonzero(groups == f"g{g:03d}") for g in np.repeat(np.arange(10), count)])
        assert draw == pytest.approx(num[rows].sum() / den[rows].sum(), rel=1e-12)


def test_clusters_make_the_interval_wider_than_rows_alone_would() -> None:
    rng = np.random.default_rng(1)
    person = np.repeat(rng.normal(size=40), 5)  # five variants of a person are almost one observation
    values = person + rng.normal(0, 0.1, 200)
    by_person = bootstrap_interval(values, ones(200), names(200, 5))
    by_row = bootstrap_interval(values, ones(200), names(200))
    assert by_person is not None
    assert by_row is not None
    assert 1.8 < (by_person[1] - by_person[0]) / (by_row[1] - by_row[0]) < 2.8, "about sqrt(5)"


def test_interval_covers_the_truth_about_95_times_in_100() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        values = np.repeat(rng.normal(size=40), 3) + rng.normal(0, 0.5, 120)
        ends = bootstrap_interval(values, ones(120), names(120, 3), resamples=300, seed=int(rng.integers(1 << 30)))
        assert ends is not None
        hits += ends[0] <= 0 <= ends[1]
    assert 178 <= hits <= 198, f"{hits} of 200"


def test_interval_of_undefined_draws() -> None:
    assert interval(np.array([np.nan, np.nan, 1.0])) is None
    assert interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert bootstrap_interval(ones(3), ones(3), np.array(["a", "a", "a"])) is None


def test_exact_p_of_one_sided_data_is_two_in_two_to_the_clusters() -> None:
    a, b = np.array([0.9, 0.8, 0.85, 0.7, 0.95]), np.array([0.5, 0.6, 0.55, 0.4, 0.65])
    result = paired(a, ones(5), b, ones(5), names(5))
    assert result.exact
    assert result.p == 2 / 2**5
    assert result.difference == pytest.approx(0.3, rel=1e-12)
    assert result.clusters == 5
    assert result.ci95 is not None
    assert result.ci95[0] > 0


def test_exact_p_equals_enumeration_by_hand() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.random(21), rng.random(21)
    groups = names(21, 3)
    sums = (a - b).reshape(7, 3).sum(axis=1)
    hits = sum(abs(np.dot(s, sums)) >= abs(sums.sum()) - 1e-12 for s in product((-1, 1), repeat=7))
    assert paired(a, ones(21), b, ones(21), groups).p == hits / 2**7


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 10), st.integers(0, 2**32 - 1))
def test_paired_is_antisymmetric(clusters: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random(clusters * 2), rng.random(clusters * 2)
    da, db = rng.integers(0, 2, (2, clusters * 2)).astype(float)
    one = paired(a * da, da, b * db, db, names(clusters * 2, 2), resamples=50)
    two = paired(b * db, db, a * da, da, names(clusters * 2, 2), resamples=50)
    assert one.p == two.p
    assert one.p is None or 0 < one.p <= 1
    if one.p is not None:
        assert one.difference == -two.difference
    if one.ci95 is not None and two.ci95 is not None:
        assert one.ci95 == pytest.approx((-two.ci95[1], -two.ci95[0]))


def test_identical_methods_have_p_1_and_no_difference() -> None:
    values = np.random.default_rng(0).random(40)
    result = paired(values, ones(40), values, ones(40), names(40))
    assert (result.difference, result.p, result.ci95) == (0.0, 1.0, (0.0, 0.0))


def test_monte_carlo_agrees_with_the_exact_test() -> None:
    rng = np.random.default_rng(7)
    n = EXACT_CLUSTERS
    a, b = rng.random(n), rng.random(n) - 0.15
    exact = paired(a, ones(n), b, ones(n), names(n))
    # One more cluster in which the methods agree changes nothing but forces drawing.
    more = paired(np.append(a, 0.5), ones(n + 1), np.append(b, 0.5), ones(n + 1), names(n + 1), permutations=20_000)
    assert exact.exact
    assert not more.exact
    assert exact.p is not None
    assert more.p == pytest.approx(exact.p, abs=4 * np.sqrt(exact.p / 20_000))


def test_false_alarms_are_about_5_in_100_with_clustered_data() -> None:
    rng = np.random.default_rng(4)
    alarms = 0
    for k in range(200):
        difference = np.repeat(rng.normal(size=20), 4) + rng.normal(0, 0.2, 80)
        p = paired(difference, ones(80), np.zeros(80), ones(80), names(80, 4), resamples=10, permutations=400, seed=k).p
        assert p is not None
        alarms += p <= 0.05
    assert 2 <= alarms <= 19, f"{alarms} of 200 (expected 10)"


def test_pooled_metrics_are_tested_on_their_own_statistic() -> None:
    # One large cluster decides a pooled ratio; the mean of ratios says the opposite.
    na, da = np.array([900.0, 1, 1, 1, 1, 1]), np.array([1000.0, 10, 10, 10, 10, 10])
    nb, db = np.array([500.0, 9, 9, 9, 9, 9]), np.array([1000.0, 10, 10, 10, 10, 10])
    result = paired(na, da, nb, db, names(6))
    assert result.difference == pytest.approx((905 - 545) / 1050, rel=1e-12)
    means = paired(na / da, ones(6), nb / db, ones(6), names(6))
    assert means.difference < 0


def test_holm_golden() -> None:
    # Sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1, made monotone: 0.02, 0.03, 0.06, 0.06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, None, 0.7]) == [1.0, None, 1.0]
    assert holm([]) == []
    assert holm([0.02]) == [0.02]


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_the_raw_p_and_bonferroni(p_values: list[float]) -> None:
    for raw, adjusted in zip(p_values, holm(p_values), strict=True):
        assert adjusted is not None
        assert raw <= adjusted <= min(1.0, raw * len(p_values)) + 1e-12


def test_ranks_share_places_that_cannot_be_told_apart() -> None:
    values = {"a": 0.9, "b": 0.89, "c": 0.7, "d": 0.1, "e": None}
    p = {("a", "b"): 0.6, ("a", "c"): 0.01, ("c", "b"): 0.2, ("a", "d"): 0.001, ("b", "d"): 0.001, ("c", "d"): 0.001}
    ranks = rank_with_ties(values, p, higher_is_better=True)
    assert {k: r.rank for k, r in ranks.items()} == {"a": 1, "b": 1, "c": 2, "d": 4}
    assert ranks["b"].tied == ("a", "c")
    down = rank_with_ties(values, p, higher_is_better=False)
    assert down["d"].rank == 1
    assert down["c"].rank == 2
    untested = rank_with_ties({"a": 1.0, "b": 0.0}, {}, higher_is_better=True)
    assert untested["b"].rank == 1, "without a test nothing is told apart"
