"""Importers: the public COCOA sample against pycocotools alone, every schema on a drawn scene, and what is refused."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from pycocotools import mask as coco

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.images import write_png
from deocc_bench.core.labels import LIP
from deocc_bench.exchange.import_export import import_
from deocc_bench.exchange.importers import open_source
from deocc_bench.exchange.importers.people import is_person
from deocc_bench.exchange.importers.store import Report, write_dataset
from deocc_bench.synth.validate import validate

DATA = Path(os.environ.get("DEOCC_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
COCOA = DATA / "cocoa" / "COCO_amodal_sample.json"
HEIGHT, WIDTH = 40, 60
PERSON = [5, 5, 25, 5, 25, 35, 5, 35]
BOX = [15.0, 15.0, 45.0, 15.0, 45.0, 30.0, 15.0, 30.0]


def mask_of(polygon: list[float]) -> np.ndarray:
    """pycocotools alone."""
    return coco.decode(coco.merge(coco.frPyObjects([polygon], HEIGHT, WIDTH))).astype(bool)


def rle_of(mask: np.ndarray) -> dict[str, Any]:
    rle = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(v) for v in rle["size"]], "counts": rle["counts"].decode()}


def bring(source: str, out: Path, skip_bad: bool = False, initial_mask: str | None = None, **options: Any) -> Report:
    return write_dataset(open_source(source, **options), out, "x", skip_bad=skip_bad, initial_mask=initial_mask)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for name in ("one.png", "two.png"):
        write_png(folder / name, pixels)
    return folder


def cocoa_scene() -> dict[str, Any]:
    """Two photos; the box stands before the person; the first photo has two annotators; numbers are text."""
    person, box = mask_of(PERSON), mask_of(BOX)
    regions = [
        {"segmentation": BOX, "name": "box ", "area": str(box.sum()), "isStuff": 0, "occlude_rate": 0, "order": "1"},
        {
            "segmentation": PERSON,
            "name": "Man",
            "area": str(person.sum()),
            "isStuff": "0",
            "occlude_rate": "0.4",
            "order": "2",
            "visible_mask": rle_of(person & ~box),
            "invisible_mask": rle_of(person & box),
        },
    ]
    shifted = [{**regions[0], "segmentation": [v + 1 for v in BOX]}]
    return {
        "images": [
            {"id": 1, "file_name": "one.png", "height": HEIGHT, "width": WIDTH},
            {"id": 2, "file_name": "two.png", "height": HEIGHT, "width": WIDTH},
        ],
        # Not in the order of the images: they are matched by id.
        "annotations": [
            {"id": 8, "image_id": 2, "author": "b", "size": 1, "regions": [dict(regions[0])]},
            {"id": 9, "image_id": 1, "author": "a", "depth_constraint": "1-2", "size": 2, "regions": regions},
            {"id": 10, "image_id": 1, "author": "c", "size": 1, "regions": shifted},
        ],
    }


@pytest.fixture
def cocoa_file(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    def write(content: dict[str, Any], name: str = "scene.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write


@pytest.mark.slow
@pytest.mark.skipif(not COCOA.is_file(), reason=f"the COCOA sample is not in {COCOA.parent} (set DEOCC_TEST_DATA)")
def test_cocoa_sample_counts_as_pycocotools_does(tmp_path: Path) -> None:
    """Visible and hidden pixels and IoU of every region, from polygons and depth order alone: hidden is what the
    polygons in front cover. No mask of the file, and none of our code, is used for the expected values."""
    report = bring(f"cocoa:{COCOA}", tmp_path / "out", images=COCOA.parent / "images")
    reader = DatasetReader(tmp_path / "out")
    raw = json.loads(COCOA.read_text())
    sizes = {p["id"]: (p["height"], p["width"]) for p in raw["images"]}
    names = {p["id"]: Path(p["file_name"]).stem for p in raw["images"]}
    checked = 0
    for annotation in raw["annotations"]:
        front = np.zeros(sizes[annotation["image_id"]], bool)
        ordered = sorted(enumerate(annotation["regions"], 1), key=lambda kr: int(kr[1]["order"]))
        for k, region in ordered:
            rle = coco.merge(coco.frPyObjects([region["segmentation"]], *front.shape))
            whole = coco.decode(rle).astype(bool)
            hidden, visible = int((whole & front).sum()), int((whole & ~front).sum())
            record = reader.record("test", f"{names[annotation['image_id']]}-{k:02d}")
            modal, invisible = coco.decode(record.modal), coco.decode(record.annotation["invisible_mask"])
            assert int(modal.sum()) == visible
            assert int(invisible.sum()) == hidden
            assert int(coco.area(record.amodal)) == visible + hidden == int(region["area"])
            assert record.occlusion_ratio == hidden / (visible + hidden)
            assert float(coco.iou([record.modal], [record.amodal], [0])[0, 0]) == visible / (visible + hidden)
            assert np.array_equal(modal.astype(bool), whole & ~front)
            front |= whole
            checked += 1
    assert checked == report.samples == 13
    assert report.photos == 2
    assert report.clipped == 0
    assert validate(tmp_path / "out") == []
    assert not reader.has("complete", "test")
    assert not reader.has("initial", "test")
    # The photos are copies, byte for byte.
    for path in (tmp_path / "out" / "images" / "test").iterdir():
        assert path.read_bytes() == (COCOA.parent / "images" / path.name).read_bytes()


def test_cocoa_regions_annotators_order_and_text_numbers(
    tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path]
) -> None:
    path = cocoa_file(cocoa_scene())
    report = bring(f"cocoa:{path}", tmp_path / "first", images=photos)
    reader = DatasetReader(tmp_path / "first")
    assert reader.ids("test") == ["one-01", "one-02", "two-01"]
    assert report.photos == 2
    man = reader.record("test", "one-02")
    person, box = mask_of(PERSON), mask_of(BOX)
    assert np.array_equal(coco.decode(man.modal).astype(bool), person & ~box)
    assert man.image["file_name"] == reader.record("test", "one-01").image["file_name"]
    notes = man.annotation["provenance"]
    assert (notes["order"], notes["depth_constraint"], notes["author"], notes["name"]) == (2, "1-2", "a", "Man")
    assert [(o["category"], o["order"]) for o in man.occluders] == [("box", 1)]
    assert validate(tmp_path / "first") == []

    assert bring(f"cocoa:{path}", tmp_path / "all", images=photos, annotators="all").samples == 4
    assert DatasetReader(tmp_path / "all").ids("test") == ["one-01", "one-02", "one-a2-01", "two-01"]
    assert bring(f"cocoa:{path}", tmp_path / "people", images=photos, regions="persons").samples == 1


def test_visible_mask_from_the_invisible_one_and_splits_from_file_names(
    tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path]
) -> None:
    scene = cocoa_scene()
    del scene["annotations"][1]["regions"][1]["visible_mask"]
    bring(f"cocoa:{cocoa_file(scene, 'COCO_val2014.json')}", tmp_path / "out", images=photos)
    reader = DatasetReader(tmp_path / "out")
    assert reader.splits == ("val",)
    seen = mask_of(PERSON) & ~mask_of(BOX)
    assert np.array_equal(coco.decode(reader.record("val", "one-02").modal).astype(bool), seen)


def _break_size(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][1]["visible_mask"]["size"] = [WIDTH, HEIGHT]


def _break_photo(scene: dict[str, Any]) -> None:
    scene["images"][0]["file_name"] = "gone.png"


def _break_height(scene: dict[str, Any]) -> None:
    scene["images"][0]["height"] = HEIGHT + 1
    for region in scene["annotations"][1]["regions"]:
        for key in ("visible_mask", "invisible_mask"):
            region.pop(key, None)
        region["occlude_rate"] = 0


def _break_polygon(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][1]["segmentation"] = [1, 2, 3, 4]


def _break_frame(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][0]["segmentation"] = [100, 100, 120, 100, 120, 120]


def _break_pairs(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][0]["segmentation"] = [*BOX, 3.0]


def _break_runs(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][1]["visible_mask"] = {"size": [HEIGHT, WIDTH], "counts": [3, 4]}


def _break_inside(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][1]["visible_mask"] = rle_of(~mask_of(PERSON))


def _break_number(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][1]["occlude_rate"] = "much"


def _break_rate(scene: dict[str, Any]) -> None:
    for key in ("visible_mask", "invisible_mask"):
        del scene["annotations"][1]["regions"][1][key]


def _break_region(scene: dict[str, Any]) -> None:
    scene["annotations"][1]["regions"][1] = "man"


def _break_name(scene: dict[str, Any]) -> None:
    del scene["images"][1]["file_name"]
    scene["annotations"][0]["regions"].append(scene["annotations"][0]["regions"][0])


@pytest.mark.parametrize(
    ("harm", "says", "left"),
    [
        (_break_size, "an RLE of size", 2),
        (_break_photo, "its photo gone.png is not in", 1),
        (_break_height, "is 60 x 41, but its photo one.png is 60 x 40", 1),
        (_break_polygon, "list of polygons", 2),
        (_break_frame, "the amodal mask is empty", 2),
        (_break_pairs, "not pairs", 2),
        (_break_runs, "runs", 2),
        (_break_inside, "are outside the amodal mask", 2),
        (_break_number, "occlude_rate must be a number", 2),
        (_break_rate, "there is no visible_mask", 2),
        (_break_region, "must be an object, got 'man'", 2),
        (_break_name, "missing required field file_name", 2),
    ],
)
def test_what_is_wrong_is_named_or_listed(
    tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path], harm: Callable, says: str, left: int
) -> None:
    scene = cocoa_scene()
    harm(scene)
    source = f"cocoa:{cocoa_file(scene)}"
    with pytest.raises(InputError, match=says) as caught:
        bring(source, tmp_path / "strict", images=photos)
    assert "\n" not in str(caught.value)
    report = bring(source, tmp_path / "lenient", skip_bad=True, images=photos)
    assert report.samples == left
    with open(tmp_path / "lenient" / "rejected.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    # A photo that is missing is one line, however many regions it has.
    assert len(rows) == (1 if harm is _break_photo else 3 - left)
    assert any(says in row["problem"] for row in rows)


@pytest.mark.parametrize("key", ["images", "annotations"])
def test_a_file_of_another_schema_is_refused(
    tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path], key: str
) -> None:
    for content, says in (({**cocoa_scene(), key: {}}, f"no list of {key}"), ({key: [3]}, f"entry 1 of {key}")):
        with pytest.raises(InputError, match=says):
            bring(f"cocoa:{cocoa_file({**cocoa_scene(), **content})}", tmp_path / "out", images=photos)


def test_an_annotation_of_no_listed_image_is_one_line(
    tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path]
) -> None:
    says = {99: "refers to image 99, but it is not listed", None: "image_id: expected int | str, got null"}
    for image_id, told in says.items():
        scene = flat_scene("segmentation", "visible_mask")
        scene["annotations"][1]["image_id"] = image_id
        with pytest.raises(InputError, match=re.escape(told)):
            bring(f"d2sa:{cocoa_file(scene)}", tmp_path / f"out-{image_id}", images=photos)


def test_a_visible_mask_that_leaves_the_amodal_one_is_clipped_and_counted(
    tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path]
) -> None:
    scene = cocoa_scene()
    extra = mask_of(PERSON) & ~mask_of(BOX)
    extra[0, :7] = True
    scene["annotations"][1]["regions"][1]["visible_mask"] = rle_of(extra)
    report = bring(f"cocoa:{cocoa_file(scene)}", tmp_path / "out", images=photos)
    assert (report.clipped, report.clipped_pixels) == (1, 7)
    assert validate(tmp_path / "out") == []


def flat_scene(amodal: str, modal: str, **extra: Any) -> dict[str, Any]:
    person, box = mask_of(PERSON), mask_of(BOX)
    return {
        "images": [{"id": 3, "file_name": "deep/one.png", "height": HEIGHT, "width": WIDTH, "license": 1}],
        "licenses": [{"id": 1, "name": "CC0"}],
        "categories": [{"id": 4, "name": "pedestrian"}, {"id": 5, "name": "car"}],
        "annotations": [
            {"id": 21, "image_id": 3, "category_id": 4, amodal: [PERSON], modal: rle_of(person & ~box), **extra},
            {"id": 22, "image_id": 3, "category_id": 5, amodal: rle_of(box), modal: rle_of(box), **extra},
        ],
    }


@pytest.mark.parametrize(
    ("kind", "amodal", "modal"),
    [
        ("kins", "segmentation", "inmodal_seg"),
        ("kins", "a_segm", "i_segm"),
        ("d2sa", "segmentation", "visible_mask"),
        ("cocoa", "segmentation", "visible_mask"),
    ],
)
def test_flat_dialects(
    tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path], kind: str, amodal: str, modal: str
) -> None:
    path = cocoa_file(flat_scene(amodal, modal, oco_id=1, ico_id=2))
    assert bring(f"{kind}:{path}", tmp_path / "out", images=photos).samples == 2
    reader = DatasetReader(tmp_path / "out")
    walker = reader.record("test", "one-21")
    assert np.array_equal(coco.decode(walker.modal).astype(bool), mask_of(PERSON) & ~mask_of(BOX))
    assert [o["category"] for o in walker.occluders] == ["car"]
    assert walker.image["licence"] == "CC0"
    assert walker.annotation["provenance"]["ico_id"] == 2
    assert validate(tmp_path / "out") == []
    assert bring(f"{kind}:{path}", tmp_path / "people", images=photos, regions="persons").samples == 1


def test_what_nobody_annotated_hides_as_unknown(tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path]) -> None:
    scene = flat_scene("segmentation", "visible_mask")
    del scene["annotations"][1]
    bring(f"d2sa:{cocoa_file(scene)}", tmp_path / "out", images=photos)
    (occluder,) = DatasetReader(tmp_path / "out").record("test", "one-21").occluders
    assert occluder["category"] == "unknown"
    assert np.array_equal(coco.decode(occluder["segmentation"]).astype(bool), mask_of(PERSON) & mask_of(BOX))


@pytest.fixture
def plain_folder(tmp_path: Path) -> Path:
    root = tmp_path / "plain"
    person, box = mask_of(PERSON), mask_of(BOX)
    pixels = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
    for name in ("a", "b"):
        (root / "images").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "images" / f"{name}.jpg"), pixels)
        write_png(root / "amodal" / f"{name}.png", person)
        write_png(root / "modal" / f"{name}.png", person & ~box)
        write_png(root / "complete" / f"{name}.png", pixels)
        write_png(root / "parsing" / f"{name}.png", np.where(person, 5, 0).astype(np.uint8), LIP.palette())
    return root


def test_folder(tmp_path: Path, plain_folder: Path) -> None:
    assert bring(f"folder:{plain_folder}", tmp_path / "out", initial_mask="perfect").samples == 2
    reader = DatasetReader(tmp_path / "out")
    assert all(reader.has(what, "test") for what in ("complete", "parsing", "initial"))
    sample = reader.sample("test", "a")
    assert np.array_equal(sample.initial, sample.modal)
    assert np.array_equal(sample.invisible, mask_of(PERSON) & mask_of(BOX))
    assert validate(tmp_path / "out") == []

    (plain_folder / "modal" / "b.png").unlink()
    with pytest.raises(InputError, match="no such file"):
        bring(f"folder:{plain_folder}", tmp_path / "strict")
    assert bring(f"folder:{plain_folder}", tmp_path / "lenient", skip_bad=True).samples == 1
    write_png(plain_folder / "modal" / "b.png", np.zeros((3, 3), bool))
    with pytest.raises(InputError, match=r"is 3 x 3, but its photo b.jpg is 60 x 40"):
        bring(f"folder:{plain_folder}", tmp_path / "sizes")


def test_ahp(tmp_path: Path) -> None:
    root = tmp_path / "AHP" / "train"
    person = mask_of(PERSON)
    for folder in ("JPEGImages", "ImageSets"):
        (root / folder).mkdir(parents=True)
    labels = np.where(person, 5, 0).astype(np.uint8)
    labels[5:8, 5:25], labels[0, 0] = 255, 9
    for name in ("p1", "p2"):
        cv2.imwrite(str(root / "JPEGImages" / f"{name}.jpg"), np.full((HEIGHT, WIDTH, 3), 50, np.uint8))
        write_png(root / "Annotations" / f"{name}.png", person)
        write_png(root / "PseudoParsingAnnotations" / f"{name}.png", labels)
    (root / "ImageSets" / "train.txt").write_text("p1\n")
    (root / "ImageSets" / "val.txt").write_text("p2.jpg\n")
    assert bring(f"ahp:{tmp_path / 'AHP'}", tmp_path / "out").samples == 2
    reader = DatasetReader(tmp_path / "out")
    assert reader.splits == ("train", "val")
    sample = reader.sample("val", "p2")
    assert sample.occlusion_ratio == 0
    assert np.array_equal(sample.image, sample.complete)
    assert np.array_equal(sample.parsing, np.where(person, 5, 0)), "255 takes its neighbour's label, strays are cut"


@pytest.mark.parametrize("name", ["../p1", "/p1", "JPEGImages/p1.jpg", ".hidden", "p\x00"])
def test_ahp_lists_hold_plain_names(tmp_path: Path, name: str) -> None:
    root = tmp_path / "AHP"
    for folder in ("JPEGImages", "ImageSets"):
        (root / folder).mkdir(parents=True)
    for photo in ("p.1", "p2"):
        cv2.imwrite(str(root / "JPEGImages" / f"{photo}.jpg"), np.full((HEIGHT, WIDTH, 3), 50, np.uint8))
        write_png(root / "Annotations" / f"{photo}.png", mask_of(PERSON))
    (root / "ImageSets" / "train.txt").write_text(f"p.1\n{name}\np2.JPG\n")
    with pytest.raises(InputError, match=r"train.txt: the name .* can't be a file name"):
        bring(f"ahp:{root}", tmp_path / "strict")
    assert bring(f"ahp:{root}", tmp_path / "out", skip_bad=True).samples == 2
    assert DatasetReader(tmp_path / "out").ids("train") == ["p.1", "p2"]
    (root / "ImageSets" / "train.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"train.txt: is not UTF-8 text"):
        bring(f"ahp:{root}", tmp_path / "bytes")


def test_folder_with_two_photos_of_one_id(tmp_path: Path, plain_folder: Path) -> None:
    cv2.imwrite(str(plain_folder / "images" / "a.png"), np.full((HEIGHT, WIDTH, 3), 10, np.uint8))
    with pytest.raises(InputError, match="another photo has the id a, too"):
        bring(f"folder:{plain_folder}", tmp_path / "strict")
    report = bring(f"folder:{plain_folder}", tmp_path / "out", skip_bad=True)
    assert (report.samples, len(report.bad)) == (1, 2)


@pytest.mark.parametrize("kind", ["images", "amodal", "modal", "complete", "parsing"])
def test_folder_without_links_that_lead_out(tmp_path: Path, plain_folder: Path, kind: str) -> None:
    (file,) = (plain_folder / kind).glob("b.*")
    file.rename(tmp_path / file.name)
    file.symlink_to(tmp_path / file.name)
    with pytest.raises(InputError, match="is a link that leads out of"):
        bring(f"folder:{plain_folder}", tmp_path / "strict")
    assert bring(f"folder:{plain_folder}", tmp_path / "out", skip_bad=True).samples == 1


def test_soft_masks_are_counted(tmp_path: Path, plain_folder: Path) -> None:
    for kind in ("amodal", "modal"):
        path = plain_folder / kind / "b.png"
        mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        mask[0, 0], mask[5, 5] = 100, 160
        cv2.imwrite(str(path), mask)
    report = bring(f"folder:{plain_folder}", tmp_path / "out")
    assert report.soft == 2
    reader = DatasetReader(tmp_path / "out")
    assert reader.info["imported"]["soft"] == 2
    assert np.array_equal(coco.decode(reader.record("test", "b").amodal).astype(bool), mask_of(PERSON))


@pytest.mark.parametrize("suffix", ["jpg", "tif", "webp", "png"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_photos_are_written_upright(tmp_path: Path, plain_folder: Path, suffix: str, orientation: int) -> None:
    """What viewers show is what every reader of the dataset sees, pixel by pixel."""
    upright = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    upright[:10, :20] = (200, 100, 30)
    stored = {1: upright, 3: upright[::-1, ::-1], 6: np.rot90(upright)}[orientation]
    tag = Image.Exif()
    tag[0x0112] = orientation
    (plain_folder / "images" / "b.jpg").unlink()
    file = plain_folder / "images" / f"b.{suffix}"
    Image.fromarray(np.ascontiguousarray(stored)).save(file, exif=tag.tobytes(), quality=100, lossless=True)
    report = bring(f"folder:{plain_folder}", tmp_path / "out")
    reader = DatasetReader(tmp_path / "out")
    written = reader.record("test", "b").image_path
    with Image.open(written) as im:
        assert im.getexif().get(0x0112, 1) == 1
        pixels = np.asarray(im.convert("RGB"))
    assert np.abs(pixels.astype(int) - upright).mean() < 3
    assert np.array_equal(reader.sample("test", "b").image, pixels)
    assert report.turned == (orientation != 1)
    assert written.suffix == (".png" if orientation != 1 else f".{suffix}")
    assert orientation != 1 or written.read_bytes() == file.read_bytes()
    assert reader.info["imported"].get("turned", 0) == report.turned
    assert validate(tmp_path / "out") == []


def test_an_annotation_before_turning_is_named(tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path]) -> None:
    tag = Image.Exif()
    tag[0x0112] = 6
    (photos / "one.png").unlink()
    Image.new("RGB", (WIDTH, HEIGHT)).save(photos / "one.png", exif=tag.tobytes())
    with pytest.raises(InputError, match=r"drawn before the EXIF orientation \(6\) of the photo was applied"):
        bring(f"cocoa:{cocoa_file(cocoa_scene())}", tmp_path / "out", images=photos)


def test_command_line(tmp_path: Path, photos: Path, cocoa_file: Callable[..., Path]) -> None:
    path = cocoa_file(cocoa_scene())
    arguments = [f"cocoa:{path}", "--images", str(photos), "--out", str(tmp_path / "out"), "--quiet"]
    result = CliRunner().invoke(import_, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    assert "3 samples of 2 photos" in result.output
    again = CliRunner().invoke(import_, arguments)
    assert isinstance(again.exception, UsageError)
    assert "the folder is not empty" in str(again.exception)
    arguments[-2] = str(tmp_path / "json")
    shown = CliRunner().invoke(import_, [*arguments, "--json", "--limit", "2"], catch_exceptions=False)
    assert json.loads(shown.stdout)["samples"] == 2


@pytest.mark.parametrize(
    ("source", "options", "kind", "says"),
    [
        ("cocoa", {}, UsageError, "KIND:PATH"),
        ("cocos:x.json", {}, UsageError, "did you mean 'cocoa'"),
        ("cocoa:missing.json", {}, InputError, "no such file"),
        ("cocoa:missing.json", {"annotators": "al"}, UsageError, "did you mean 'all'"),
        ("kins:missing.json", {"regions": "person"}, UsageError, "did you mean 'persons'"),
        ("d2sa:missing.json", {"annotators": "all"}, UsageError, "unknown option of d2sa 'annotators'"),
        ("folder:.", {}, InputError, "has no folder"),
        ("ahp:.", {}, InputError, "JPEGImages"),
    ],
)
def test_wrong_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, options: dict, kind: type, says: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(kind, match=says):
        bring(source, tmp_path / "out", **options)


def test_photos_must_be_somewhere(tmp_path: Path, cocoa_file: Callable[..., Path]) -> None:
    path = cocoa_file(cocoa_scene())
    with pytest.raises(UsageError, match="--images DIR"):
        bring(f"cocoa:{path}", tmp_path / "out")
    with pytest.raises(UsageError, match="no such folder"):
        bring(f"cocoa:{path}", tmp_path / "out", images=tmp_path / "nowhere")


@pytest.mark.parametrize(("name", "person"), [("Man ", True), ("person-sitting", True), ("mantel", False), ("", False)])
def test_person_names(name: str, person: bool) -> None:
    assert is_person(name) is person
