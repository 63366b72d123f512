"""Annotation files of strangers: ids, file names, categories and types, each with the right value or one line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated
from PIL import Image
from pycocotools import mask as coco

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import FaultError, InputError, UsageError
from deocc_bench.core.images import write_png
from deocc_bench.core.paths import LONGEST, is_safe_id
from deocc_bench.exchange.import_export import import_
from deocc_bench.exchange.importers import open_source
from deocc_bench.exchange.importers.annotated import Bad
from deocc_bench.exchange.importers.names import component
from deocc_bench.exchange.importers.people import is_person
from deocc_bench.exchange.importers.photo_files import PhotoFolder
from deocc_bench.exchange.importers.store import Report, write_dataset
from deocc_bench.synth.validate import validate

HEIGHT, WIDTH = 40, 60
WHOLE = [5, 5, 25, 5, 25, 35, 5, 35]
HALF = [5, 5, 25, 5, 25, 20, 5, 20]
GREEN, RED = (30, 160, 40), (200, 40, 40)
Change = Callable[[dict[str, Any]], object]


def photo(number: object, name: str, **more: object) -> dict[str, Any]:
    return {"id": number, "file_name": name, "height": HEIGHT, "width": WIDTH} | more


def flat_file() -> dict[str, Any]:
    """Annotation 81 on the green photo good.png, and 82 on the red photo odd.png."""
    entries = [
        {"id": 80 + k, "image_id": 70 + k, "category_id": 50 + k, "segmentation": [WHOLE], "visible_mask": [HALF]}
        for k in (1, 2)
    ]
    return {
        "images": [photo(71, "good.png"), photo(72, "odd.png")],
        "annotations": entries,
        "categories": [{"id": 51, "name": "person"}, {"id": 52, "name": "car"}],
    }


def cocoa_file() -> dict[str, Any]:
    region = {"segmentation": WHOLE, "visible_mask": [HALF], "name": "man", "order": 1, "occlude_rate": 0.5}
    return {
        "images": [photo(71, "good.png"), photo(72, "odd.png")],
        "annotations": [{"id": 80 + k, "image_id": 70 + k, "regions": [dict(region)]} for k in (1, 2)],
    }


def kins_file() -> dict[str, Any]:
    data = flat_file()
    for annotation in data["annotations"]:
        annotation["inmodal_seg"] = annotation.pop("visible_mask")
    return data


FILES = {"d2sa": flat_file, "kins": kins_file, "cocoa": cocoa_file}


def paint(path: Path, colour: tuple[int, int, int]) -> None:
    write_png(path, np.full((HEIGHT, WIDTH, 3), colour, np.uint8))


class Place:
    """A folder with photos, and imports from it."""

    def __init__(self, root: Path) -> None:
        self.root, self.images, self.runs = root, root / "img", 0
        paint(self.images / "good.png", GREEN)
        paint(self.images / "odd.png", RED)

    def bring(self, content: object, kind: str = "d2sa", skip_bad: bool = False, **options: Any) -> Report:
        self.runs += 1
        path = self.root / "ann.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        source = open_source(f"{kind}:{path}", images=self.images, **options)
        return write_dataset(source, self.out, "x", skip_bad=skip_bad)

    @property
    def out(self) -> Path:
        """The folder of the last import."""
        return self.root / f"out{self.runs}"

    @property
    def data(self) -> DatasetReader:
        return DatasetReader(self.out)

    def rejected(self) -> list[dict[str, str]]:
        with open(self.out / "rejected.csv", newline="", encoding="utf-8") as f:
            return list(csv.DictReader(f))

    def colour(self, sample_id: str) -> list[int]:
        """The colour of the photo of a sample, as any reader sees it."""
        record = self.data.record("test", sample_id)
        return np.asarray(Image.open(record.image_path).convert("RGB"))[10, 10].tolist()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_plain_file_has_the_ids_it_always_had(place: Place) -> None:
    report = place.bring(flat_file())
    assert (report.samples, report.photos, report.renamed, report.turned, report.soft) == (2, 2, 0, 0, 0)
    assert place.data.ids("test") == ["good-81", "odd-82"]
    assert [r.group_id for r in place.data.records("test")] == ["good", "odd"]
    assert set(place.data.info["imported"]) == {"left_out", "clipped", "clipped_pixels", "initial_mask"}
    assert place.colour("odd-82") == list(RED)
    assert place.data.fingerprint == "2f8a6c8cea6f056dd69c3b1fbd1fa6f3b0fd81280c7e8babb6a1847bbe4753e7"


# --- ids ---


def _image_twice(data: dict[str, Any]) -> None:
    data["images"].append(photo(72, "good.png"))


def _image_as_text_too(data: dict[str, Any]) -> None:
    data["images"].append(photo("72", "good.png"))


def _category_twice(data: dict[str, Any]) -> None:
    data["categories"].append({"id": 52, "name": "cup"})


def _annotation_twice(data: dict[str, Any]) -> None:
    data["annotations"][1]["id"] = 81


def _unknown_category(data: dict[str, Any]) -> None:
    data["annotations"][1]["category_id"] = 99


def _nameless_category(data: dict[str, Any]) -> None:
    del data["categories"][1]["name"]


def _category_without_id(data: dict[str, Any]) -> None:
    del data["categories"][1]["id"]


def _unknown_licence(data: dict[str, Any]) -> None:
    data["licenses"] = [{"id": 1, "name": "CC0"}]
    data["images"][1]["license"] = 3


def _crowd(data: dict[str, Any]) -> None:
    data["annotations"][1]["iscrowd"] = "1"


def _image_null(data: dict[str, Any]) -> None:
    data["images"][1] = None


def _image_without_id(data: dict[str, Any]) -> None:
    del data["images"][1]["id"]


def _image_id_list(data: dict[str, Any]) -> None:
    data["annotations"][1]["image_id"] = [72]


def _category_list(data: dict[str, Any]) -> None:
    data["annotations"][1]["category_id"] = [52]


def _annotation_null(data: dict[str, Any]) -> None:
    data["annotations"][1] = None


def _huge_height(data: dict[str, Any]) -> None:
    data["images"][1]["height"] = 10**7


def _half_height(data: dict[str, Any]) -> None:
    data["images"][1]["height"] = 40.5


def _nan_polygon(data: dict[str, Any]) -> None:
    data["annotations"][1]["segmentation"] = [[float("nan"), 1, 60, 60, 70, 80]]


def _huge_rate(data: dict[str, Any]) -> None:
    data["annotations"][1]["occlude_rate"] = 10**400


def _same_file(data: dict[str, Any]) -> None:
    data["images"].append(photo(73, "odd.png"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_image_twice, "ann.json: images: two entries have the id 72"),
        (_image_as_text_too, "two entries have the id 72 and '72'"),
        (_category_twice, "ann.json: categories: two entries have the id 52"),
        (_annotation_twice, "annotation 81 (image 72): two annotations have the id 81"),
        (_unknown_category, "annotation 82 (image 72): category_id 99 is not in the list of categories"),
        (_nameless_category, "entry 2 of categories: object missing required field name"),
        (_category_without_id, "entry 2 of categories: lacks an id"),
        (_unknown_licence, "image 72: license 3 is not in the list of licenses"),
        (_crowd, "annotation 82 (image 72): is a crowd (iscrowd)"),
        (_image_null, "entry 2 of images: must be an object, got None"),
        (_image_without_id, "entry 2 of images: lacks an id"),
        (_image_id_list, "annotation 82 (image [72]): image_id: expected int | str, got array"),
        (_category_list, "annotation 82 (image 72): category_id: expected int | str | null, got array"),
        (_annotation_null, "entry 2 of annotations: must be an object, got None"),
        (_huge_height, "image 72: claims 60 x 10000000 pixels"),
        (_half_height, "image 72: height must be a whole number, got 40.5"),
        (_nan_polygon, "annotation 82 (image 72): segmentation[0][0]: holds a number"),
        (_huge_rate, "annotation 82 (image 72): occlude_rate: holds a number"),
        (_same_file, "image 72: two images have the file name 'odd.png'"),
    ],
)
def test_a_bad_entry_is_one_line_or_skipped(place: Place, change: Change, says: str) -> None:
    content = flat_file()
    change(content)
    with pytest.raises(InputError) as caught:
        place.bring(content)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not place.out.exists()
    report = place.bring(content, skip_bad=True)
    assert place.data.ids("test") == ["good-81"]
    assert report.samples == 1
    assert len(report.bad) in (1, 2)
    assert any(says in f"{row['where']}: {row['problem']}" for row in place.rejected())
    assert validate(place.out) == []


def test_ids_as_text_meet_their_numbers(place: Place) -> None:
    content = flat_file()
    content["images"][1]["id"] = "72"
    content["annotations"][0]["category_id"] = "51"
    place.bring(content)
    assert place.colour("odd-82") == list(RED)
    assert [r.truth.category for r in place.data.records("test")] == ["person", "car"]


def test_without_a_list_of_categories_nothing_is_named(place: Place) -> None:
    content = flat_file()
    del content["categories"], content["annotations"][0]["category_id"]
    place.bring(content)
    assert [r.truth.category for r in place.data.records("test")] == ["unnamed", "unnamed"]


@pytest.mark.parametrize(
    ("foreign", "sample_id"),
    [
        ("/etc/passwd", "odd-%2Fetc%2Fpasswd"),
        ("..", "odd-.."),
        ("../../x", "odd-..%2F..%2Fx"),
        ("a\\b", "odd-a%5Cb"),
        ("a\0b", "odd-a%00b"),
        ("\x1b[31m", "odd-%1B[31m"),
        ("50%/2", "odd-50%25%2F2"),
        ("e\u0301", "odd-e\u0301"),
    ],
)
def test_foreign_ids_become_one_component(place: Place, foreign: str, sample_id: str) -> None:
    content = flat_file()
    content["annotations"][1]["id"] = foreign
    report = place.bring(content)
    assert place.data.ids("test") == ["good-81", sample_id]
    notes = place.data.record("test", sample_id).annotation["provenance"]
    assert unquote(notes["annotation_id"]) == unquote(foreign)
    changed = sample_id != f"odd-{foreign}"
    assert report.renamed == changed
    assert place.data.info["imported"].get("renamed", 0) == changed
    if changed:
        assert unquote(sample_id.removeprefix("odd-")) == foreign


def test_long_ids_are_cut_and_stay_apart(place: Place) -> None:
    content = flat_file()
    for annotation, end in zip(content["annotations"], "ab", strict=True):
        annotation |= {"id": "é" * 400 + end, "image_id": 71}
    assert place.bring(content).renamed == 2
    ids = place.data.ids("test")
    assert len(set(ids)) == 2
    assert all(len(i.encode()) <= LONGEST for i in ids)
    notes = [r.annotation["provenance"]["annotation_id"] for r in place.data.records("test")]
    assert sorted(notes) == ["é" * 400 + "a", "é" * 400 + "b"]


@given(st.text(st.characters(codec=None), max_size=300))
def test_component_is_safe(name: str) -> None:
    assert is_safe_id(component(f"x{name}"))


@given(st.text(st.characters(codec=None), max_size=20))
def test_component_is_reversible(name: str) -> None:
    coded = component(f"x{name}")
    if coded != f"x{name}":
        assert unquote(coded, errors="surrogatepass") == f"x{name}"


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("sample_id", "../../x", "sample_id must be a name"),
        ("human_id", "../../x", "the human_id '../../x' can't be a file name"),
        ("complete_file_name", "../img/good.png", "complete_file_name must be a file name inside"),
        ("parsing_file_name", "/etc/hostname", "parsing_file_name must be a file name inside"),
        ("initial_mask", {"size": [4, 4], "counts": [16]}, "initial_mask is [4, 4], but its photo is [40, 60]"),
        ("initial_mask", {"size": [HEIGHT, WIDTH], "counts": "o"}, "initial_mask: an RLE whose runs don't fill"),
    ],
)
def test_fields_of_our_export_are_not_trusted(place: Place, key: str, value: object, says: str) -> None:
    content = flat_file()
    own = {"sample_id": "mine", "human_id": "h", "group_id": "g", "licence": "CC0", "occluders": []}
    content["annotations"][1]["deocc_bench"] = own
    place.bring(content)
    assert place.data.ids("test") == ["good-81", "mine"]
    own[key] = value  # type: ignore[assignment]
    with pytest.raises(InputError) as caught:
        place.bring(content)
    assert str(caught.value).startswith(f"{place.root / 'ann.json'}: annotation 82 (image 72): ")
    assert says in str(caught.value)


def test_two_samples_of_one_export_id(place: Place) -> None:
    content = flat_file()
    for annotation in content["annotations"]:
        annotation |= {"image_id": 71, "deocc_bench": {"sample_id": "one", "human_id": "h", "group_id": "g"}}
    with pytest.raises(InputError, match="two samples have the id one"):
        place.bring(content)


# --- photos ---


@pytest.mark.parametrize(
    ("written", "on_disk"),
    [
        ("my%20odd.png", "my odd.png"),
        ("train\\odd.png", "odd.png"),
        ("train\\odd.png", "train/odd.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("\u00e9.png", "e\u0301.png"),
        ("/data/val/odd.png", "odd.png"),
        ("../odd.png", "odd.png"),
        ("100%.png", "100%.png"),
    ],
)
def test_names_that_converters_write(place: Place, written: str, on_disk: str) -> None:
    content = flat_file()
    content["images"][1]["file_name"] = written
    (place.images / on_disk).parent.mkdir(exist_ok=True)
    (place.images / "odd.png").rename(place.images / on_disk)
    place.bring(content)
    (sample_id,) = (i for i in place.data.ids("test") if i.endswith("82"))
    assert place.colour(sample_id) == list(RED)


def test_photos_of_one_name_are_two_groups(place: Place) -> None:
    content = flat_file()
    content["images"] = [photo(71, "a/0001.png"), photo(72, "b/0001.png")]
    paint(place.images / "a/0001.png", GREEN)
    paint(place.images / "b/0001.png", RED)
    place.bring(content)
    assert place.data.ids("test") == ["a%2F0001.png-81", "b%2F0001.png-82"]
    assert [r.group_id for r in place.data.records("test")] == ["a/0001.png", "b/0001.png"]
    assert [place.colour(i) for i in place.data.ids("test")] == [list(GREEN), list(RED)]


def test_photos_of_two_suffixes_are_two_groups(place: Place) -> None:
    content = flat_file()
    content["images"] = [photo(71, "x.png"), photo(72, "x.bmp")]
    paint(place.images / "x.png", GREEN)
    Image.new("RGB", (WIDTH, HEIGHT), RED).save(place.images / "x.bmp")
    place.bring(content)
    assert place.data.ids("test") == ["x.bmp-82", "x.png-81"]
    assert [r.group_id for r in place.data.records("test")] == ["x.bmp", "x.png"]
    assert place.colour("x.bmp-82") == list(RED)


def test_a_name_that_two_photos_could_mean_is_refused(place: Place) -> None:
    content = flat_file()
    content["images"] = [photo(71, "a/0001.png"), photo(72, "b/0001.png")]
    paint(place.images / "0001.png", RED)
    with pytest.raises(InputError, match=r"a/0001.png is not in .*, and 0001.png may be that of another image"):
        place.bring(content)
    content["images"] = [photo(71, "good.png"), photo(72, "my%20odd.png"), photo(73, "my odd.png")]
    paint(place.images / "my odd.png", RED)
    with pytest.raises(InputError, match=r"my odd.png may be that of another image"):
        place.bring(content)


@pytest.mark.parametrize("how", ["link", "folder link"])
def test_links_do_not_lead_out(place: Place, how: str) -> None:
    paint(place.root / "elsewhere" / "odd.png", RED)
    content = flat_file()
    if how == "link":
        (place.images / "odd.png").unlink()
        (place.images / "odd.png").symlink_to(place.root / "elsewhere" / "odd.png")
    else:
        (place.images / "more").symlink_to(place.root / "elsewhere")
        content["images"][1]["file_name"] = "more/odd.png"
    with pytest.raises(InputError, match="is a link that leads out of"):
        place.bring(content)
    assert place.bring(content, skip_bad=True).samples == 1


def test_labels_are_unique() -> None:
    names = ["a.png", "b/a.png", "c.png", "c.png.png", "d.e.jpg", "./f.png"]
    folder = PhotoFolder(Path(), names)
    assert [folder.label(n) for n in names] == ["a.png", "b/a.png", "c", "c.png.png", "d.e", "f"]


# --- meaning ---


def test_nothing_visible_is_nothing(place: Place) -> None:
    for kind, key in (("d2sa", "visible_mask"), ("kins", "inmodal_seg")):
        content = FILES[kind]()
        content["annotations"][1][key] = []
        place.bring(content, kind)
        record = place.data.record("test", "odd-82")
        assert coco.area(record.modal) == 0
        assert record.occlusion_ratio == 1


def test_null_is_no_visible_mask(place: Place) -> None:
    content = flat_file()
    content["annotations"][1] |= {"visible_mask": None, "iscrowd": "0", "bbox": None, "area": "x"}
    place.bring(content)
    assert place.data.record("test", "odd-82").occlusion_ratio == 0


@pytest.mark.parametrize("kind", ["d2sa", "kins", "cocoa"])
def test_plain_coco_has_no_visible_masks(place: Place, kind: str) -> None:
    content = flat_file()
    for annotation in content["annotations"]:
        del annotation["visible_mask"]
    with pytest.raises(InputError, match=r"ann.json: has no visible masks"):
        place.bring(content, kind, skip_bad=True)


@pytest.mark.parametrize(
    ("name", "person"),
    [
        *((n, True) for n in ("man", "Man ", "person-sitting", "old man in red", "baseball player", "people", "man 1")),
        *((n, True) for n in ("woman (occluded)", "man left", "young standing man", "boy riding a bike", "girl, far")),
        *((n, False) for n in ("man's hat", "woman's bag", "baby carriage", "player piano", "shadow of person")),
        *((n, False) for n in ("", "mantel", "car", "men’s room", "statue of a man", "child seat")),
    ],
)
def test_persons_are_people(name: str, person: bool) -> None:
    assert is_person(name) is person


# --- nothing half-written ---


@pytest.mark.parametrize("existed", [False, True])
def test_a_failed_import_leaves_nothing(place: Place, existed: bool) -> None:
    content = flat_file()
    content["annotations"][1]["segmentation"] = 5
    out = place.root / "out1"
    if existed:
        out.mkdir()
    with pytest.raises(InputError):
        place.bring(content)
    assert out.exists() == existed
    assert not existed or list(out.iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 300, "a/" * 60 + "n" * 300])
def test_odd_names_of_folders_are_one_line(place: Place, name: str) -> None:
    with pytest.raises(FaultError, match="can't be written"):
        write_dataset([], place.root / name, "x")
    (place.root / "ann.json").write_text(json.dumps(flat_file()))
    with pytest.raises(UsageError, match="no such folder"):
        list(open_source(f"d2sa:{place.root / 'ann.json'}", images=Path(name)))
    with pytest.raises(InputError, match=r"can't be read|no such file"):
        list(open_source(f"d2sa:{name}", images=place.images))


@pytest.mark.parametrize("split", ["../x", "", "a/b", "a\nb"])
def test_a_split_is_a_plain_name(place: Place, split: str) -> None:
    with pytest.raises(UsageError, match="--split"):
        place.bring(flat_file(), split=split)


def test_the_report_tells_what_was_changed(place: Place) -> None:
    content = flat_file()
    content["annotations"][1]["id"] = "a/b"
    content["images"][1]["file_name"] = "odd.jpg"
    tag = Image.Exif()
    tag[0x0112] = 3
    Image.new("RGB", (WIDTH, HEIGHT), RED).save(place.images / "odd.jpg", exif=tag.tobytes())
    (place.root / "ann.json").write_text(json.dumps(content))
    arguments = [f"d2sa:{place.root / 'ann.json'}", "--images", str(place.images), "--quiet", "--out"]
    told = CliRunner().invoke(import_, [*arguments, str(place.root / "a")], catch_exceptions=False)
    assert "turned upright: 1 photos" in told.output
    assert "renamed: 1 samples" in told.output
    assert "soft masks" not in told.output
    shown = CliRunner().invoke(import_, [*arguments, str(place.root / "b"), "--json"], catch_exceptions=False)
    report = json.loads(shown.stdout)
    assert (report["turned"], report["renamed"], report["soft"]) == (1, 1, 0)
    assert DatasetReader(place.root / "b").info["imported"]["turned"] == 1


# --- anything ---


def with_own_fields(kind: str) -> dict[str, Any]:
    """A file whose second entry comes from our export."""
    content = FILES[kind]()
    own = {"sample_id": "mine", "human_id": "h", "group_id": "g", "licence": "CC0", "variant": 1}
    shape = {"size": [HEIGHT, WIDTH], "counts": [0, 30, HEIGHT * WIDTH - 30]}
    occluder = {"id": "o", "category": "car", "order": 1, "group_id": "q", "licence": "CC0", "segmentation": shape}
    own |= {"occluders": [occluder], "provenance": {"seed": 3}, "parts_hidden": {"hair": 0.5}, "initial_mask": shape}
    target = content["annotations"][1]
    (target["regions"][0] if kind == "cocoa" else target)["deocc_bench"] = own
    return content


ANY_FILE = st.sampled_from(sorted(FILES)).flatmap(lambda k: st.tuples(st.just(k), mutated(with_own_fields(k))))
FUZZ = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@settings(FUZZ, max_examples=200)
@given(ANY_FILE)
def test_any_file_works_or_is_one_line(place: Place, file: tuple[str, str]) -> None:
    kind, text = file
    path = place.root / "ann.json"
    path.write_text(text)
    with suppress(InputError, UsageError):
        found = list(open_source(f"{kind}:{path}", images=place.images))
        assert all("\n" not in str(item.error) for item in found if isinstance(item, Bad))


@pytest.mark.slow
@settings(FUZZ, max_examples=60)
@given(ANY_FILE)
def test_what_is_imported_from_any_file_can_be_read(place: Place, file: tuple[str, str]) -> None:
    kind, text = file
    with suppress(InputError, UsageError):
        place.bring(text, kind, skip_bad=True)
    if place.out.exists():
        # Damage can hide an occluder or clip a mask, but each sample loads.
        assert {f.kind for f in validate(place.out)} <= {"occluder", "complete"}
