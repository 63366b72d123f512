from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco

from deocc_bench.core import masks
from deocc_bench.core.errors import DeoccError

shapes = st.tuples(st.integers(1, 17), st.integers(1, 17))
one_mask = shapes.flatmap(lambda s: arrays(bool, s))
two_masks = shapes.flatmap(lambda s: st.tuples(arrays(bool, s), arrays(bool, s)))


@pytest.mark.slow
@given(one_mask)
def test_round_trip_is_exact(mask: np.ndarray) -> None:
    rle = masks.encode(mask)
    assert np.array_equal(masks.decode(rle), mask)
    assert masks.encode(masks.decode(rle)) == rle
    assert isinstance(rle["counts"], str)


@given(one_mask)
def test_area_and_box_are_those_of_the_pixels(mask: np.ndarray) -> None:
    rle = masks.encode(mask)
    assert masks.area(rle) == mask.sum()
    box = masks.tight_box(mask)
    if mask.any():
        ys, xs = np.nonzero(mask)
        assert box == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert masks.bbox(rle) == [box[0], box[1], box[2] - box[0], box[3] - box[1]]
    else:
        assert box is None
        assert masks.bbox(rle) == [0, 0, 0, 0]


@pytest.mark.slow
@given(two_masks)
def test_iou_union_and_intersection_agree_with_pixels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    a, b = pair
    ra, rb = masks.encode(a), masks.encode(b)
    assert np.array_equal(masks.decode(masks.union([ra, rb])), a | b)
    assert np.array_equal(masks.decode(masks.intersection([ra, rb])), a & b)
    expected = (a & b).sum() / (a | b).sum() if (a | b).any() else None
    assert masks.iou(ra, rb) == expected == masks.iou(rb, ra) == masks.mask_iou(a, b)


def test_iou_agrees_with_pycocotools() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 40, 30)) > 0.5
    ra, rb = masks.encode(a), masks.encode(b)
    assert masks.iou(ra, rb) == pytest.approx(float(coco.iou([ra], [rb], [0])[0, 0]), abs=1e-12)


def test_sizes_that_differ_are_refused() -> None:
    a, b = masks.encode(np.ones((3, 4), bool)), masks.encode(np.ones((4, 3), bool))
    for combine in (masks.iou, lambda x, y: masks.union([x, y])):
        with pytest.raises(DeoccError, match="different sizes"):
            combine(a, b)


def test_known_runs() -> None:
    # Column-major: two columns of two; the lower left pixel is the second in the run.
    rle = masks.encode(np.array([[0, 1], [1, 0]], bool))
    assert masks.from_coco({"size": [2, 2], "counts": [1, 2, 1]}, 2, 2) == rle


@settings(max_examples=20)
@given(st.integers(4, 30), st.integers(4, 30))
def test_polygons_are_rasterised_as_coco_does(height: int, width: int) -> None:
    polygon = [1.0, 1.0, width - 1.0, 1.0, width - 1.0, height - 1.0, 1.0, height - 1.0]
    expected = coco.decode(coco.merge(coco.frPyObjects([polygon], height, width))).astype(bool)
    assert np.array_equal(masks.decode(masks.from_coco([polygon], height, width)), expected)
    assert masks.from_coco(polygon, height, width) == masks.from_coco([polygon], height, width)


@pytest.mark.parametrize(
    "bad",
    [
        [],
        [[1, 2, 3, 4]],
        "x",
        {"size": [2, 2]},
        {"size": [9, 9], "counts": [81]},
        {"size": [2, 2], "counts": [1, 2]},
        {"size": [2, 2], "counts": "zz~"},
    ],
)
def test_bad_segmentations_are_refused(bad: object) -> None:
    with pytest.raises(DeoccError):
        masks.from_coco(bad, 2, 2)


def total_of_runs(text: str) -> int:
    """COCO's rleFrString, character by character; -1 for what is none."""
    runs: list[int] = []
    value = shift = 0
    for code in (ord(c) - 48 for c in text):
        if not 0 <= code < 64:
            return -1
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (1 << shift) if code & 16 else 0
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            if runs[-1] < 0:
                return -1
            value = shift = 0
    return sum(runs) if shift == 0 else -1


