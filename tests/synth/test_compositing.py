"""Composites: images and masks that agree, whatever the options."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deocc_bench.core.errors import UsageError
from deocc_bench.core.seeding import rng
from deocc_bench.core.types import Occluder
from deocc_bench.synth import augment
from deocc_bench.synth.compositing import HARMONISE, Composite, compose, unchanged_share
from deocc_bench.synth.crop import Crop
from deocc_bench.synth.occluders.cutout import Pose, PreparedOccluder, prepare
from deocc_bench.synth.placement import MovableCutout, PlacedCutout
from deocc_bench.synth.placement_solver import PlacementRequest, Rejected, solve

SIZE = 128


def scene(seed: int = 0) -> Crop:
    parsing = np.zeros((SIZE, SIZE), np.uint8)
    parsing[20:110, 50:80] = 5
    parsing[10:30, 55:75] = 13
    image = np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    image[:, :12] = 0
    return Crop(image, parsing > 0, parsing, (12, 0, SIZE, SIZE))


def thing(
    name: str, colour: tuple[int, int, int] | None = None, soft: int = 6, category: str = "chair"
) -> PreparedOccluder:
    y, x = np.mgrid[0:60, 0:50]
    inside = np.minimum(np.minimum(x, 49 - x), np.minimum(y, 59 - y))
    alpha = np.clip((inside + 1) / soft, 0, 1).astype(np.float32)
    image = rng(0, name).integers(0, 256, (60, 50, 3), dtype=np.uint8)
    if colour is not None:
        image[:] = colour
    return prepare(Occluder(name, name, image, alpha, category, "CC0", "test"))


def put(
    occluder: PreparedOccluder, x: int, y: int, behind: bool = False, feather: float = 0.7, scale: float = 1.0
) -> PlacedCutout:
    movable = MovableCutout.warped(occluder, Pose(scale), x, y, scene=scene(), feather=feather)
    assert movable is not None
    return movable.place(0, 0, scene(), behind=behind)


def grown(mask: np.ndarray, radius: int) -> np.ndarray:
    padded = np.pad(mask, radius)
    out = np.zeros_like(mask)
    for dy in range(2 * radius + 1):
        for dx in range(2 * radius + 1):
            out |= padded[dy : dy + mask.shape[0], dx : dx + mask.shape[1]]
    return out


def check(made: Composite, where: Crop) -> None:
    """All that a dataset's validator will ask, by plain array operations."""
    cover = np.zeros_like(where.mask)
    taken = np.zeros_like(where.mask)
    for i, o in enumerate(made.occluders):
        assert o.order == i + 1
        assert not (o.mask & taken).any()  # the visible parts don't overlap
        taken |= o.mask
        if not o.behind:
            cover |= o.mask
    hidden = made.amodal & ~made.modal
    assert not (made.modal & ~made.amodal).any()
    assert np.array_equal(cover, made.cover)
    assert np.array_equal(hidden, made.amodal & cover)
    assert not np.any((made.image != made.complete).any(axis=2) & ~grown(cover, 2))
    assert np.array_equal(made.amodal, where.mask)
    assert made.ratio == pytest.approx(hidden.sum() / made.amodal.sum())
    for o in made.occluders:
        if o.behind:
            assert not (o.mask & made.amodal).any()


@given(st.integers(0, 100_000))
@settings(max_examples=60, deadline=None)
def test_invariants_hold_for_any_placement_and_option(seed: int) -> None:
    random = np.random.default_rng(seed)
    where = scene(seed % 7)
    front = [
        put(thing(f"f{i}"), *(int(v) for v in random.integers(-40, SIZE - 2, 2)), feather=float(random.random()))
        for i in range(int(random.integers(0, 4)))
    ]
    behind = [
        put(thing(f"b{i}"), *(int(v) for v in random.integers(-40, SIZE - 2, 2)), behind=True)
        for i in range(int(random.integers(0, 3)))
    ]
    made = compose(where, [*front, *behind], HARMONISE[seed % 3], shadow=0.5 * (seed % 2))
    check(made, where)


def test_blending_by_hand() -> None:
    where = Crop(np.full((40, 40, 3), 200, np.uint8), np.eye(40, dtype=bool), None)
    patch = np.zeros((1, 3, 4), np.uint8)
    patch[0, :, 3] = (255, 128, 0)
    patch[0, :, 0] = (255, 128, 0)  # red, premultiplied
    p = PlacedCutout(thing("x"), Pose(1.0), patch, 10, 10, (10, 10, 13, 11))
    made = compose(where, [p])
    assert made.image[10, 10].tolist() == [255, 0, 0]
    assert made.image[10, 11].tolist() == [128 + 100, 100, 100]  # 200 * 127 / 255 = 99.6
    assert made.image[10, 12].tolist() == [200, 200, 200]
    assert made.cover.sum() == 2
    assert not made.modal[10, 10]
    assert made.ratio == 1 / 40


def test_nearer_occluders_cover_farther_ones() -> None:
    where = scene()
    red, blue = put(thing("red", (255, 0, 0)), 40, 30), put(thing("blue", (0, 0, 255)), 55, 45)
    for first, second in ((red, blue), (blue, red)):
        made = compose(where, [first, second])
        assert made.image[60, 70].tolist() == ([255, 0, 0] if first is red else [0, 0, 255])
        assert made.occluders[0].id == first.occluder.id
        assert made.occluders[0].mask.sum() > made.occluders[1].mask.sum()
        check(made, where)


