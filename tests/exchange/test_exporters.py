"""Exporters: masks decode to the very same pixels, what we import again is equal, and bytes don't depend on the day."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from pycocotools import mask as coco
from pycocotools.coco import COCO
from two_splits import build

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.images import read_rgb
from deocc_bench.core.mask_files import read_mask
from deocc_bench.exchange.exporters import EXPORTERS
from deocc_bench.exchange.import_export import export
from deocc_bench.exchange.importers import open_source
from deocc_bench.exchange.importers.store import write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetReader:
    return build(tmp_path_factory.mktemp("dataset"))


def run(name: str, dataset: DatasetReader, out: Path, **options: Any) -> list[Path]:
    written: list[Path] = EXPORTERS.load(name)(dataset, dataset.splits, out, **options)
    return written


@pytest.mark.slow
@pytest.mark.parametrize(("name", "kind"), [("cocoa", "cocoa"), ("coco", "d2sa"), ("coco", "cocoa")])
def test_export_and_import_again(dataset: DatasetReader, tmp_path: Path, name: str, kind: str) -> None:
    files = run(name, dataset, tmp_path / "out")
    assert [f.name for f in files] == ["test.json", "train.json"]
    for file, split in zip(files, dataset.splits, strict=True):
        back = tmp_path / f"back-{split}"
        report = write_dataset(open_source(f"{kind}:{file}", images=dataset.root), back, "again")
        assert report.clipped == 0
        again = DatasetReader(back)
        assert again.splits == (split,)
        assert again.ids(split) == dataset.ids(split)
        for record in dataset.records(split):
            other = again.record(split, record.id)
            for key in ("digest", "segmentation", "visible_mask", "invisible_mask", "initial_mask", "occluders"):
                assert other.annotation[key] == record.annotation[key], key
            assert (other.group_id, other.human_id, other.image["licence"]) == (
                record.group_id,
                record.human_id,
                record.image["licence"],
            )
            assert np.array_equal(read_rgb(other.complete_path), read_rgb(record.complete_path))
        # And once more: an imported dataset exports to what it came from.
        (once_more,) = EXPORTERS.load(name)(again, again.splits, tmp_path / "more.json")
        third = tmp_path / f"third-{split}"
        write_dataset(open_source(f"{kind}:{once_more}", images=back, split=split), third, "third")
        assert DatasetReader(third).fingerprint == again.fingerprint


def test_coco_opens_in_pycocotools_with_the_same_pixels(
    dataset: DatasetReader, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (file, _) = run("coco", dataset, tmp_path)
    opened = COCO(str(file))
    capsys.readouterr()
    by_id = {r.annotation["id"]: dataset.sample("test", r.id) for r in dataset.records("test")}
    assert len(opened.anns) == len(by_id) == 4
    for number, annotation in opened.anns.items():
        sample = by_id[number]
        assert np.array_equal(opened.annToMask(annotation).astype(bool), sample.amodal)
        assert np.array_equal(coco.decode(annotation["visible_mask"]).astype(bool), sample.modal)
        assert np.array_equal(coco.decode(annotation["invisible_mask"]).astype(bool), sample.invisible)
        assert annotation["occlude_rate"] == sample.occlusion_ratio
    assert [c["name"] for c in opened.cats.values()] == ["person"]


def test_cocoa_regions(dataset: DatasetReader, tmp_path: Path) -> None:
    file = EXPORTERS.load("cocoa")(dataset, ("test",), tmp_path / "one.json")[0]
    content = json.loads(file.read_text())
    photos = {p["id"]: p for p in content["images"]}
    seen = 0
    for annotation in content["annotations"]:
        assert annotation["image_id"] in photos
        for region in annotation["regions"]:
            assert region["order"] == 1
            assert ("visible_mask" in region) == (region["occlude_rate"] > 0)
            seen += 1
    assert seen == 4
    with pytest.raises(UsageError, match="one file holds one split"):
        run("cocoa", dataset, tmp_path / "two.json")


def test_webdataset_shards(dataset: DatasetReader, tmp_path: Path) -> None:
    first = run("webdataset", dataset, tmp_path / "a", shard_size=3)
    second = run("webdataset", dataset, tmp_path / "b", shard_size=3)
    assert [p.name for p in first] == [f"toy-set-{s}-{k:06d}.tar" for s in ("test", "train") for k in (0, 1)]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    with tarfile.open(first[0]) as tar:
        members = tar.getmembers()
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
        keys = [m.name.partition(".")[0] for m in members]
        assert keys == sorted(keys), "a sample's members stand together"
        names = [m.name for m in members if m.name.startswith("s1.")]
        assert names == [
            *("s1.image.png", "s1.complete.png", "s1.parsing.png", "s1.amodal.png", "s1.modal.png", "s1.initial.png"),
            "s1.json",
        ]
        tar.extractall(tmp_path / "x", filter="data")
    sample = dataset.sample("test", "s1")
    assert np.array_equal(read_rgb(tmp_path / "x" / "s1.image.png"), sample.image)
    assert np.array_equal(read_mask(tmp_path / "x" / "s1.modal.png"), sample.modal)
    assert json.loads((tmp_path / "x" / "s1.json").read_text())["annotation"]["visible_mask"] == (
        dataset.record("test", "s1").modal
    )


def test_huggingface_folder(dataset: DatasetReader, tmp_path: Path) -> None:
    files = run("huggingface", dataset, tmp_path)
    rows = [json.loads(line) for line in files[0].read_text().splitlines()]
    assert [r["sample_id"] for r in rows] == dataset.ids("test")
    for row in rows:
        sample = dataset.sample("test", row["sample_id"])
        for column in [c for c in row if c.endswith("file_name")]:
            assert (files[0].parent / row[column]).is_file()
        assert np.array_equal(read_rgb(files[0].parent / row["file_name"]), sample.image)
        assert np.array_equal(read_mask(files[0].parent / row["amodal_file_name"]), sample.amodal)
        assert np.array_equal(coco.decode(row["invisible_rle"]).astype(bool), sample.invisible)
    card = (tmp_path / "README.md").read_text()
    assert card.startswith("---\nconfigs:\n")
    assert 'path: "train/**"' in card


def test_command_line(dataset: DatasetReader, tmp_path: Path) -> None:
    def call(*arguments: str) -> Any:
        return CliRunner().invoke(export, [str(dataset.root), *arguments, "--out", str(tmp_path / "o.json")])

    done = call("--format", "coco", "--split", "test")
    assert done.exit_code == 0
    assert done.output.strip() == str(tmp_path / "o.json")
    for arguments, says in (
        (("--format", "coko"), "did you mean 'coco'"),
        (("--format", "coco", "--split", "tset"), "did you mean 'test'"),
    ):
        failed = call(*arguments)
        assert isinstance(failed.exception, UsageError)
        assert says in str(failed.exception)


@pytest.mark.parametrize("style", ["coco", "cocoa"])
@pytest.mark.parametrize("counts", ["5", "\ud800x", [float("nan")], [5]])
def test_an_export_never_contains_a_broken_initial_mask(
    dataset: DatasetReader, tmp_path: Path, style: str, counts: Any
) -> None:
    shutil.copytree(dataset.root, tmp_path / "data")
    path = next((tmp_path / "data" / "annotations").glob("*.json"))
    content = json.loads(path.read_text())
    content["annotations"][0]["initial_mask"] = {
        "size": content["annotations"][0]["visible_mask"]["size"],
        "counts": counts,
    }
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"don't fill|initial_mask must be an RLE mask"):
        EXPORTERS.load(style)(DatasetReader(tmp_path / "data"), [path.stem], tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
