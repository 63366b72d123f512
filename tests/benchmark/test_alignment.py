"""Masks that fit after one change of all of them: inverted or shifted."""

from __future__ import annotations

import numpy as np
import pytest

from deocc_bench.benchmark.alignment import Pair, inverted, shifted
from deocc_bench.core.masks import mask_iou


def people(count: int, side: int = 64, seed: int = 0) -> list[np.ndarray]:
    """Ellipses of various sizes and places, not near the border."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    return [
        ((x - side * random.uniform(0.4, 0.6)) / (side * random.uniform(0.08, 0.2))) ** 2
        + ((y - side * random.uniform(0.4, 0.6)) / (side * random.uniform(0.15, 0.3))) ** 2
        < 1
        for _ in range(count)
    ]


def halves(truth: list[np.ndarray]) -> list[Pair]:
    """Predictions that lack what is hidden, on one side of each person."""
    random = np.random.default_rng(3)
    cut = []
    for mask in truth:
        axis = int(random.integers(2))
        middle = int(np.argwhere(mask)[:, axis].mean())
        keep = np.arange(64) < middle if random.random() < 0.5 else np.arange(64) > middle
        cut.append(Pair(mask & (keep[:, None] if axis == 0 else keep[None]), mask))
    return cut


@pytest.mark.parametrize(("down", "right"), [(0, 3), (-2, 0), (5, -4), (-6, 6)])
@pytest.mark.parametrize("count", [2, 20])
def test_a_shift_is_found_to_the_pixel(count: int, down: int, right: int) -> None:
    truth = people(count)
    found = shifted([Pair(np.roll(m, (-down, -right), (0, 1)), m) for m in truth])
    assert found is not None
    assert (found.down, found.right) == (down, right)
    assert found.after == pytest.approx(1)
    expected = np.mean([mask_iou(np.roll(m, (-down, -right), (0, 1)), m) for m in truth])
    assert found.before == pytest.approx(expected)


def test_large_masks_are_reduced() -> None:
    found = shifted([Pair(np.roll(m, 9, 0), m) for m in people(3, side=600)])
    assert found is not None
    assert (found.down, found.right) == (-9, 0)


def test_what_is_not_shifted() -> None:
    truth = people(20)
    assert shifted([]) is None
    assert shifted([Pair(m, m) for m in truth]) is None
    assert shifted([Pair(np.zeros_like(m), m) for m in truth]) is None
    assert shifted([Pair(np.ones_like(m), m) for m in truth]) is None
    assert shifted(halves(truth)) is None
    assert shifted([Pair(np.roll(m, 1, 0), m) for m in truth]) is None
    assert shifted([Pair(np.roll(m, 4 * (-1) ** k, k % 3 % 2), m) for k, m in enumerate(truth)]) is None
    assert shifted([Pair(np.roll(truth[0], 3, 0), truth[0])]) is None, "one sample is no rule"


def test_inverted() -> None:
    truth = people(10)
    assert inverted([Pair(~m, m) for m in truth]) == 1
    worse = halves(truth)
    assert inverted([Pair(~p.mask, p.mask) for p in worse[:2]]) == 1
    assert inverted([*(Pair(~m, m) for m in truth[:9]), Pair(truth[9], truth[9])]) == pytest.approx(0.9)
    for predictions in (worse, [Pair(np.ones_like(m), m) for m in truth], [Pair(np.zeros_like(m), m) for m in truth]):
        assert inverted(predictions) is None
    assert inverted([Pair(~m if k % 2 else m, m) for k, m in enumerate(truth)]) is None
    assert inverted([]) is None
