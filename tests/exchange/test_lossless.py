"""What leaves by `export` and returns by `import` is the same dataset, field by field."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deocc_bench.core.dataset import DatasetReader, SampleRecord, annotation_path
from deocc_bench.core.errors import InputError
from deocc_bench.exchange.exporters import EXPORTERS
from deocc_bench.exchange.importers import open_source
from deocc_bench.exchange.importers.store import write_dataset
from deocc_bench.synth.synth_commands import synth
from deocc_bench.synth.validate import validate

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DatasetReader:
    """A dataset of `synth`, with objects behind people, and with fields that somebody else added."""
    root = tmp_path_factory.mktemp("made") / "data"
    arguments = ["--humans", "mannequin:6", "--occluders", "shapes", "--variants", "2", "--size", "96"]
    arguments += ["--behind", "0.5", "--splits", "train=0.5,holdout=0.5", "--quiet", "--out", str(root)]
    CliRunner().invoke(synth, arguments, catch_exceptions=False)
    path = annotation_path(root, "holdout")
    data = json.loads(path.read_text())
    data["images"][0]["camera"] = {"lens": 50}
    data["annotations"][0]["mood"] = ["calm", None]
    data["annotations"][0]["occluders"][0]["colour"] = "red"
    path.write_text(json.dumps(data))
    return DatasetReader(root)


def by_id(reader: DatasetReader) -> dict[str, SampleRecord]:
    return {r.id: r for split in reader.splits for r in reader.records(split)}


@pytest.mark.parametrize(("name", "kind"), [("coco", "d2sa"), ("coco", "cocoa"), ("cocoa", "cocoa")])
def test_every_field_returns(made: DatasetReader, tmp_path: Path, name: str, kind: str) -> None:
    files = EXPORTERS.load(name)(made, made.splits, tmp_path / "out")
    assert "parts_hidden" in by_id(made).popitem()[1].annotation
    back: dict[str, SampleRecord] = {}
    for file, split in zip(files, made.splits, strict=True):
        write_dataset(open_source(f"{kind}:{file}", images=made.root), tmp_path / split, "again")
        again = DatasetReader(tmp_path / split)
        assert again.splits == (split,)
        assert validate(again.root) == []
        back |= by_id(again)
    assert back.keys() == by_id(made).keys()
    for sample_id, record in by_id(made).items():
        assert back[sample_id].annotation == record.annotation
        assert back[sample_id].image == record.image


def test_an_imported_dataset_returns_too(made: DatasetReader, tmp_path: Path) -> None:
    (file,) = EXPORTERS.load("coco")(made, ("train",), tmp_path / "a.json")
    data = json.loads(file.read_text())
    for entry in (*data["images"], *data["annotations"]):
        del entry["deocc_bench"]
    file.write_text(json.dumps(data))
    write_dataset(open_source(f"d2sa:{file}", images=made.root), tmp_path / "one", "one", initial_mask="perfect")
    first = DatasetReader(tmp_path / "one")
    (file,) = EXPORTERS.load("cocoa")(first, first.splits, tmp_path / "b.json")
    write_dataset(open_source(f"cocoa:{file}", images=first.root), tmp_path / "two", "two")
    second = DatasetReader(tmp_path / "two")
    for r in first.records("test"):
        other = second.record("test", r.id)
        assert (other.image, other.annotation) == (r.image, r.annotation)
    assert second.fingerprint == first.fingerprint


def test_an_export_of_an_older_version_is_read(made: DatasetReader, tmp_path: Path) -> None:
    (file,) = EXPORTERS.load("coco")(made, ("train",), tmp_path / "train.json")
    data = json.loads(file.read_text())
    for entry in data["images"]:
        del entry["deocc_bench"]
    for entry in data["annotations"]:
        del entry["deocc_bench"]["parts_hidden"]
        entry["deocc_bench"]["category"] = "person"
    file.write_text(json.dumps(data))
    write_dataset(open_source(f"d2sa:{file}", images=made.root), tmp_path / "old", "old")
    for r in DatasetReader(tmp_path / "old").records("train"):
        before = made.record("train", r.id)
        assert r.truth.digest == before.truth.digest
        assert r.truth.category == "person"
        assert (r.group_id, r.photo.licence, r.truth.occluders) == (
            before.group_id,
            before.photo.licence,
            before.truth.occluders,
        )
        assert r.complete_path == r.root / str(before.photo.complete_file_name)


def test_a_split_asked_for_wins(made: DatasetReader, tmp_path: Path) -> None:
    (file,) = EXPORTERS.load("coco")(made, ("holdout",), tmp_path / "a.json")
    write_dataset(open_source(f"d2sa:{file}", images=made.root, split="val"), tmp_path / "out", "x")
    assert DatasetReader(tmp_path / "out").splits == ("val",)


def _no_group(own: dict[str, Any], image: dict[str, Any]) -> None:
    del own["group_id"], image["group_id"]


def _no_object(own: dict[str, Any], image: dict[str, Any]) -> None:
    own["provenance"] = "mine"


def _wrong_occluder(own: dict[str, Any], image: dict[str, Any]) -> None:
    own["occluders"][0]["order"] = "first"


def _wrong_licence(own: dict[str, Any], image: dict[str, Any]) -> None:
    image["licence"] = 3


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (_no_group, "lacks group_id"),
        (_no_object, "provenance must be an object, got 'mine'"),
        (_wrong_occluder, "occluder 1: order must be a whole number"),
        (_wrong_licence, "licence must be a string, got 3"),
    ],
)
def test_damaged_exports_are_one_line(
    made: DatasetReader, tmp_path: Path, harm: Callable[..., None], says: str
) -> None:
    (file,) = EXPORTERS.load("coco")(made, ("train",), tmp_path / "a.json")
    data = json.loads(file.read_text())
    annotation = data["annotations"][0]
    image = next(p for p in data["images"] if p["id"] == annotation["image_id"])
    harm(annotation["deocc_bench"], image["deocc_bench"])
    file.write_text(json.dumps(data))
    with pytest.raises(InputError) as caught:
        write_dataset(open_source(f"d2sa:{file}", images=made.root), tmp_path / "out", "x")
    assert str(caught.value).startswith(f"{file}: annotation {annotation['id']} (image {image['id']}): ")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_webdataset_holds_the_records(made: DatasetReader, tmp_path: Path) -> None:
    shards = EXPORTERS.load("webdataset")(made, ("holdout",), tmp_path)
    found = {}
    for shard in shards:
        with tarfile.open(shard) as tar:
            for member in tar.getmembers():
                if member.name.endswith(".json"):
                    content = json.load(tar.extractfile(member))  # type: ignore[arg-type]
                    found[content["annotation"]["sample_id"]] = content
    for r in made.records("holdout"):
        assert found[r.id] == {"image": r.image, "annotation": r.annotation, "split": "holdout"}
    assert len(found) == len(made.ids("holdout"))


def test_huggingface_rows_hold_the_fields(made: DatasetReader, tmp_path: Path) -> None:
    (file,) = EXPORTERS.load("huggingface")(made, ("holdout",), tmp_path)
    rows = {row["sample_id"]: row for row in map(json.loads, file.read_text().splitlines())}
    for r in made.records("holdout"):
        row = rows[r.id]
        for key in ("human_id", "variant", "bbox", "area", "occlude_rate", "initial_iou", "digest"):
            assert row[key] == r.annotation[key], key
        for key in ("parts_hidden", "provenance", "occluders"):
            assert json.loads(row[key]) == r.annotation[key], key
        assert (row["group_id"], row["licence"]) == (r.group_id, r.photo.licence)
        extra = json.loads(row["extra"])
        assert (extra.get("camera"), extra.get("mood")) == (r.image.get("camera"), r.annotation.get("mood"))
    assert sum("camera" in row["extra"] for row in rows.values()) == 1