def test_behind_is_in_both_images_and_hides_nothing() -> None:
    where = scene()
    made = compose(where, [put(thing("wall", (0, 255, 0)), 60, 40, behind=True)])
    check(made, where)
    assert np.array_equal(made.modal, where.mask)
    assert made.image is made.complete or np.array_equal(made.image, made.complete)
    assert made.image[60, 95].tolist() == [0, 255, 0]
    assert np.array_equal(made.image[60, 65], where.image[60, 65])  # the person stands before it
    assert np.array_equal(made.image[:, :55], where.image[:, :55])  # elsewhere the photo is untouched
    assert made.occluders[0].behind
    assert made.ratio == 0


def test_nothing_in_front_changes_nothing() -> None:
    where = scene()
    made = compose(where, [])
    assert np.array_equal(made.image, where.image)
    assert made.ratio == 0
    assert made.occluders == ()


def test_occluders_end_at_the_photo() -> None:
    where = scene()
    made = compose(where, [put(thing("wide"), -10, 40)])
    assert not made.image[:, :12].any()
    assert not made.cover[:, :12].any()
    assert made.cover[:, 12:].any()


def test_the_crop_is_never_written_to() -> None:
    where = scene()
    before = where.image.copy()
    compose(where, [put(thing("a"), 40, 40), put(thing("b"), 70, 40, behind=True)], "reinhard", shadow=1.0)
    assert np.array_equal(where.image, before)


def test_harmonising_moves_the_colours_towards_those_around() -> None:
    dark = Crop(np.full((SIZE, SIZE, 3), 40, np.uint8), scene().mask, None)
    spot = put(thing("bright", (220, 210, 200)), 45, 40)
    plain = compose(dark, [spot]).image[70, 70].astype(int)
    for how in ("reinhard", "histogram"):
        half = compose(dark, [spot], how, amount=0.5).image[70, 70].astype(int)
        whole = compose(dark, [spot], how, amount=1.0).image[70, 70].astype(int)
        assert plain.sum() > half.sum() + 60 > whole.sum() + 120
        assert np.array_equal(compose(dark, [spot], how, amount=0.5).modal, compose(dark, [spot]).modal)
    with pytest.raises(ValueError, match="harmonise must be"):
        compose(dark, [spot], "rainhard")


def test_a_shadow_falls_on_both_images_at_the_foot() -> None:
    where = Crop(np.full((SIZE, SIZE, 3), 200, np.uint8), scene().mask, None)
    on_ground = put(thing("a"), 40, 60)
    made = compose(where, [on_ground], shadow=1.0)
    assert made.complete[118, 62].max() < 190
    assert made.complete[30].min() == 200
    check(made, where)
    floating = compose(where, [put(thing("a"), 40, 10)], shadow=1.0)
    assert floating.complete.min() == 200


def test_black_on_black_is_found() -> None:
    dark = Crop(np.zeros((SIZE, SIZE, 3), np.uint8), scene().mask, None)
    assert unchanged_share(compose(dark, [put(thing("k", (0, 0, 0)), 45, 40)])) == 1.0
    assert unchanged_share(compose(dark, [put(thing("w", (255, 255, 255)), 45, 40)])) == 0.0
    assert unchanged_share(compose(dark, [])) == 0.0


def test_a_wide_soft_rim_does_not_reach_far() -> None:
    """Alpha that falls off over 20 px is cut at 2 px beyond the hard mask."""
    where = scene()
    made = compose(where, [put(thing("mist", soft=20), 40, 30)])
    check(made, where)
    assert (made.image != made.complete).any()


@pytest.mark.parametrize("names", [("colour",), ("noise",), ("colour", "noise"), ()])
def test_photometry_keeps_both_images_equal_where_they_were(names: tuple[str, ...]) -> None:
    where = scene()
    made = compose(where, [put(thing("a"), 40, 40)])
    image, complete = augment.pair(made.image, made.complete, names, np.random.default_rng(1), where.frame)
    same = (made.image == made.complete).all(axis=2)
    assert np.array_equal(image[same], complete[same])
    assert not image[:, :12].any()
    assert np.array_equal(image, made.image) == (not names)


def test_photo_augmentation_comes_before_the_occluders() -> None:
    where = scene()
    changed = augment.photo(where, ("blur", "jpeg"), np.random.default_rng(0))
    assert not np.array_equal(changed.image, where.image)
    assert not changed.image[:, :12].any()
    assert np.array_equal(changed.mask, where.mask)
    assert changed.frame == where.frame
    assert augment.photo(where, ("colour",), np.random.default_rng(0)) is where
    check(compose(changed, [put(thing("a"), 40, 40)]), changed)


def test_names_of_augmentations() -> None:
    assert augment.jitter(("colour",)) is None
    only = augment.jitter(("flip",))
    assert only is not None
    assert (only.shift, only.scale) == (0.0, (1.0, 1.0))
    with pytest.raises(UsageError, match="did you mean 'colour'"):
        augment.check(("color",))


def test_solver_and_compositor_count_alike() -> None:
    where = scene()
    for k in range(20):
        placed = solve(
            where, [thing(f"t{k + i}") for i in range(6)], PlacementRequest(0.3, count=1 + k % 3), rng(k, "c")
        )
        assert not isinstance(placed, Rejected)
        made = compose(where, placed)
        check(made, where)
        assert abs(made.ratio - 0.3) <= 0.02