@pytest.mark.slow
@settings(max_examples=300)
@given(st.one_of(one_mask.map(lambda m: masks.encode(m)["counts"]), st.text("/0123456789Pabcdo", max_size=7)))
def test_the_sum_of_the_runs_is_that_of_a_reader_of_single_characters(text: str) -> None:
    assert masks._run_total(text) == total_of_runs(text)


def test_runs_that_do_not_fill_the_mask_never_reach_pycocotools() -> None:
    rle = masks.encode(np.eye(9, dtype=bool))
    for bad in ({**rle, "counts": rle["counts"][:-2]}, {**rle, "size": [9, 8]}, {**rle, "counts": "~"}):
        with pytest.raises(DeoccError, match="don't fill"):
            masks.decode(bad)


FAR = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([1e9, -1e9, 1e30, 3e7, 0, 10**400, "12", None])
POLYGONS = st.lists(st.lists(FAR | st.floats(-50, 90), max_size=12), max_size=3)
LETTERS = st.characters(min_codepoint=48, max_codepoint=111)
RUNS = st.text(LETTERS, max_size=30) | st.lists(st.integers(-5, 2**33), max_size=6) | st.none() | st.binary(max_size=9)
SIDES = st.sampled_from([0, 1, -4, 40, 2**31, 2**64, 40.0, "40", None])


@settings(max_examples=300, deadline=None)
@given(POLYGONS | st.builds(lambda h, w, c: {"size": [h, w], "counts": c}, SIDES, SIDES, RUNS) | st.text(max_size=4))
def test_any_segmentation_is_drawn_or_refused(segmentation: Any) -> None:
    with suppress(DeoccError):  # any other exception, or a crash, fails
        rle = masks.from_coco(segmentation, 40, 40)
        assert rle["size"] == [40, 40]
        assert masks.area(rle) == np.count_nonzero(masks.decode(rle))


@settings(max_examples=200, deadline=None)
@given(st.text(LETTERS, max_size=12), st.integers(1, 6), st.integers(1, 6))
def test_text_that_is_accepted_is_what_pycocotools_reads(counts: str, height: int, width: int) -> None:
    rle = {"size": [height, width], "counts": counts}
    try:
        mask = masks.decode(rle)
    except DeoccError:
        return
    assert np.array_equal(mask, coco.decode({**rle, "counts": counts.encode()}).astype(bool))
    assert masks.decode(masks.encode(mask)).tobytes() == mask.tobytes()


@pytest.mark.parametrize("far", [700.0, 3000.0, 1e5, 1e9, 1e30, 1e300])
def test_an_outline_that_reaches_far_beyond_the_image_is_clipped(far: float) -> None:
    expected = np.zeros((40, 60), bool)
    expected[10:30, 20:] = True
    for reach in (far, -far):
        box = [[20, 10, reach, 10, reach, 30, 20, 30]] if reach > 0 else [[reach, 10, 60, 10, 60, 30, reach, 30]]
        drawn = masks.decode(masks.from_coco(box, 40, 60))
        assert np.array_equal(drawn, expected if reach > 0 else np.repeat(expected[:, -1:], 60, axis=1))


@pytest.mark.parametrize(
    ("segmentation", "says"),
    [
        ([[float("nan"), 1, 5, 5, 9, 1]], "NaN or infinity"),
        ([[1, 1, 5, 5, 9]], "three points"),
        ([[1, 1, 5, 5, 9, 1, 3]], "not pairs"),
        ([["a"] * 6], "not a number"),
        ([[True] * 6], "a list of numbers"),
        ([[10**400] * 6], "not a number"),
        ([0.0, 1.0] * 1_500_000, "more than 2,000,000 coordinates"),
        ({"size": [40, 40], "counts": "5"}, "don't fill its 40 x 40 mask"),
        ({"size": [40, 40], "counts": [1600.5]}, "don't fill"),
        ({"size": [40, 40], "counts": [-5, 1605]}, "don't fill"),
        ({"size": [10**6, 10**6], "counts": [10**12]}, "impossible size"),
        ({"size": [-4, -4], "counts": [16]}, "impossible size"),
        ({"counts": [1600]}, "an RLE must be"),
        (None, "list of polygons"),
    ],
)
def test_broken_segmentations_are_named(segmentation: Any, says: str) -> None:
    with pytest.raises(DeoccError, match=says):
        masks.from_coco(segmentation, 40, 40)
