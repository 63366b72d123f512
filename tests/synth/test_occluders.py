"""Occluder sources: what is taken, what is rejected with which reason, and which occluder a sample draws."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deocc_bench.core import masks
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.images import write_png
from deocc_bench.core.types import Human, Occluder
from deocc_bench.synth.occluders import OccluderPool, open_occluders
from deocc_bench.synth.occluders.coco import soften
from deocc_bench.synth.occluders.cutout import Pose, bleed, coarse, edge, fade, prepare, warp, with_alpha
from deocc_bench.synth.occluders.filters import OccluderFilter, measure, touching
from deocc_bench.synth.occluders.shapes import DRAWERS

SIZE = 200


def rectangle(x0: int, y0: int, x1: int, y1: int) -> list[list[float]]:
    return [[float(v) for v in (x0, y0, x1, y0, x1, y1, x0, y1)]]


def instance(number: int, box: tuple[int, int, int, int], **more: Any) -> dict[str, Any]:
    x0, y0, x1, y1 = box
    record = {
        "id": number,
        "image_id": 1,
        "category_id": 1,
        "iscrowd": 0,
        "segmentation": rectangle(*box),
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": (x1 - x0) * (y1 - y0),
    }
    return record | more


def write_coco(folder: Path, annotations: list[dict[str, Any]], photos: int = 1) -> Path:
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(1, photos + 1):
        write_png(folder / "images" / f"{i}.png", rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8))
    data = {
        "licenses": [{"id": 4, "name": "CC BY 2.0"}],
        "categories": [{"id": 1, "name": "chair"}, {"id": 2, "name": "dining table"}, {"id": 3, "name": "person"}],
        "images": [
            {"id": i, "file_name": f"{i}.png", "height": SIZE, "width": SIZE, "license": 4}
            for i in range(1, photos + 1)
        ],
        "annotations": annotations,
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(data))
    return path


GOOD = (20, 20, 90, 90)


def test_coco_takes_polygons_and_both_rles(tmp_path: Path) -> None:
    mask = np.zeros((SIZE, SIZE), bool)
    mask[110:180, 20:90] = True
    runs = np.flatnonzero(np.diff(np.concatenate([[0], mask.T.ravel().view(np.int8), [0]])))
    plain = {"size": [SIZE, SIZE], "counts": np.diff(np.concatenate([[0], runs, [mask.size]])).tolist()}
    path = write_coco(
        tmp_path,
        [
            instance(1, GOOD),
            instance(2, (20, 110, 90, 180), segmentation=masks.encode(mask)),
            instance(3, (20, 110, 90, 180), image_id=2, segmentation=plain),
        ],
        photos=2,
    )
    source = open_occluders(f"coco:{path}")
    assert source.ids() == ["coco-1", "coco-2", "coco-3"]
    assert [source.group_of(i) for i in source.ids()] == ["coco-photo-1", "coco-photo-1", "coco-photo-2"]
    for occluder_id in source.ids():
        occluder = source.load(occluder_id)
        assert (occluder.category, occluder.licence) == ("chair", "CC BY 2.0")
        # The outline is drawn in by a pixel on each side.
        assert 66 * 66 <= np.count_nonzero(occluder.alpha >= 0.5) <= 70 * 70
        assert max(occluder.alpha.shape) <= 74


def test_coco_rejects_each_bad_instance_with_its_reason(tmp_path: Path) -> None:
    ring = np.zeros((SIZE, SIZE), bool)
    ring[20:90, 110:180] = True
    ring[30:80, 120:170] = False
    pieces = rectangle(120, 120, 150, 190) + rectangle(160, 120, 190, 190)
    path = write_coco(
        tmp_path,
        [
            instance(1, GOOD),
            instance(2, GOOD, image_id=2, iscrowd=1),
            instance(3, (0, 20, 90, 90), image_id=2),
            instance(4, (20, 20, 30, 30), image_id=2),
            instance(5, GOOD, image_id=2, category_id=2),
            instance(6, (110, 20, 180, 90), image_id=2, segmentation=masks.encode(ring)),
            instance(7, (120, 120, 190, 190), image_id=2, segmentation=pieces),
            instance(8, GOOD, image_id=3),
            instance(9, (90, 20, 160, 90), image_id=3),
            instance(10, GOOD, image_id=4, segmentation="nonsense"),
        ],
        photos=4,
    )
    source = open_occluders(f"coco:{path}")
    reasons = {i: reason.partition(" (")[0] for i, reason in source.rejected()}
    assert source.ids() == ["coco-1", "coco-8", "coco-9"]  # a neighbour on one side of four is less than 0.3
    assert reasons == {
        "coco-2": "a crowd",
        "coco-3": "cut by the frame",
        "coco-4": "too small",
        "coco-5": "category left out",
        "coco-6": "holed",
        "coco-7": "fragmented",
        "coco-10": "broken segmentation",
    }
    told = source.describe()
    assert told["count"] == 3
    assert told["rejected"]["holed"] == 1
    assert str(tmp_path) not in json.dumps(told)


def test_neighbours_cut_an_instance() -> None:
    mask = np.zeros((80, 80), bool)
    mask[20:60, 20:60] = True
    others = np.zeros_like(mask)
    others[20:60, 60:70] = True
    # Of 156 outline pixels the 40 of one side, and 2 round each of its corners.
    assert touching(mask, others) == pytest.approx(44 / 156)
    others[60:70, 20:60] = True
    rules = OccluderFilter()
    assert (rules.reject_neighbours(mask, others) or "").startswith("cut by another instance")
    assert rules.reject_neighbours(mask, np.zeros_like(mask)) is None


def test_measure_by_hand() -> None:
    mask = np.zeros((50, 50), bool)
    mask[10:30, 10:30] = True
    mask[15:25, 15:25] = False
    mask[40:45, 40:45] = True
    shape = measure(mask)
    assert shape.area == 325
    assert shape.largest == pytest.approx(300 / 325)
    assert shape.holes == pytest.approx(1 - 325 / 425)
    assert measure(np.zeros((5, 5), bool)).area == 0


@pytest.mark.parametrize(
    ("spec", "error", "told"),
    [
        ("cocoo:x", UsageError, "did you mean 'coco'"),
        ("coco", UsageError, "needs a path"),
        ("coco:missing.json", InputError, "no such file"),
        ("rgba:missing", InputError, "no such folder"),
        ("shapes:none", UsageError, "N must be a number"),
        ("humans", UsageError, "give --humans"),
    ],
)
def test_bad_specs_give_one_clear_line(spec: str, error: type[DeoccError], told: str) -> None:
    with pytest.raises(error) as caught:
        open_occluders(spec)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", r"not valid JSON \(line 1"),
        ("[]", "must be an object.*give a COCO instances file"),
        ('{"images": []}', "lacks annotations; give a COCO instances file"),
        ('{"images": [{}], "annotations": [], "categories": []}', "image entry 1: lacks id"),
        ('{"images": {}, "annotations": [], "categories": []}', "images: expected array, got object"),
    ],
)
def test_bad_coco_files_give_one_clear_line(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "images").mkdir()
    path = tmp_path / "instances.json"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"instances\.json: {told}"):
        open_occluders(f"coco:{path}")


def test_missing_and_truncated_photos(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [instance(1, GOOD), instance(2, GOOD, image_id=2)], photos=2)
    photo = tmp_path / "images" / "2.png"
    photo.write_bytes(photo.read_bytes()[:5000])
    with pytest.raises(InputError, match=r"2\.png: truncated"):
        open_occluders(f"coco:{path}")
    source = open_occluders(f"coco:{path}", skip_bad=True)
    assert source.ids() == ["coco-1"]
    assert "bad photo" in source.rejected()[0][1]
    photo.unlink()
    with pytest.raises(InputError, match="no such file"):
        open_occluders(f"coco:{path}")


def test_nothing_left_says_why(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [instance(1, (0, 0, 90, 90)), instance(2, GOOD, category_id=2)])
    with pytest.raises(InputError, match=r"no occluder left after filters \(1 category left out, 1 cut by the frame\)"):
        open_occluders(f"coco:{path}")


def rgba(size: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:size, 0:size]
    alpha = np.clip(255 - 12 * (np.hypot(x - size / 2, y - size / 2) - size * 0.3), 0, 255).astype(np.uint8)
    return np.dstack([np.full((size, size), 200, np.uint8), y.astype(np.uint8), x.astype(np.uint8), alpha])


def test_rgba_folder(tmp_path: Path) -> None:
    write_png(tmp_path / "lamp2.png", rgba())
    write_png(tmp_path / "solid.png", np.full((60, 60, 4), 255, np.uint8))
    write_png(tmp_path / "tiny.png", rgba(20))
    (tmp_path / "LICENSE.md").write_text("\n# CC0 1.0\nmore")
    source = open_occluders(f"rgba:{tmp_path}")
    assert source.ids() == ["rgba-lamp2"]
    assert {i for i, _ in source.rejected()} == {"rgba-solid", "rgba-tiny"}
    occluder = source.load("rgba-lamp2")
    assert (occluder.category, occluder.licence) == ("lamp", "CC0 1.0")
    assert 0 < occluder.alpha[occluder.alpha > 0].min() < 0.5 < occluder.alpha.max()
    (tmp_path / "lamp2.json").write_text('{"category": "lantern", "licence": "mine"}')
    occluder = open_occluders(f"rgba:{tmp_path}").load("rgba-lamp2")
    assert (occluder.category, occluder.licence) == ("lantern", "mine")


def test_rgba_without_alpha_is_refused(tmp_path: Path) -> None:
    write_png(tmp_path / "photo.png", np.zeros((60, 60, 3), np.uint8))
    with pytest.raises(InputError, match="no alpha channel"):
        open_occluders(f"rgba:{tmp_path}")
    with pytest.raises(InputError, match="no occluder left after filters"):
        open_occluders(f"rgba:{tmp_path}", skip_bad=True)


def test_shapes_are_by_seed_and_do_not_depend_on_their_number() -> None:
    few, many, other = (open_occluders(s, seed) for s, seed in (("shapes:9", 0), ("shapes:40", 0), ("shapes:9", 1)))
    assert {few.category_of(i) for i in few.ids()} == set(DRAWERS)
    assert few.ids() == many.ids()[:9]
    first = few.ids()[0]
    assert np.array_equal(few.load(first).image, many.load(first).image)
    assert not set(few.ids()) & set(other.ids())
    for occluder_id in few.ids()[:8]:
        occluder = few.load(occluder_id)
        assert np.count_nonzero(occluder.alpha >= 0.5) > 1000
        assert occluder.image[occluder.alpha >= 0.5].std() > 1  # textured and shaded, not a flat patch


class TwoPeople:
    """A human source of two people in photos of their own."""

    def ids(self) -> list[str]:
        return ["a", "b"]

    def load(self, human_id: str) -> Human:
        mask = np.zeros((90, 60), bool)
        mask[10:80, 20:40] = True
        image = np.full((90, 60, 3), 100, np.uint8)
        return Human(human_id, f"photo-{human_id}", image, mask, None, "CC0", "test")


def test_humans_never_hide_behind_their_own_photo() -> None:
    source = open_occluders("humans", humans=TwoPeople())
    assert source.load("human-a").group_id == source.group_of("human-a") == "photo-a"
    pool = OccluderPool([source])
    for key in range(20):
        assert pool.pick(key, 5, exclude_group="photo-a") == ("human-b",)
    assert open_occluders("humans", humans=TwoPeople(), human_ids=["b"]).ids() == ["human-b"]


@pytest.mark.parametrize("balance", [None, "category"])
def test_one_more_occluder_changes_only_the_samples_that_it_wins(balance: str | None) -> None:
    whole = OccluderPool([open_occluders("shapes:120")])
    new = whole.ids[37]
    less = whole.subset(i for i in whole.ids if i != new)
    changed = 0
    for key in range(500):
        before, after = less.pick(key, 1, balance), whole.pick(key, 1, balance)
        assert after in (before, (new,))
        changed += after != before
    assert 0 < changed < 25


@given(st.integers(0, 2**64 - 1), st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_picks_are_distinct_and_do_not_depend_on_the_order_of_ids(key: int, count: int) -> None:
    pool = OccluderPool([open_occluders("shapes:30")])
    picked = pool.pick(key, count, "category")
    assert len(set(picked)) == count
    assert picked == pool.subset(reversed(pool.ids)).pick(key, count, "category")
    kinds = [pool.category_of(i) for i in picked]
    assert len(set(kinds)) == min(count, len(DRAWERS))


def test_picks_are_even() -> None:
    pool = OccluderPool([open_occluders("shapes:20")])
    counts = np.bincount([pool.ids.index(pool.pick(k * 7919, 1)[0]) for k in range(4000)], minlength=20)
    assert counts.min() > 140
    assert counts.max() < 270
    assert len(pool.pick(1, 99)) == 20
    assert OccluderPool([open_occluders("shapes:5")], ids=[]).pick(1, 3) == ()


def test_the_same_source_twice_is_an_error() -> None:
    with pytest.raises(InputError, match="in two of the sources"):
        OccluderPool([open_occluders("shapes:5"), open_occluders("shapes:9")])


def cutout(height: int = 60, width: int = 90) -> Occluder:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[0:height, 0:width]
    far = np.hypot((x - width / 2) / (width / 2), (y - height / 2) / (height / 2))
    alpha = np.clip((1 - far) * 8, 0, 1).astype(np.float32)
    image = rng.integers(90, 110, (height, width, 3), dtype=np.uint8)
    image[alpha < 0.95] = (255, 0, 0)  # the photo that it was cut from shines through at the edge
    return Occluder("x", "x", image, alpha, "thing", "CC0", "test")


def test_edges_take_the_colour_of_the_object() -> None:
    occluder = cutout()
    alpha = np.rint(occluder.alpha * 255).astype(np.uint8)
    cleaned = bleed(occluder.image, alpha)
    assert cleaned[alpha > 0].max() < 120
    assert np.array_equal(cleaned[alpha >= 243], occluder.image[alpha >= 243])


@pytest.mark.parametrize("scale", [0.2, 0.5, 0.8, 1.0, 1.7])
@pytest.mark.parametrize("angle", [0.0, 7.5, -20.0])
def test_warp_keeps_area_place_and_a_narrow_rim(scale: float, angle: float) -> None:
    ready = prepare(cutout())
    pose = Pose(scale, angle, flip=True)
    patch = warp(ready, pose)
    assert patch.shape[:2] == pose.extent(ready)
    alpha = fade(edge(patch, 0.7))
    hard = alpha >= 128
    assert np.count_nonzero(patch[..., 3] >= 128) == pytest.approx(ready.area * scale**2, rel=0.06)
    ys, xs = np.nonzero(hard)
    # The ellipse's own middle is half a pixel off that of its array.
    assert abs(ys.mean() - (patch.shape[0] - 1) / 2) < 0.6 * scale + 0.3
    assert abs(xs.mean() - (patch.shape[1] - 1) / 2) < 0.6 * scale + 0.3
    padded = np.pad(hard, 2)
    near = np.zeros_like(hard)
    for dy in range(5):
        for dx in range(5):
            near |= padded[dy : dy + hard.shape[0], dx : dx + hard.shape[1]]
    assert not np.any((alpha > 0) & ~near)
    done = with_alpha(patch, alpha)
    assert np.array_equal(done[..., 3], alpha)
    assert np.all(done[..., :3].astype(int) <= alpha[..., None].astype(int) * 120 // 255 + 2)


def test_a_part_of_a_warp_is_the_warp_of_the_part() -> None:
    ready = prepare(cutout())
    pose = Pose(0.9, 5.0)
    whole = warp(ready, pose).astype(int)
    part = warp(ready, pose, (20, 10, 60, 40)).astype(int)
    assert np.abs(part - whole[10:40, 20:60]).mean() < 3
    grid = coarse(ready, pose, 4)
    assert grid.sum() * 16 == pytest.approx(np.count_nonzero(whole[..., 3] >= 128), rel=0.1)


def test_soften_never_loses_a_thin_thing() -> None:
    line = np.zeros((40, 40), bool)
    line[10:30, 20] = True
    assert soften(line).max() == 255


def test_real_coco_and_lemur(real_data: Path) -> None:
    coco = open_occluders(f"coco:{real_data / 'occluders_coco' / 'instances.json'}")
    assert 50 <= len(coco.ids()) <= 120
    assert len(coco.ids()) + len(coco.rejected()) == 761
    assert not {coco.category_of(i) for i in coco.ids()} & OccluderFilter().excluded
    assert coco.load(coco.ids()[0]).licence.startswith(("CC", "No known"))
    lemur = open_occluders(f"rgba:{real_data / 'occluders_alpha'}")
    assert lemur.ids() == ["rgba-lemur"]
    alpha = lemur.load("rgba-lemur").alpha
    assert 0.05 < np.mean((alpha > 0.05) & (alpha < 0.95)) < 0.5
