"""The prediction folder: writing, reading, the linter, COCO results."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deocc_bench.benchmark.coco_results import read_coco_results
from deocc_bench.benchmark.lint import lint
from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import InputError
from deocc_bench.core.predictions import PredictionFolder, folder_of
from deocc_bench.core.types import Prediction

ID = "test-0-v0"


@pytest.fixture
def records(tiny: Path) -> list[SampleRecord]:
    return list(DatasetReader(tiny).records("test"))


@pytest.fixture
def folder(tmp_path: Path, records: list[SampleRecord]) -> PredictionFolder:
    """A faultless folder with masks, parsing and pictures."""
    out = PredictionFolder(tmp_path / "predictions")
    for k, r in enumerate(records):
        sample = r.load()
        image = sample.image.copy()
        image[0, 0] = k
        out.write(Prediction(r.id, sample.amodal, sample.modal, sample.parsing, image))
    return out


def kinds(folder: PredictionFolder, records: list[SampleRecord], task: str = "joint") -> dict[str, bool]:
    return {f"{f.kind} {f.sample}": f.error for f in lint(folder.root, records, task)}


def test_what_is_written_is_read(folder: PredictionFolder, records: list[SampleRecord]) -> None:
    sample = records[0].load()
    found = folder.read(sample.id, records[0].size, "joint")
    for ours, theirs in ((found.amodal, sample.amodal), (found.modal, sample.modal), (found.parsing, sample.parsing)):
        assert np.array_equal(ours, theirs)
    assert folder.holds(sample.id, "joint")
    assert folder.read(sample.id, records[0].size, "mask").image is None
    assert folder.read(sample.id, records[0].size, "content").amodal is None
    assert Image.open(folder.path("masks", sample.id)).getextrema() == (0, 255)


def test_a_faultless_folder_has_no_findings(folder: PredictionFolder, records: list[SampleRecord]) -> None:
    assert [f for f in lint(folder.root, records, "joint") if f.kind != "duplicate"] == []


def _save(path: Path, pixels: np.ndarray, mode: str | None = None) -> None:
    image = Image.fromarray(pixels)
    (image if mode is None else image.convert(mode)).save(path)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def _link_out(path: Path) -> None:
    path.rename(path.parents[2] / "elsewhere.png")
    path.symlink_to(path.parents[2] / "elsewhere.png")


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


TINY = np.zeros((9, 9, 3), np.uint8)
GREY = np.zeros((64, 48), np.uint8)
SOFT = np.tile(np.arange(48, dtype=np.uint8), (64, 1))
COLOURS = np.dstack([SOFT * np.uint8(5), SOFT, SOFT * np.uint8(2)])


@pytest.mark.parametrize(
    ("damage", "finding", "error"),
    [
        (lambda p: p.unlink(), f"missing masks/{ID}", True),
        (lambda p: _save(p.with_name("other.png"), SOFT), "extra masks/other", True),
        (lambda p: _save(p, np.full((64, 47), 255, np.uint8)), f"size masks/{ID}.png", True),
        (lambda p: _save(p, np.full((32, 24), 255, np.uint8)), f"size masks/{ID}.png", True),
        (lambda p: _save(p, (SOFT > 9) * np.uint8(255), "P"), f"palette masks/{ID}.png", False),
        (lambda p: _save(p, SOFT), f"ambiguous masks/{ID}.png", True),
        (lambda p: _save(p, COLOURS), f"ambiguous masks/{ID}.png", True),
        (lambda p: _save(p, SOFT * np.uint8(5)), f"soft masks/{ID}.png", False),
        (lambda p: _save(p, (SOFT > 9) * np.uint8(255), "RGB"), f"channels masks/{ID}.png", False),
        (lambda p: Image.fromarray(GREY + 255).save(p, "JPEG"), f"encoding masks/{ID}.png", False),
        (
            lambda p: p.write_bytes(p.read_bytes()[:60] + b"x" * 9 + p.read_bytes()[69:]),
            f"unreadable masks/{ID}.png",
            True,
        ),
        (_link_out, f"link masks/{ID}.png", True),
        (_pipe, f"unreadable masks/{ID}.png", True),
        (lambda p: _save(p.with_name("train-0-v0.png"), SOFT), "split masks/train-0-v0", True),
        (_half, f"unreadable masks/{ID}.png", True),
        (lambda p: _save(p.with_suffix(".jpg"), GREY), f"twice masks/{ID}", True),
        (lambda p: _save(p.with_suffix(".jpg"), GREY), f"suffix masks/{ID}.jpg", True),
        (lambda p: _save(p, GREY), f"empty masks/{ID}.png", False),
        (lambda p: p.write_bytes(p.with_name("test-0-v1.png").read_bytes()), f"duplicate masks/{ID}.png", False),
        (
            lambda p: Image.open(p.with_name("test-0-v1.png")).save(p, compress_level=0),
            f"duplicate masks/{ID}.png",
            False,
        ),
        (lambda p: (p.parents[1] / "modal" / p.name).unlink(), f"missing modal/{ID}", False),
        (lambda p: _save(p.parents[1] / "parsing" / p.name, GREY + 20), f"label parsing/{ID}.png", True),
        (lambda p: _save(p.parents[1] / "images" / p.name, GREY), f"channels images/{ID}.png", False),
        (
            lambda p: _save(p.parents[1] / "images" / p.name, np.zeros((9, 9, 3), np.uint8)),
            f"size images/{ID}.png",
            True,
        ),
        (lambda p: (p.parents[1] / "notes.txt").write_text("x"), "unknown notes.txt", False),
    ],
)
def test_each_damage_is_found(
    folder: PredictionFolder, records: list[SampleRecord], damage: Callable[[Path], object], finding: str, error: bool
) -> None:
    before = kinds(folder, records)
    assert finding not in before
    damage(folder.path("masks", ID))
    found = kinds(folder, records)
    assert found.get(finding) is error, found


def test_one_bit_masks_are_masks(folder: PredictionFolder, records: list[SampleRecord]) -> None:
    mask = SOFT > 9
    Image.fromarray(mask).save(folder.path("masks", ID))
    assert not [k for k in kinds(folder, records) if ID in k and "duplicate" not in k]
    assert np.array_equal(folder.read(ID, (64, 48), "mask").amodal, mask)


def test_empty_masks_are_no_copies_of_each_other(folder: PredictionFolder, records: list[SampleRecord]) -> None:
    for name in (ID, "test-0-v1"):
        _save(folder.path("masks", name), GREY)
    found = kinds(folder, records, "mask")
    assert f"empty masks/{ID}.png" in found
    assert f"duplicate masks/{ID}.png" not in found


def test_draws_are_looked_at_one_by_one(tmp_path: Path, records: list[SampleRecord]) -> None:
    root = tmp_path / "predictions"
    for draw in ("draw-00", "draw-01"):
        for r in records:
            PredictionFolder(root / draw).write(Prediction(r.id, amodal=r.load().amodal))
    (root / "run.json").write_text("{}")
    assert [f for f in lint(root, records, "mask") if f.error or f.kind == "unknown"] == []
    (root / "draw-01" / "masks" / f"{ID}.png").unlink()
    (root / "masks").mkdir()
    found = {f"{f.kind} {f.sample}": f.error for f in lint(root, records, "mask") if f.kind != "duplicate"}
    assert found == {f"missing draw-01/masks/{ID}": True, "unknown masks": False}


def test_what_another_task_asks_for_is_not_looked_at(folder: PredictionFolder, records: list[SampleRecord]) -> None:
    folder.path("images", ID).unlink()
    assert f"missing images/{ID}" in kinds(folder, records, "content")
    assert not [k for k in kinds(folder, records, "mask") if "images" in k]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: _save(p, SOFT), "several labels, or a dark mask"),
        (lambda p: _save(p, GREY[1:]), "is 63 x 48, but the sample is 64 x 48"),
        (lambda p: _save(p.parents[1] / "parsing" / p.name, GREY + 20), "label id 20 is not in LIP"),
        (lambda p: p.unlink(), "no such file"),
        (_half, "truncated"),
    ],
)
def test_what_can_not_be_scored_is_not_read(
    folder: PredictionFolder, damage: Callable[[Path], object], message: str
) -> None:
    damage(folder.path("masks", ID))
    with pytest.raises(InputError, match=message) as caught:
        folder.read(ID, (64, 48), "mask")
    assert ID in str(caught.value)


def test_coco_results(tmp_path: Path, records: list[SampleRecord]) -> None:
    entries = [{"image_id": r.image["id"], "segmentation": r.amodal, "score": 0.5} for r in records[:-1]]
    entries.append({"sample_id": records[-1].id, "segmentation": records[-1].modal, "visible_mask": records[-1].modal})
    path, out = tmp_path / "results.json", PredictionFolder(tmp_path / "out")
    path.write_text(json.dumps(entries))
    read_coco_results(path, records, out)
    assert np.array_equal(out.read(ID, (64, 48), "mask").amodal, masks.decode(records[0].amodal))
    last = out.read(records[-1].id, records[-1].size, "mask")
    assert np.array_equal(last.amodal, last.modal)

    def refused(entry: object, message: str) -> None:
        path.write_text(json.dumps(entry))
        with pytest.raises(InputError, match=message):
            read_coco_results(path, records, out)

    refused({"a": 1}, "not a JSON list")
    refused([{"image_id": 1}], "entry 0 has no segmentation")
    refused([entries[0], entries[0]], "has two results")
    refused([{"image_id": -1, "segmentation": {}}], "no image -1")
    refused([{"sample_id": "x", "segmentation": {}}], "no sample 'x'")
    refused([{"sample_id": ["x"], "segmentation": {}}], r"entry 0: sample_id is \['x'\]")
    refused([{"image_id": {}, "segmentation": {}}], "entry 0: image_id is {}")
    refused([{"sample_id": ID, "segmentation": None}], "segmentation is null")
    refused([{"sample_id": ID, "segmentation": [["a"] * 6]}], f"sample '{ID}' \\(entry 0\\)")
    out = PredictionFolder(tmp_path / "untouched")
    refused([entries[0], {"sample_id": "x", "segmentation": {}}], "no sample 'x'")
    assert not out.root.exists()
    refused([{"sample_id": ID, "segmentation": {"size": [9, 9], "counts": "a"}}], "don't fill its 9 x 9 mask")


def test_coco_results_whose_ids_do_not_fit(tmp_path: Path, records: list[SampleRecord]) -> None:
    path, out = tmp_path / "results.json", PredictionFolder(tmp_path / "out")
    first, second = records[:2]
    entry = {"sample_id": first.id, "segmentation": first.amodal}
    for wrong, says in (
        (entry | {"image_id": second.photo.id}, "entry 0: sample .* is in image"),
        ({"image_id": str(first.photo.id), "segmentation": first.amodal}, "only [0-9]+; write the id as it is there"),
        ({"image_id": True, "segmentation": first.amodal}, "entry 0: image_id is True"),
        (entry | {"sample_id": "../../x"}, "the split has no sample '../../x'"),
        (entry | {"segmentation": [[float("nan")] * 6]}, "contains NaN or infinity"),
        (entry | {"segmentation": {"size": [64, 48], "counts": "5"}}, "don't fill its 64 x 48 mask"),
        (entry | {"segmentation": {"size": [10**6] * 2, "counts": [10**12]}}, "impossible size"),
    ):
        path.write_text(json.dumps([wrong]))
        with pytest.raises(InputError, match=says):
            read_coco_results(path, records, out)
    assert not out.root.exists()
    path.write_text(json.dumps([entry | {"image_id": first.photo.id}]))
    read_coco_results(path, records, out)
    assert np.array_equal(out.read(first.id, first.size, "mask").amodal, masks.decode(first.amodal))


def test_a_folder_of_predictions_elsewhere_is_not_followed(folder: PredictionFolder, tmp_path: Path) -> None:
    run = tmp_path / "a run"
    run.mkdir()
    (run / "predictions").symlink_to(folder.root)
    with pytest.raises(InputError, match="is a link that leads out of"):
        folder_of(run)
    (run / "predictions").unlink()
    shutil.copytree(folder.root, run / "predictions")
    assert folder_of(run) == run / "predictions"
