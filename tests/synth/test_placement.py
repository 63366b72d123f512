"""The crop and the placement solver: requested ratios are reached, exactly counted, or refused with a reason."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deocc_bench.core.labels import BODY_PARTS
from deocc_bench.core.masks import tight_box
from deocc_bench.core.seeding import rng
from deocc_bench.core.types import Human, Occluder
from deocc_bench.core.window import Window, cut, window
from deocc_bench.synth import overlap
from deocc_bench.synth.compositing import compose
from deocc_bench.synth.crop import Crop, Jitter, crop, jittered, mirrored
from deocc_bench.synth.occluders.cutout import PreparedOccluder, prepare
from deocc_bench.synth.placement import PlacedCutout
from deocc_bench.synth.placement_rules import BOX_OVERLAP, RULES
from deocc_bench.synth.placement_solver import PlacementRequest, Rejected, solve


def person(height: int = 300, width: int = 220) -> Human:
    """A figure with head, arms and legs, off the middle of the photo."""
    parsing = np.zeros((height, width), np.uint8)
    x = width // 2 - 20
    parsing[80:180, x - 20 : x + 20] = 5
    cv2.circle(parsing, (x, 62), 18, 13, -1)
    parsing[85:170, x - 34 : x - 20] = 15
    parsing[85:170, x + 20 : x + 34] = 14
    parsing[180:270, x - 18 : x - 2] = 17
    parsing[180:270, x + 2 : x + 18] = 16
    image = np.random.default_rng(0).integers(60, 200, (height, width, 3), dtype=np.uint8)
    return Human("p", "p", image, parsing > 0, parsing, "CC0", "test")


def thing(name: str, height: int, width: int, category: str = "thing", shape: str = "box") -> PreparedOccluder:
    generator = rng(0, "thing", name)
    image = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    alpha = np.zeros((height, width), np.float32)
    if shape == "box":
        alpha[2:-2, 2:-2] = 1
    else:
        cv2.ellipse(alpha, (width // 2, height // 2), (width // 2 - 2, height // 2 - 2), 0, 0, 360, 1.0, -1)
    return prepare(Occluder(name, name, image, alpha, category, "CC0", "test"), 512)


SCENE = crop(person())
THINGS = [
    thing("box", 200, 160),
    thing("chair", 180, 120, "chair"),
    thing("ball", 150, 150, shape="ellipse"),
    thing("car", 160, 320, "car", "ellipse"),
    thing("post", 300, 40, "drawn pole"),
    thing("dish", 60, 140, shape="ellipse"),
]


def hidden(scene: Crop, placements: tuple[PlacedCutout, ...]) -> np.ndarray:
    """The hidden pixels, by an implementation of its own."""
    out = np.zeros_like(scene.mask)
    for p in placements:
        if not p.behind:
            ys, xs = np.nonzero(p.patch[..., 3] >= 128)
            out[ys + p.y, xs + p.x] = True
    return out & scene.mask


def test_window_is_the_square_of_the_method_notes() -> None:
    tall = window((100, 50, 160, 250))  # w 60, h 200: sqrt(3 w h) = 189.7, 1.1 h = 220
    assert tall == Window(20, 40, 220)
    wide = window((0, 0, 100, 90))  # sqrt(27000) = 164.3
    assert wide.side == 165
    assert window((100, 50, 160, 250), scale=2.0).side == 440


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_jitter_keeps_the_person_inside(seed: int) -> None:
    box = (30, 20, 90, 220)
    where, _ = jittered(box, Jitter(shift=0.5, scale=(0.5, 1.5)), np.random.default_rng(seed))
    assert where.x <= box[0]
    assert where.y <= box[1]
    assert where.x + where.side >= box[2]
    assert where.y + where.side >= box[3]


def test_jitter_without_keep_inside_may_cut() -> None:
    free = Jitter(shift=0.5, scale=(0.5, 0.6), keep_inside=False)
    windows = [jittered((30, 20, 90, 220), free, np.random.default_rng(s))[0] for s in range(20)]
    assert any(w.y > 20 or w.y + w.side < 220 for w in windows)


@pytest.mark.parametrize("size", [64, 100, 256, 512])
def test_photo_and_labels_share_one_geometry(size: int) -> None:
    """The same picture as photo and as label must come out in the same place: no half-pixel shift."""
    human = person(400, 300)
    image = np.repeat(np.where(human.mask, np.uint8(255), np.uint8(0))[..., None], 3, axis=2)
    scene = crop(Human("p", "p", image, human.mask, human.parsing, "", ""), size)
    assert scene.parsing is not None
    assert np.array_equal(scene.parsing > 0, scene.mask)
    bright = scene.image[..., 0] >= 128
    outline = np.count_nonzero(scene.mask ^ cv2.erode(scene.mask.view(np.uint8), np.ones((3, 3))).astype(bool))
    assert np.count_nonzero(bright ^ scene.mask) < 0.12 * outline
    # The measure sees half a pixel: OpenCV's plain nearest fails it wherever it differs.
    where = window((96, 44, 164, 270))
    plain = cv2.resize(cut(human.mask, where).view(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST) > 0
    if size < where.side:
        assert np.count_nonzero(bright ^ plain) > 0.12 * outline


def test_crop_pads_with_black_and_knows_where_the_photo_is() -> None:
    human = person()
    where = window(tight_box(human.mask) or (0, 0, 1, 1))
    assert np.array_equal(cut(human.image, Window(-5, -7, 40))[7:, 5:], human.image[:33, :35])
    x0, y0, x1, y1 = SCENE.frame
    outside = np.ones_like(SCENE.mask)
    outside[y0:y1, x0:x1] = False
    assert outside.any()
    assert not SCENE.image[outside].any()
    assert where.x < 0 < where.x + where.side < 220  # it leaves the photo on the left only
    assert (x0, x1) == (int(-where.x * 256 / where.side), 256)
    assert SCENE.image[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].min() > 0


def test_native_is_the_photo_itself() -> None:
    human = person()
    scene = crop(human, None)
    assert scene.image is human.image
    assert scene.frame == (0, 0, 220, 300)


def test_mirroring_swaps_left_and_right() -> None:
    twin = mirrored(SCENE)
    assert SCENE.parsing is not None
    assert twin.parsing is not None
    assert np.array_equal(twin.parsing == 14, (SCENE.parsing == 15)[:, ::-1])
    assert np.array_equal(twin.parsing == 5, (SCENE.parsing == 5)[:, ::-1])
    x0, _, x1, _ = twin.frame
    assert not twin.image[:, :x0].any()
    assert not twin.image[:, x1:].any()
    assert np.array_equal(mirrored(twin).image, SCENE.image)
    assert mirrored(twin).frame == SCENE.frame


def test_counts_for_all_positions_agree_with_counting() -> None:
    """Cell 1 makes the coarse grid exact: compare with brute force at every position."""
    generator = np.random.default_rng(1)
    mask = np.where(generator.random((17, 11)) < 0.5, np.uint8(255), np.uint8(0))
    piece = (generator.random((6, 9)) < 0.6).astype(np.uint8)
    table = overlap.counts(overlap.field(mask, (0, 0, 11, 17), 1), piece)
    assert table.pixels.shape == (17 + 6 - 1 + 6, 11 + 9 - 1 + 6)
    for i in range(table.pixels.shape[0]):
        for j in range(table.pixels.shape[1]):
            assert table.pixels[i, j] == overlap.exact(mask, piece * 255, table.x + j, table.y + i)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("target", [0.0, 0.05, 0.2, 0.45, 0.7])
def test_the_ratio_is_reached(count: int, target: float) -> None:
    done = 0
    for k in range(12):
        order = [THINGS[(k + i) % len(THINGS)] for i in range(len(THINGS))]
        placed = solve(SCENE, order, PlacementRequest(target, 0.0, 0.8, count=count), rng(0, "t", k, count, target))
        if isinstance(placed, Rejected):
            assert placed.reason
            continue
        done += 1
        assert len(placed) == count
        ratio = hidden(SCENE, placed).sum() / SCENE.area
        assert abs(ratio - target) <= (0.02 if target else 0.0)
        assert compose(SCENE, placed).ratio == pytest.approx(ratio, abs=1e-12)
    assert done >= 11


@given(st.floats(0.02, 0.75), st.floats(0.0, 0.1), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_never_outside_the_range(low: float, width: float, seed: int) -> None:
    """However narrow the range, an accepted sample lies in it; a range of one value means the tolerance."""
    high = low + width
    order = [THINGS[(seed + i) % len(THINGS)] for i in range(len(THINGS))]
    request = PlacementRequest(low + width * 0.99, low, high, count=1 + seed % 3)
    placed = solve(SCENE, order, request, rng(seed, "x"))
    if not isinstance(placed, Rejected):
        ratio = hidden(SCENE, placed).sum() / SCENE.area
        slack = request.tolerance if low == high else 1e-9
        assert low - slack <= ratio <= high + slack


def test_the_same_generator_gives_the_same_placement() -> None:
    one, two = (solve(SCENE, THINGS, PlacementRequest(0.3, count=2, behind=1), rng(5, "same")) for _ in range(2))
    assert not isinstance(one, Rejected)
    assert not isinstance(two, Rejected)
    for a, b in zip(one, two, strict=True):
        assert (a.x, a.y, a.box, a.pose) == (b.x, b.y, b.box, b.pose)
        assert np.array_equal(a.patch, b.patch)
    other = solve(SCENE, THINGS, PlacementRequest(0.3, count=2, behind=1), rng(6, "same"))
    assert not isinstance(other, Rejected)
    assert [p.box for p in other] != [p.box for p in one]


def test_placements_end_at_the_photo() -> None:
    x0, y0, x1, y1 = SCENE.frame
    out = 0
    for k in range(30):
        placed = solve(SCENE, THINGS[k % 4 :], PlacementRequest(0.4, rule="grounded"), rng(k, "frame"))
        assert not isinstance(placed, Rejected)
        (p,) = placed
        h, w = p.patch.shape[:2]
        assert x0 <= p.x <= p.x + w <= x1
        assert y0 <= p.y <= p.y + h <= y1
        out += p.box[0] < x0 or p.box[2] > x1 or p.box[3] > y1
    assert out > 5  # things may stick out of the photo


def test_what_stands_on_the_ground_does_not_float() -> None:
    feet = SCENE.box[3]
    low = 0
    for k in range(30):
        placed = solve(SCENE, [THINGS[1]], PlacementRequest(0.2, rule="grounded"), rng(k, "ground"))
        assert not isinstance(placed, Rejected)
        low += placed[0].box[3] >= feet - 0.05 * 256
    assert low >= 24


def test_the_overlap_rule_keeps_occluders_over_the_person() -> None:
    x0, y0, x1, y1 = SCENE.box
    within = {}
    for rule in RULES:
        within[rule] = 0
        for k in range(30):
            placed = solve(SCENE, THINGS[k % 4 :], PlacementRequest(0.3, rule=rule), rng(k, "rule"))
            assert not isinstance(placed, Rejected)
            left, top, right, bottom = placed[0].box
            wide, tall = min(right, x1) - max(left, x0), min(bottom, y1) - max(top, y0)
            within[rule] += max(wide, 0) * max(tall, 0) >= (BOX_OVERLAP - 0.03) * (right - left) * (bottom - top)
    assert within["overlap"] >= 28
    assert within["grounded"] < 20


def test_nearer_things_stand_lower() -> None:
    placed = solve(SCENE, THINGS[1:], PlacementRequest(0.4, count=3), rng(1, "depth"))
    assert not isinstance(placed, Rejected)
    bottoms = [p.box[3] for p in placed]
    assert bottoms == sorted(bottoms, reverse=True)


def test_behind_hides_nothing_and_is_seen() -> None:
    for k in range(15):
        placed = solve(SCENE, THINGS[k % 3 :], PlacementRequest(0.2, count=1, behind=2), rng(k, "behind"))
        assert not isinstance(placed, Rejected)
        assert [p.behind for p in placed] == [False, True, True]
        made = compose(SCENE, placed)
        assert abs(made.ratio - 0.2) <= 0.02
        assert all(o.mask.sum() >= 20 for o in made.occluders)


@pytest.mark.parametrize("hide", [("head",), ("left-arm",), ("legs",), ("right-arm", "head")])
def test_parts_are_hidden(hide: tuple[str, ...]) -> None:
    done = 0
    for k in range(15):
        order = [THINGS[(k + i) % len(THINGS)] for i in range(len(THINGS))] * 2
        request = PlacementRequest(0.3, 0.05, 0.6, count=2, hide=hide)
        placed = solve(SCENE, order, request, rng(k, "hide"))
        if isinstance(placed, Rejected):
            continue
        done += 1
        gone = hidden(SCENE, placed)
        assert 0.05 <= gone.sum() / SCENE.area <= 0.6
        assert SCENE.parsing is not None
        for part in hide:
            pixels = np.isin(SCENE.parsing, BODY_PARTS[part])
            assert (gone & pixels).sum() >= 0.6 * pixels.sum()
    assert done >= 12


def test_what_cannot_be_is_rejected_with_the_reason() -> None:
    def told(request: PlacementRequest, scene: Crop = SCENE, things: list[PreparedOccluder] | None = None) -> str:
        placed = solve(scene, THINGS if things is None else things, request, rng(0, "no"))
        assert isinstance(placed, Rejected)
        return placed.reason

    assert "has no feet" in told(PlacementRequest(0.3, hide=("feet",)))
    assert "needs a ratio of" in told(PlacementRequest(0.03, 0.0, 0.05, hide=("torso",)))
    assert "no more occluders" in told(PlacementRequest(0.3), things=[])
    plain = Crop(SCENE.image, SCENE.mask, None, SCENE.photo)
    assert "parsing" in told(PlacementRequest(0.3, hide=("head",)), plain)
    speck = thing("speck", 12, 12)
    reason = told(PlacementRequest(0.6, 0.55, 0.65, tries=4), things=[speck] * 10)
    assert "ratio 0.600 not reached: 4 tries, nearest 0." in reason


def test_no_more_candidates_are_taken_than_needed() -> None:
    taken = []

    def candidates() -> Iterator[PreparedOccluder]:
        for t in THINGS:
            taken.append(t.id)
            yield t

    assert not isinstance(solve(SCENE, candidates(), PlacementRequest(0.2), rng(0, "lazy")), Rejected)
    assert len(taken) == 1


def test_native_size_works_too() -> None:
    scene = crop(person(900, 700), None)
    placed = solve(scene, THINGS, PlacementRequest(0.35, 0.3, 0.4, count=2), rng(0, "native"))
    assert not isinstance(placed, Rejected)
    assert abs(hidden(scene, placed).sum() / scene.area - 0.35) <= 0.02


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="not a possible request"):
        PlacementRequest(0.3, 0.5, 0.2)
