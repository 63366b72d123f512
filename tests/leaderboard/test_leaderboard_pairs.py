"""The batched comparison gives what `core.statistics.paired` gives, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from deocc_bench.core.statistics import holm, paired
from deocc_bench.leaderboard.pairs import compare_all


def made_up(methods: int, clusters: int, columns: int, pooled: bool) -> tuple[list[tuple[np.ndarray, ...]], np.ndarray]:
    generator = np.random.default_rng(3)
    groups = np.repeat([f"g{k:03d}" for k in range(clusters)], 2)
    terms = []
    for m in range(methods):
        den = (
            generator.integers(5, 9, (2 * clusters, columns)).astype(float)
            if pooled
            else np.ones((2 * clusters, columns))
        )
        terms.append((generator.random((2 * clusters, columns)) * den + 0.03 * m, den))
    return terms, groups


@pytest.mark.parametrize(
    ("clusters", "columns", "pooled"), [(6, 1, False), (9, 3, True), (20, 1, False), (20, 2, True)]
)
def test_equals_the_paired_test(clusters: int, columns: int, pooled: bool) -> None:
    terms, groups = made_up(3, clusters, columns, pooled)
    found = compare_all([(n, d) for n, d in terms], [groups] * 3)
    one_by_one = [paired(*terms[i], *terms[j], groups) for i, j in ((0, 1), (0, 2), (1, 2))]
    adjusted = holm([p.p for p in one_by_one])
    for (i, j), single, p in zip(((0, 1), (0, 2), (1, 2)), one_by_one, adjusted, strict=True):
        assert found.difference[i, j] == pytest.approx(single.difference, abs=1e-12)
        assert found.p[i, j] == found.p[j, i] == p
        assert single.ci95 is not None
        assert (found.low[i, j], found.high[i, j]) == pytest.approx(single.ci95, abs=1e-12)
        assert found.low[j, i] == -found.high[i, j]


def test_draws_weigh_as_much_as_one_answer() -> None:
    terms, groups = made_up(2, 8, 1, False)
    (n, d), other = terms
    thrice = (np.repeat(n, 3, axis=0), np.repeat(d, 3, axis=0))
    one = compare_all([(n, d), (other[0], other[1])], [groups, groups])
    three = compare_all([thrice, (other[0], other[1])], [np.repeat(groups, 3), groups], [1 / 3, 1])
    assert three.difference[0, 1] == pytest.approx(one.difference[0, 1], abs=1e-12)
    assert three.p[0, 1] == one.p[0, 1]


def test_undefined_and_single_cluster() -> None:
    terms, groups = made_up(2, 8, 1, False)
    nothing = (np.zeros_like(terms[0][0]), np.zeros_like(terms[0][1]))
    found = compare_all([(terms[0][0], terms[0][1]), nothing], [groups, groups])
    assert np.isnan(found.difference[0, 1])
    assert np.isnan(found.p[0, 1])
    alone = compare_all([(t[0][:2], t[1][:2]) for t in terms], [groups[:2]] * 2)
    assert not np.isnan(alone.difference[0, 1])
    assert np.isnan(alone.p[0, 1])


def test_other_clusters_are_refused() -> None:
    terms, groups = made_up(2, 8, 1, False)
    with pytest.raises(ValueError, match="different clusters"):
        compare_all([(n, d) for n, d in terms], [groups, np.char.add(groups, "x")])


def test_many_pairs_can_still_be_told_apart() -> None:
    generator = np.random.default_rng(0)
    groups = np.array([f"g{k:03d}" for k in range(40)])
    base = generator.random((40, 1))
    ones = np.ones((40, 1))
    found = compare_all([(base + m, ones) for m in range(25)], [groups] * 25)
    assert found.permutations >= 300 * 40
    assert np.nanmax(found.p) <= 0.05


def test_who_does_not_compete_makes_it_no_harder_for_the_others() -> None:
    terms, groups = made_up(4, 9, 1, False)
    pairs = [(n, d) for n, d in terms]
    alone = compare_all(pairs[:3], [groups] * 3)
    beside = compare_all(pairs, [groups] * 4, counted=[True, True, True, False])
    assert np.array_equal(beside.p[:3, :3], alone.p, equal_nan=True)
    every = compare_all(pairs, [groups] * 4)
    assert np.array_equal(beside.p[3], every.p[3], equal_nan=True)
    assert (alone.tested, beside.tested, every.tested) == (3, 3, 6)


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "methods", "power"), [(6, 2, True), (6, 3, False), (8, 3, True), (20, 25, True)])
def test_power(clusters: int, methods: int, power: bool) -> None:
    # Six humans: the smallest p is 2 / 2^6 = 0.031, and Holm multiplies it by the number of pairs.
    terms, groups = made_up(methods, clusters, 1, False)
    far = [(n + 10 * k, d) for k, (n, d) in enumerate(terms)]
    found = compare_all(far, [groups] * methods)
    assert found.has_power(0.05) == power
    assert (np.nanmin(found.p) <= 0.05) == power
