from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO

from deocc_bench.core import masks
from deocc_bench.core.annotation import Annotation
from deocc_bench.core.dataset import DatasetReader, annotation_path, fingerprint, sample_digest
from deocc_bench.core.dataset_writer import Line, finish, stable_id, write_sample
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.types import PlacedOccluder, Sample


def sample(sample_id: str, split: str = "test", hidden: int = 10, **changes: Any) -> Sample:
    random = np.random.default_rng(sum(sample_id.encode()))
    complete = random.integers(0, 256, (32, 24, 3), dtype=np.uint8)
    amodal = np.zeros((32, 24), bool)
    amodal[4:28, 6:18] = True
    occluder = np.zeros_like(amodal)
    occluder[20 : 20 + hidden, 2:22] = True
    image = complete.copy()
    image[occluder] ^= 255
    values: dict[str, Any] = {
        "id": sample_id,
        "split": split,
        "group_id": f"photo-{sample_id[:1]}",
        "human_id": f"human-{sample_id[:1]}",
        "variant": 0,
        "image": image,
        "complete": complete,
        "amodal": amodal,
        "modal": amodal & ~occluder,
        "initial": amodal & ~occluder,
        "parsing": np.where(amodal, 5, 0).astype(np.uint8),
        "occluders": (PlacedOccluder("cup-1", "cup", 1, occluder, "CC0", group_id="cups"),),
        "provenance": {"ratio": 0.3},
    }
    return Sample(**(values | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    lines: dict[str, list[Line]] = {"test": [], "train": []}
    for name, split in [("a0", "test"), ("a1", "test"), ("b0", "train")]:
        lines[split].append(write_sample(tmp_path, sample(name, split), "CC0"))

    def reading(split: str) -> Any:
        def read() -> Iterator[Line]:
            return iter(lines[split])

        return read

    finish(tmp_path, "toy", {s: reading(s) for s in lines}, {"seed": 0})
    return tmp_path


def test_round_trip(folder: Path) -> None:
    reader = DatasetReader(folder)
    assert (reader.name, reader.splits, reader.ids("test")) == ("toy", ("test", "train"), ["a0", "a1"])
    expected, got = sample("a1"), reader.sample("test", "a1")
    for field in ("image", "complete", "amodal", "modal", "initial", "parsing"):
        assert np.array_equal(getattr(expected, field), getattr(got, field)), field
    assert np.array_equal(expected.occluders[0].mask, got.occluders[0].mask)
    assert (got.occluders[0].group_id, got.occluders[0].licence, got.provenance) == ("cups", "CC0", {"ratio": 0.3})
    assert reader.info["counts"] == {
        "test": {"samples": 2, "humans": 1, "groups": 1},
        "train": {"samples": 1, "humans": 1, "groups": 1},
    }
    assert reader.info["licences"] == {"CC0": 6}
    assert reader.has("complete", "test")


def test_pycocotools_opens_it_and_its_numbers_agree(folder: Path) -> None:
    coco = COCO(str(annotation_path(folder, "test")))
    assert len(coco.anns) == len(coco.imgs) == 2
    for annotation in coco.anns.values():
        expected = sample(annotation["sample_id"])
        assert np.array_equal(coco.annToMask(annotation).astype(bool), expected.amodal)
        assert annotation["area"] == expected.amodal.sum() == masks.area(annotation["segmentation"])
        assert annotation["bbox"] == [6, 4, 12, 24]
        assert annotation["occlude_rate"] == expected.occlusion_ratio
        assert np.array_equal(masks.decode(annotation["invisible_mask"]), expected.invisible)
        assert (folder / coco.imgs[annotation["image_id"]]["complete_file_name"]).is_file()


def test_what_is_absent_stays_absent(tmp_path: Path) -> None:
    bare = sample("a0", complete=None, initial=None, parsing=None)
    line = write_sample(tmp_path, bare)
    finish(tmp_path, "bare", {"test": lambda: [line]}, {})
    reader = DatasetReader(tmp_path)
    got = reader.sample("test", "a0")
    assert got.complete is None
    assert got.initial is None
    assert got.parsing is None
    assert not any(reader.has(what, "test") for what in ("complete", "parsing", "initial"))
    with pytest.raises(UsageError, match="did you mean 'parsing'"):
        reader.has("parsin", "test")


def test_fingerprint_depends_on_content_and_not_on_order() -> None:
    pairs = [("a", "1"), ("b", "2")]
    assert fingerprint(pairs) == fingerprint(reversed(pairs))
    assert fingerprint(pairs) != fingerprint([("a", "2"), ("b", "1")])


def test_digest_sees_every_part(tmp_path: Path) -> None:
    base = sample("a0")
    line = write_sample(tmp_path, base)["annotation"]

    def digest(**changes: Any) -> str:
        annotation = Annotation.from_json(line | changes.pop("annotation", {}), "a0")
        arrays = {"image": base.image, "complete": base.complete, "parsing": base.parsing} | changes
        return sample_digest(annotation, "test", **arrays)

    assert digest() == line["digest"]
    seen = {digest()}
    other = base.image.copy()
    other[0, 0, 0] ^= 1
    seen |= {digest(image=other), digest(complete=other), digest(parsing=base.parsing * 2), digest(parsing=None)}
    for key in ("segmentation", "visible_mask", "initial_mask"):
        seen.add(digest(annotation={key: masks.encode(np.eye(32, 24, dtype=bool))}))
    seen.add(digest(annotation={"occluders": []}))
    assert len(seen) == 9


def test_ids_depend_on_the_sample_alone() -> None:
    assert stable_id("a0") != stable_id("a1")
    assert 0 <= stable_id("a0") < 2**52


def test_bad_folders(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such dataset folder"):
        DatasetReader(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="not a finished dataset"):
        DatasetReader(tmp_path / "empty")
    reader = DatasetReader(folder)
    with pytest.raises(UsageError, match="did you mean 'test'"):
        reader.ids("tset")
    with pytest.raises(InputError, match="no sample 'zz'"):
        reader.record("test", "zz")
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(info | {"schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        DatasetReader(folder)


@pytest.mark.parametrize("damage", ["key", "image", "twice", "entry", "shape"])
def test_bad_annotations(folder: Path, damage: str) -> None:
    path = annotation_path(folder, "test")
    data = json.loads(path.read_text())
    if damage == "key":
        del data["annotations"][0]["visible_mask"]
    elif damage == "image":
        data["annotations"][0]["image_id"] = 1
    elif damage == "twice":
        data["annotations"].append(data["annotations"][0])
    elif damage == "entry":
        data["annotations"].append("one more")
    else:
        data = []
    path.write_text(json.dumps(data))
    with pytest.raises(InputError, match=r"test\.json"):
        DatasetReader(folder).ids("test")


@pytest.mark.parametrize(
    ("part", "key", "value", "says"),
    [
        ("annotations", "variant", "0", "annotation {id}: variant must be a whole number, got '0'"),
        ("annotations", "initial_mask", "none", "annotation {id}: initial_mask must be an RLE mask"),
        ("images", "height", 3.5, "image {id}: height must be a number of pixels, got 3.5"),
        ("images", "group_id", None, "image {id}: lacks group_id"),
    ],
)
def test_wrong_types_name_file_and_entry(folder: Path, part: str, key: str, value: object, says: str) -> None:
    path = annotation_path(folder, "test")
    data = json.loads(path.read_text())
    data[part][0][key] = value
    path.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        DatasetReader(folder).ids("test")
    assert str(caught.value).startswith(f"{path}: {says.format(id=data[part][0]['id'])}")
    assert "\n" not in str(caught.value)


def test_unknown_keys_are_kept(folder: Path) -> None:
    path = annotation_path(folder, "test")
    data = json.loads(path.read_text())
    data["images"][0]["camera"], data["annotations"][0]["mood"] = {"lens": 50}, None
    path.write_text(json.dumps(data))
    images = {i["id"]: i for i in data["images"]}
    records = {r.id: r for r in DatasetReader(folder).records("test")}
    for annotation in data["annotations"]:
        record = records[annotation["sample_id"]]
        assert record.annotation == annotation
        assert record.image == images[annotation["image_id"]]


def test_missing_picture_is_named(folder: Path) -> None:
    (folder / "images" / "test" / "a0.png").unlink()
    with pytest.raises(InputError, match=r"a0\.png: no such file"):
        DatasetReader(folder).sample("test", "a0")
