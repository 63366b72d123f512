"""Exports in the libraries that they are made for: `datasets`, `webdataset`, `pycocotools`. And hostile datasets."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from PIL import Image
from pycocotools import mask as coco
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from two_splits import build

from deocc_bench.core.dataset import DatasetReader, annotation_path
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.images import write_png
from deocc_bench.exchange.exporters import EXPORTERS
from deocc_bench.exchange.import_export import export
from deocc_bench.synth.card import card

FORMATS = ("coco", "cocoa", "webdataset", "huggingface")
MASKS = ("amodal", "modal", "initial")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> DatasetReader:
    return build(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def copy(dataset: DatasetReader, tmp_path: Path) -> Path:
    """A copy of the dataset that a test may damage."""
    return Path(shutil.copytree(dataset.root, tmp_path / "copy"))


def change(root: Path, how: Callable[[dict[str, Any]], object], split: str = "test") -> DatasetReader:
    path = annotation_path(root, split)
    data = json.loads(path.read_text())
    how(data)
    path.write_text(json.dumps(data))
    return DatasetReader(root)


def run(name: str, dataset: DatasetReader, out: Path, *splits: str) -> list[Path]:
    written: list[Path] = EXPORTERS.load(name)(dataset, splits or dataset.splits, out)
    return written


def load_dataset(monkeypatch: pytest.MonkeyPatch, cache: Path, *arguments: str, **options: Any) -> Any:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(cache))
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    return datasets.load_dataset(*arguments, cache_dir=str(cache), **options)


@pytest.mark.slow
@pytest.mark.parametrize("by_card", [False, True])
def test_datasets_reads_each_image_in_its_column(
    dataset: DatasetReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_card: bool
) -> None:
    out = tmp_path / "out"
    run("huggingface", dataset, out)
    arguments, options = ((str(out),), {}) if by_card else (("imagefolder",), {"data_dir": str(out)})
    opened = load_dataset(monkeypatch, tmp_path / "cache", *arguments, **options)
    assert set(opened) == {"test", "train"}
    for split in opened:
        assert list(opened[split]["sample_id"]) == dataset.ids(split)
        for row in opened[split]:
            sample = dataset.sample(split, row["sample_id"])
            for column in ("image", "complete", "parsing"):
                assert np.array_equal(np.asarray(row[column]), getattr(sample, column)), column
            for column in MASKS:
                assert np.array_equal(np.asarray(row[column]) > 0, getattr(sample, column)), column
                assert np.array_equal(coco.decode(row[f"{column}_rle"]) > 0, getattr(sample, column)), column
            assert len(json.loads(row["occluders"])) == len(sample.occluders)


@pytest.mark.slow
def test_datasets_reads_splits_of_different_content(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def differ(data: dict[str, Any]) -> None:
        data["images"][0] |= {"camera": {"lens": 50}, "other_file_name": "x.png"}
        for number, annotation in enumerate(data["annotations"]):
            annotation |= {"occluders": [], "parts_hidden": {"hat": 0.5}, "provenance": {"a": number}, "mood": [None]}
            annotation["bbox"] = [1, 2, 3, 4]
            del annotation["initial_iou"]
        data["annotations"][1] |= {"provenance": {"a": "text"}}

    out = tmp_path / "out"
    run("huggingface", change(copy, differ), out)
    opened = load_dataset(monkeypatch, tmp_path / "cache", "imagefolder", data_dir=str(out))
    assert json.loads(opened["test"][1]["provenance"]) == {"a": "text"}
    assert json.loads(opened["test"][0]["extra"])["camera"] == {"lens": 50}
    assert opened["test"].features == opened["train"].features


@pytest.mark.slow
def test_datasets_reads_a_sample_without_its_complete_image(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = change(copy, lambda data: data["images"][0].pop("complete_file_name"))
    run("huggingface", reader, tmp_path / "out")
    opened = load_dataset(monkeypatch, tmp_path / "cache", "imagefolder", data_dir=str(tmp_path / "out"))["test"]
    assert {row["sample_id"]: row["complete"] is None for row in opened} == {
        "s0": True,
        "s1": False,
        "s2": False,
        "s3": False,
    }

    def none(data: dict[str, Any]) -> None:
        for image in data["images"]:
            image.pop("complete_file_name", None)

    reader = change(copy, none)
    with pytest.raises(InputError, match="split test has no complete images, but another split has"):
        run("huggingface", reader, tmp_path / "other")
    assert not (tmp_path / "other").exists()
    run("huggingface", reader, tmp_path / "other", "test")


def test_webdataset_reads_each_member(dataset: DatasetReader, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    seen = []
    for shard in run("webdataset", dataset, tmp_path / "out", "test"):
        for found in webdataset.WebDataset(str(shard), shardshuffle=False, empty_check=False).decode("pil"):
            seen.append(found["__key__"])
            sample = dataset.sample("test", found["__key__"])
            for name in ("image", "complete"):
                assert np.array_equal(np.asarray(found[f"{name}.png"]), getattr(sample, name)), name
            for name in MASKS:
                assert np.array_equal(np.asarray(found[f"{name}.png"])[..., 0] > 0, getattr(sample, name)), name
            assert np.array_equal(np.asarray(found["parsing.png"])[..., 0], sample.parsing)
            assert found["json"]["annotation"]["visible_mask"] == dataset.record("test", sample.id).modal
    assert seen == dataset.ids("test")


def test_long_names_fit_into_a_tar_file(copy: Path, tmp_path: Path) -> None:
    name = "é" * 100
    reader = change(copy, lambda data: data["annotations"][0].update(sample_id=name))
    (shard,) = run("webdataset", reader, tmp_path / "out", "test")
    with tarfile.open(shard) as tar:
        assert f"{name}.image.png" in tar.getnames()


def perfect_ap(file: Path) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        keys = ("image_id", "category_id", "segmentation")
        found = truth.loadRes([{k: a[k] for k in keys} | {"score": 1.0} for a in truth.dataset["annotations"]])
        judged = COCOeval(truth, found, "segm")
        judged.evaluate()
        judged.accumulate()
        judged.summarize()
    return float(judged.stats[0])


def _ids(images: list[Any], annotations: list[Any]) -> Callable[[dict[str, Any]], None]:
    def edit(data: dict[str, Any]) -> None:
        renamed = dict(zip([i["id"] for i in data["images"]], images, strict=True))
        for image in data["images"]:
            image["id"] = renamed[image["id"]]
        for annotation, number in zip(data["annotations"], annotations, strict=True):
            annotation |= {"id": number, "image_id": renamed[annotation["image_id"]]}

    return edit


@pytest.mark.parametrize(
    ("images", "annotations"),
    [
        (["a", "b", "c", "d"], [1, 2, 3, 4]),
        ([1, "b", 3, "4"], ["1", 1, "x", 2]),
        ([2**63 - 1, 2**53, 2**53 + 1, 5], [2**63 - 1, 2**62, 7, 8]),
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([-1, 1, 2, 3], [5, 5, 6, 6]),
    ],
)
def test_odd_ids_are_scored_by_pycocotools(
    copy: Path, tmp_path: Path, images: list[Any], annotations: list[Any]
) -> None:
    reader = change(copy, _ids(images, annotations))
    (file,) = run("coco", reader, tmp_path / "out.json", "test")
    content = json.loads(file.read_text())
    assert len({a["id"] for a in content["annotations"]}) == 4
    kept = {i["file_name"]: i["deocc_bench"].get("id", i["id"]) for i in content["images"]}
    assert kept == {r.photo.file_name: r.photo.id for r in reader.records("test")}
    assert perfect_ap(file) == pytest.approx(1.0)
    (file,) = run("cocoa", reader, tmp_path / "cocoa.json", "test")
    content = json.loads(file.read_text())
    assert {a["image_id"] for a in content["annotations"]} == {i["id"] for i in content["images"]}


def test_notes_of_any_type_are_exported(copy: Path, tmp_path: Path) -> None:
    odd = {"annotator": "second", "order": [1], "polygon": [["a"]], "is_stuff": None, "author": {"a": 1}}
    reader = change(copy, lambda data: [a.update(provenance=odd) for a in data["annotations"]])
    (file,) = run("cocoa", reader, tmp_path / "out.json", "test")
    found = json.loads(file.read_text())["annotations"]
    regions = {r["deocc_bench"]["sample_id"]: r["segmentation"] for a in found for r in a["regions"]}
    assert regions == {r.id: r.amodal for r in reader.records("test")}


@pytest.mark.parametrize("name", FORMATS)
def test_outputs_are_new_or_empty_folders(dataset: DatasetReader, tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    run(name, dataset, out)
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    with pytest.raises(UsageError, match="not empty"):
        run(name, dataset, out)
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def _desktop(root: Path) -> Path:
    path = root / "images/test/s2.desktop"
    path.write_text("[Desktop Entry]\n")
    return path


def _text(root: Path) -> Path:
    path = root / "images/test/s2.png"
    path.write_text("secret\n")
    return path


def _link(root: Path) -> Path:
    secret = root.parent / "secret.png"
    write_png(secret, np.zeros((48, 48, 3), np.uint8))
    path = root / "images/test/s2.png"
    path.unlink()
    path.symlink_to(secret)
    return path


def _pipe(root: Path) -> Path:
    path = root / "images/test/s2.png"
    path.unlink()
    os.mkfifo(path)
    return path


@pytest.mark.parametrize("name", ["webdataset", "huggingface"])
@pytest.mark.parametrize("spoil", [_desktop, _text, _link, _pipe])
def test_only_images_are_published(copy: Path, tmp_path: Path, name: str, spoil: Callable[[Path], Path]) -> None:
    path = spoil(copy)
    reader = change(copy, lambda data: data["images"][2].update(file_name=path.relative_to(copy).as_posix()))
    with pytest.raises(InputError, match=path.name):
        run(name, reader, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_broken_masks_name_the_sample(copy: Path, tmp_path: Path, name: str) -> None:
    reader = change(copy, lambda data: data["annotations"][1]["visible_mask"].update(counts="5"))
    with pytest.raises(DeoccError, match=r"test\.json: sample s1: .*runs"):
        run(name, reader, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_turned_photos_are_published_upright(copy: Path, dataset: DatasetReader, tmp_path: Path) -> None:
    path = copy / "images/test/s1.png"
    with Image.open(path) as im:
        exif = Image.Exif()
        exif[0x0112] = 3
        im.rotate(180).save(path, exif=exif)
    (file, _) = run("huggingface", DatasetReader(copy), tmp_path / "out")
    with Image.open(file.parent / "images/s1.png") as im:
        assert im.getexif().get(0x0112, 1) == 1
        assert np.array_equal(np.asarray(im), dataset.sample("test", "s1").image)


NASTY = 'a"b\n---\n| <script>alert(1)</script> [x](http://y) `c` \x1b[31m'


def test_cards_hold_no_markup_of_strangers(tmp_path: Path) -> None:
    reader = build(tmp_path / "data", name=NASTY, licence=NASTY)
    os.rename(annotation_path(reader.root, "train"), annotation_path(reader.root, "a: b # -"))
    run("huggingface", DatasetReader(reader.root), tmp_path / "out")
    text = (tmp_path / "out/README.md").read_text()
    check_card(text)
    assert yaml.safe_load(text.split("---\n")[1])["configs"][0]["data_files"] == [
        {"split": "a_b_", "path": "a_b_/**"},
        {"split": "test", "path": "test/**"},
    ]


def test_dataset_cards_hold_no_markup_of_strangers() -> None:
    counts = {"samples": 1, "humans": 1, "groups": 1}
    info = {
        "name": NASTY,
        "versions": {"deocc-bench": "1"},
        "kind": "synthesised",
        "counts": {"test": counts},
        "fingerprint": "f",
        "spec": {"humans": [NASTY, "```\n# x"]},
        "rejected": {"humans": {NASTY: 2}, "samples": 0},
        "licences": {NASTY: 3, "CC BY 4.0": 1},
    }
    text = card(info)
    fence, spec, closed = text.split("## How it was made")[1].strip().splitlines()[:3]
    assert fence == closed == "````"
    assert "```" in spec
    outside = text.replace(spec, "")
    check_card(outside)
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert len(rows) == 3 + 3 + 4
    assert "| CC BY 4.0 | 1 |" in rows


def check_card(text: str) -> None:
    assert "<script" not in text
    assert "\x1b" not in text
    assert "\\[x\\](http" in text
    assert "\\| &lt;script&gt;" in text


def test_failures_of_the_command_are_one_line(copy: Path, tmp_path: Path) -> None:
    _text(copy)
    failed = CliRunner().invoke(export, [str(copy), "--format", "webdataset", "--out", str(tmp_path / "out")])
    assert isinstance(failed.exception, InputError)
    assert "s2.png" in str(failed.exception)
