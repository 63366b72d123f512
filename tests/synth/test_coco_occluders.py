"""Annotation files from strangers as occluder sources: the right cut-out, or an error that names entry and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.images import write_png
from deocc_bench.synth.occluders import OccluderSource, open_occluders
from deocc_bench.synth.occluders.filters import measure, touching
from tests.synth.test_occluders import GOOD, SIZE, instance, rectangle, write_coco

NAN = float("nan")


def edited(path: Path, **lists: Any) -> str:
    """Replace whole lists of the file; return the spec of the source."""
    path.write_text(json.dumps(json.loads(path.read_text()) | lists))
    return f"coco:{path}"


def two(folder: Path, **bad: Any) -> Path:
    """A good instance 1, and an instance 2 in a photo of its own that is changed by `bad`."""
    return write_coco(folder, [instance(1, GOOD), instance(2, GOOD, image_id=2) | bad], photos=2)


BROKEN = {
    "bbox empty": ({"bbox": []}, "bbox: expected array of length 4"),
    "bbox null": ({"bbox": None}, "bbox: expected array, got null"),
    "bbox nan": ({"bbox": [NAN] * 4}, "bbox: a value that is not usable"),
    "bbox text": ({"bbox": ["50", "30", "80", "100"]}, r"bbox\[0\]: expected float, got str"),
    "area null": ({"area": None}, "area: expected float, got null"),
    "area text": ({"area": "8000"}, "area: expected float, got str"),
    "area huge": ({"area": 10**400}, "area: "),
    "iscrowd text": ({"iscrowd": "0"}, r"iscrowd: expected .*, got str"),
    "category list": ({"category_id": [1]}, "category_id: expected .*, got array"),
    "category unknown": ({"category_id": 9}, "category_id 9 is not in categories"),
    "category text": ({"category_id": "1"}, "category_id '1' is text, but 1 in categories is a number"),
    "image list": ({"image_id": [2]}, "image_id: expected .*, got array"),
    "image unknown": ({"image_id": 7}, "image_id 7 is not in images"),
    "image text": ({"image_id": "2"}, "image_id '2' is text, but 2 in images is a number"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_record_is_named_and_can_be_skipped(tmp_path: Path, kind: str) -> None:
    bad, told = BROKEN[kind]
    spec = f"coco:{two(tmp_path, **bad)}"
    with pytest.raises(InputError, match=rf"instances\.json: annotation 2: {told}.*--skip-bad") as caught:
        open_occluders(spec)
    assert "\n" not in str(caught.value)
    source = open_occluders(spec, skip_bad=True)
    assert source.ids() == ["coco-1"]
    ((name, reason),) = source.rejected()
    assert name == "coco-2"
    assert reason.startswith("broken record (")
    assert source.describe()["rejected"] == {"broken record": 1}


SHAPES: dict[str, Any] = {
    "null": None,
    "nan": [[NAN, 1, 60, 60, 70, 80]],
    "text": [["a"] * 6],
    "odd": [[1, 2, 3, 4, 5, 6, 7]],
    "400 digits": [[10**400] * 6],
    "no size": {"counts": [40_000]},
    "short": {"size": [SIZE, SIZE], "counts": [100, 50]},
    "other size": {"size": [4, 4], "counts": [16]},
}


@pytest.mark.parametrize("kind", SHAPES)
def test_a_broken_segmentation_is_rejected(tmp_path: Path, kind: str) -> None:
    source = open_occluders(f"coco:{two(tmp_path, segmentation=SHAPES[kind])}")
    assert source.ids() == ["coco-1"]
    ((name, reason),) = source.rejected()
    assert (name, reason.partition(" (")[0]) == ("coco-2", "broken segmentation")


def test_a_broken_neighbour_is_told_apart(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [instance(1, GOOD), instance(2, (90, 20, 160, 90), segmentation=[["x"] * 6])], photos=1)
    with pytest.raises(InputError, match="no occluder left"):
        open_occluders(f"coco:{path}")
    path = write_coco(tmp_path / "b", [*json.loads(path.read_text())["annotations"], instance(3, GOOD, image_id=2)], 2)
    reasons = dict(open_occluders(f"coco:{path}").rejected())
    assert reasons["coco-1"].startswith("broken segmentation of a neighbour (")
    assert reasons["coco-2"].startswith("broken segmentation (")


def test_a_flat_polygon_is_one_polygon(tmp_path: Path) -> None:
    nested = open_occluders(f"coco:{two(tmp_path)}").load("coco-2")
    flat = open_occluders(f"coco:{two(tmp_path / 'flat', segmentation=rectangle(*GOOD)[0])}").load("coco-2")
    assert np.array_equal(nested.alpha, flat.alpha)
    assert np.array_equal(nested.image, flat.image)


def test_an_outline_that_reaches_far_beyond_the_photo_is_clipped(tmp_path: Path) -> None:
    far = [[20, 20, 1e9, 20, 1e9, 90, 20, 90]]
    source = open_occluders(f"coco:{two(tmp_path, segmentation=far)}")
    assert source.load("coco-2").alpha.shape[1] >= SIZE - 22


def test_nan_makes_one_bad_record_not_a_bad_file(tmp_path: Path) -> None:
    path = two(tmp_path, bbox=[NAN, 1, 2, 3])
    plain = open_occluders(f"coco:{two(tmp_path / 'plain')}")
    source = open_occluders(f"coco:{path}", skip_bad=True)
    # The file is not JSON for msgspec; what is read from it is the same.
    assert np.array_equal(source.load("coco-1").alpha, plain.load("coco-1").alpha)
    assert source.load("coco-1").licence == "CC BY 2.0"


@pytest.mark.parametrize(
    ("kind", "change", "told"),
    [
        ("image", lambda d: {"images": [*d["images"], d["images"][1]]}, "image id 2 is used twice"),
        ("image", lambda d: {"images": [*d["images"], d["images"][1] | {"id": "2"}]}, "image id 2 is used twice"),
        (
            "category",
            lambda d: {"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]},
            "category id 1 is used",
        ),
        ("annotation", lambda d: {"annotations": [d["annotations"][0], *d["annotations"]]}, "annotation id 1 is used"),
        ("licence", lambda d: {"licenses": [{"id": 4, "name": "a"}, {"id": 4, "name": "b"}]}, "licence id 4 is used"),
    ],
)
def test_an_id_for_two_things_is_refused(tmp_path: Path, kind: str, change: Any, told: str) -> None:
    path = two(tmp_path)
    spec = edited(path, **change(json.loads(path.read_text())))
    with pytest.raises(InputError, match=rf"instances\.json: {told}"):
        open_occluders(spec)


def test_instances_of_a_repeated_image_are_listed(tmp_path: Path) -> None:
    path = two(tmp_path)
    images = json.loads(path.read_text())["images"]
    source = open_occluders(edited(path, images=[*images, images[1] | {"file_name": "1.png"}]), skip_bad=True)
    assert source.ids() == ["coco-1"]
    assert source.rejected() == [("coco-2", "broken record (image_id 2: the id is used twice)")]


def test_capitals_do_not_let_a_fragment_through(tmp_path: Path) -> None:
    path = two(tmp_path, category_id=2)
    spec = edited(path, categories=[{"id": 1, "name": "chair"}, {"id": 2, "name": "Dining Table"}])
    assert open_occluders(spec).rejected() == [("coco-2", "category left out")]


def rename(path: Path, *names: str, **more: Any) -> str:
    images = [r | {"file_name": n} | more for r, n in zip(json.loads(path.read_text())["images"], names, strict=True)]
    return edited(path, images=images)


def test_a_photo_is_found_by_its_last_name_only_if_that_is_unambiguous(tmp_path: Path) -> None:
    path = two(tmp_path)
    assert open_occluders(rename(path, "train/1.png", "val\\2.png")).ids() == ["coco-1", "coco-2"]
    with pytest.raises(InputError, match=r"image 1: a/1\.png is missing, and 1\.png may be any of 2 images"):
        open_occluders(rename(path, "a/1.png", "b/1.png"))


@pytest.mark.parametrize("name", ["../images/1.png", "/etc/hostname", "a\nb", ""])
def test_a_photo_outside_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    path = two(tmp_path)
    with pytest.raises(InputError, match="image 1"):
        open_occluders(rename(path, name, "2.png"))
    source = open_occluders(f"coco:{path}", skip_bad=True)
    assert source.ids() == ["coco-2"]
    assert source.rejected()[0][0] == "coco-1"


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = two(tmp_path / "set")
    (tmp_path / "set/images/1.png").rename(tmp_path / "elsewhere.png")
    (tmp_path / "set/images/1.png").symlink_to(tmp_path / "elsewhere.png")
    with pytest.raises(InputError, match="a link that leads out"):
        open_occluders(f"coco:{path}")


def test_two_entries_of_one_photo_are_one_group(tmp_path: Path) -> None:
    source = open_occluders(rename(two(tmp_path), "1.png", "1.png"))
    assert {source.group_of(i) for i in source.ids()} == {"coco-photo-1"}


def turned(path: Path, orientation: int) -> None:
    """Store a photo that viewers show 200 wide and 160 high, red at the top, under an EXIF orientation."""
    shown = np.full((160, 200, 3), 40, np.uint8)
    shown[:80] = (200, 40, 40)
    stored = {3: shown[::-1, ::-1], 6: np.rot90(shown)}[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)


@pytest.mark.parametrize("orientation", [3, 6])
def test_annotations_of_a_turned_photo_are_those_that_viewers_show(tmp_path: Path, orientation: int) -> None:
    path = two(tmp_path)
    turned(tmp_path / "images/2.jpg", orientation)
    images = json.loads(path.read_text())["images"]
    right = images[1] | {"file_name": "2.jpg", "height": 160, "width": 200}
    occluder = open_occluders(edited(path, images=[images[0], right])).load("coco-2")
    red = occluder.image[:50, 5:-5].reshape(-1, 3).mean(axis=0)  # rows 20 to 70 of the photo
    assert np.abs(red - (200, 40, 40)).max() < 8
    if orientation == 6:
        stored = right | {"height": 200, "width": 160}
        with pytest.raises(InputError, match=r"image 2: .*before the EXIF orientation \(6\)"):
            open_occluders(edited(path, images=[images[0], stored]))


@pytest.mark.parametrize(
    ("licences", "named", "told"),
    [
        ([{"id": 0, "name": ""}], 0, ""),
        ([{"id": 4}], 4, "4"),
        ([{"id": 4, "name": "CC0"}], 5, "not stated"),
        ([{"id": 4, "name": "CC0"}], None, "not stated"),
        (None, 4, "not stated"),
    ],
)
def test_licences(tmp_path: Path, licences: Any, named: Any, told: str) -> None:
    path = two(tmp_path)
    images = [i | {"license": named} for i in json.loads(path.read_text())["images"]]
    source = open_occluders(edited(path, licenses=licences, images=images))
    assert source.load("coco-1").licence == told


def test_a_licence_id_of_another_type_is_not_silently_unknown(tmp_path: Path) -> None:
    path = two(tmp_path)
    spec = edited(path, licenses=[{"id": "4", "name": "CC BY-NC"}])
    with pytest.raises(InputError, match="image 1: license 4 is a number, but '4' in licenses is text"):
        open_occluders(spec)


VALUES: list[Any] = [None, True, -1, 0, 2**63, 1e30, NAN, float("inf"), "", "1", "a\0b", "\ud800x", [], [1], [[]], {}]


@st.composite
def mutated(draw: st.DrawFn, path: str) -> str:
    data = json.loads(Path(path).read_text())
    for _ in range(draw(st.integers(1, 3))):
        rows = data[draw(st.sampled_from(["images", "annotations", "categories", "licenses"]))]
        row = draw(st.integers(0, len(rows) - 1))
        if draw(st.booleans()) or not isinstance(rows[row], dict) or not rows[row]:
            rows[row] = draw(st.sampled_from([*VALUES, rows[0]]))
            continue
        key = draw(st.sampled_from(sorted(rows[row])))
        value = draw(st.one_of(st.sampled_from(VALUES), st.integers(), st.floats(), st.text(max_size=5)))
        if draw(st.booleans()) and isinstance(rows[row][key], list):
            rows[row][key] = [value, *rows[row][key][1:]]
        elif draw(st.booleans()):
            rows[row][key] = value
        else:
            del rows[row][key]
    return json.dumps(data)


def all_is_told(source: OccluderSource, text: str) -> None:
    """Every annotation is an occluder or is rejected, and everything can be written."""
    assert len(source.ids()) + len(source.rejected()) == len(json.loads(text)["annotations"])
    json.dumps([source.rejected(), source.describe()], ensure_ascii=False, allow_nan=False).encode()
    for occluder_id in source.ids():
        assert source.load(occluder_id).alpha.max() > 0.5


@pytest.fixture(scope="module")
def pattern(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return two(tmp_path_factory.mktemp("pattern"))


@given(st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_file_works_or_is_refused_in_one_line(pattern: Path, data: st.DataObject) -> None:
    text = data.draw(mutated(str(pattern)))
    path = pattern.with_name("mutated.json")
    path.write_text(text)
    for skip_bad in (False, True):
        told = ""
        try:
            all_is_told(open_occluders(f"coco:{path}", skip_bad=skip_bad), text)
        except DeoccError as error:
            told = str(error)
        assert "\n" not in told
        # With --skip-bad, only a file without one good instance is refused.
        assert not (told and skip_bad) or "no occluder left after filters" in told


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 0.8))
@settings(max_examples=60, deadline=None)
def test_the_shape_of_a_mask_is_that_of_its_components(seed: int, share: float) -> None:
    noise = np.random.default_rng(seed).random((24, 30)).astype(np.float32)
    mask = cv2.GaussianBlur(noise, (0, 0), 2) < np.quantile(cv2.GaussianBlur(noise, (0, 0), 2), share)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    assert measure(mask).largest == stats[1:, cv2.CC_STAT_AREA].max() / mask.sum()


def test_the_edge_of_the_window_counts_as_outline() -> None:
    mask, others = np.zeros((20, 20), bool), np.zeros((20, 20), bool)
    mask[:, :10], others[:, 10:] = True, True
    # 20 x 10 pixels have an outline of 56; three columns of it are within reach: 20 + 2 x 2.
    assert touching(mask, others) == pytest.approx(24 / 56)


def test_cut_outs_with_broken_companions(tmp_path: Path) -> None:
    disc = np.zeros((60, 60, 4), np.uint8)
    cv2.circle(disc, (30, 30), 25, (200, 100, 50, 255), -1)
    for name in ("good", "bad"):
        write_png(tmp_path / f"{name}.png", disc)
    for text, told in (
        ("[1]", "must be an object"),
        ('{"category": 5}', "category: expected str | null, got int"),
        ('{"licence": ""}', "licence: not a text that can be used"),
        ('{"category": "\\ud800"}', "bad.json"),
        ("{", "not valid JSON"),
    ):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(InputError, match=r"bad\.json: ") as caught:
            open_occluders(f"rgba:{tmp_path}")
        assert told in str(caught.value)
        source = open_occluders(f"rgba:{tmp_path}", skip_bad=True)
        assert source.ids() == ["rgba-good"]
        assert source.rejected()[0][0] == "rgba-bad"
        assert source.rejected()[0][1].startswith("bad file (")


def test_links_out_of_a_folder_of_cut_outs_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    folder.mkdir()
    disc = np.zeros((60, 60, 4), np.uint8)
    cv2.circle(disc, (30, 30), 25, (200, 100, 50, 255), -1)
    write_png(folder / "disc.png", disc)
    write_png(folder / "._disc.png", disc[:5])  # hidden: not a cut-out
    assert open_occluders(f"rgba:{folder}").ids() == ["rgba-disc"]
    secret = tmp_path / "secret"
    secret.write_text("key")
    (folder / "LICENSE").symlink_to(secret)
    with pytest.raises(InputError, match="a link that leads out"):
        open_occluders(f"rgba:{folder}")
