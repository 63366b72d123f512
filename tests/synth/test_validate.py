"""`validate` is silent on a good folder, and finds each kind of damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import mutated

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError
from deocc_bench.core.labels import LIP
from deocc_bench.synth.run import synthesise
from deocc_bench.synth.spec import SynthSpec
from deocc_bench.synth.statistics import gather
from deocc_bench.synth.validate import perceptual_hash, validate

Data = dict[str, Any]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("validate") / "data"
    spec = SynthSpec(
        ("mannequin:16",),
        ("shapes:40",),
        variants=2,
        size=128,
        splits={"train": 0.5, "test": 0.5},
        behind=0.5,
        shadow=True,
    )
    synthesise(spec, out, quiet=True)
    return out


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    shutil.copytree(good, tmp_path / "data")
    return tmp_path / "data"


def edit(folder: Path, split: str, change: Callable[[Data], None]) -> None:
    path = folder / "annotations" / f"{split}.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def first(folder: Path, split: str = "test") -> tuple[Data, Data]:
    data = json.loads((folder / "annotations" / f"{split}.json").read_text())
    return data["images"][0], data["annotations"][0]


def kinds(folder: Path) -> set[str]:
    return {f.kind for f in validate(folder)}


def test_silent_on_what_synth_makes(good: Path) -> None:
    assert validate(good) == []
    assert validate(good, workers=2) == []


@pytest.mark.slow
def test_command_prints_findings_only(folder: Path) -> None:
    command = [sys.executable, "-m", "deocc_bench.cli", "validate", str(folder), "--quiet", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
    (folder / first(folder)[0]["file_name"]).unlink()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no such file" in done.stdout


def test_changed_pixel_is_seen_by_the_digest(folder: Path) -> None:
    path = folder / first(folder)[0]["complete_file_name"]
    picture = images.read_rgb(path)
    picture[0, 0, 0] ^= 1
    images.write_png(path, picture)
    assert {"digest", "fingerprint"} <= kinds(folder)


def test_reencoded_picture_keeps_its_digest(folder: Path) -> None:
    from PIL import Image

    path = folder / first(folder)[0]["file_name"]
    before = path.read_bytes()
    Image.fromarray(images.read_rgb(path)).save(path, compress_level=9)
    assert path.read_bytes() != before
    assert kinds(folder) == set()


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [("occlude_rate", 0.5, "ratio"), ("area", 3, "area"), ("bbox", [0, 0, 1, 1], "bbox"), ("digest", "0", "digest")],
)
def test_wrong_numbers(folder: Path, key: str, value: object, kind: str) -> None:
    edit(folder, "test", lambda d: d["annotations"][0].update({key: value}))
    assert kinds(folder) == {kind}


def test_wrong_invisible_mask(folder: Path) -> None:
    edit(folder, "test", lambda d: d["annotations"][0].update(invisible_mask=d["annotations"][0]["visible_mask"]))
    assert "invisible" in kinds(folder)


def test_modal_outside_amodal(folder: Path) -> None:
    whole = masks.encode(np.ones((128, 128), bool))
    edit(folder, "test", lambda d: d["annotations"][0].update(visible_mask=whole))
    assert "sample" in kinds(folder)


def test_hidden_where_no_occluder_is(folder: Path) -> None:
    edit(
        folder,
        "test",
        lambda d: d["annotations"][0].update(
            occluders=[
                {**o, "segmentation": masks.encode(np.eye(128, dtype=bool))} for o in d["annotations"][0]["occluders"]
            ]
        ),
    )
    assert {"occluder", "complete"} <= kinds(folder)


def test_complete_image_that_differs_elsewhere(folder: Path) -> None:
    path = folder / first(folder)[0]["complete_file_name"]
    images.write_png(path, 255 - images.read_rgb(path))
    assert "complete" in kinds(folder)


def test_complete_image_that_is_not_complete(folder: Path) -> None:
    image = first(folder)[0]
    shutil.copy(folder / image["file_name"], folder / image["complete_file_name"])
    assert "complete" in kinds(folder)


def test_label_out_of_range_and_off_the_mask(folder: Path) -> None:
    image, _ = first(folder)
    path = folder / image["parsing_file_name"]
    parsing = images.read_indices(path)
    bad = parsing.copy()
    bad[parsing > 0] = 77
    images.write_png(path, bad, LIP.palette())
    assert {"label", "digest"} <= kinds(folder)
    bad = parsing.copy()
    bad[np.nonzero(parsing)[0][0]] = 0
    images.write_png(path, bad, LIP.palette())
    assert {"parsing", "digest"} <= kinds(folder)


def test_label_outside_the_person(folder: Path) -> None:
    image, _ = first(folder)
    images.write_png(folder / image["parsing_file_name"], np.full((128, 128), 5, np.uint8), LIP.palette())
    assert "sample" in kinds(folder)


def test_missing_and_stray_files(folder: Path) -> None:
    image, _ = first(folder)
    path = folder / image["parsing_file_name"]
    path.rename(path.with_name("other.png"))
    assert {"file", "stray"} <= kinds(folder)


def test_group_in_two_splits(folder: Path) -> None:
    group = first(folder, "train")[0]["group_id"]
    edit(folder, "test", lambda d: d["images"][0].update(group_id=group))
    assert "leak" in kinds(folder)


def test_occluder_photo_in_two_splits(folder: Path) -> None:
    used = next(
        o["group_id"]
        for a in json.loads((folder / "annotations" / "train.json").read_text())["annotations"]
        for o in a["occluders"]
    )
    edit(folder, "test", lambda d: d["annotations"][0]["occluders"][0].update(group_id=used))
    assert "leak" in kinds(folder)


def test_near_duplicate_across_splits(folder: Path) -> None:
    source, _ = first(folder, "train")
    target, _ = first(folder, "test")
    copy = images.read_rgb(folder / source["complete_file_name"])
    copy = np.clip(copy.astype(int) + 6, 0, 255).astype(np.uint8)
    images.write_png(folder / target["complete_file_name"], copy)
    findings = [f for f in validate(folder) if f.kind == "near-duplicate"]
    assert findings
    assert any("looks like" in f.what for f in findings)


def test_missing_annotation_and_broken_file(folder: Path) -> None:
    edit(folder, "test", lambda d: d["annotations"].pop())
    assert {"count", "fingerprint"} <= kinds(folder)
    (folder / "annotations" / "test.json").write_text("{")
    assert {"annotations", "count"} <= kinds(folder)


def test_fingerprint_of_another_dataset(folder: Path) -> None:
    info = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(info | {"fingerprint": "0" * 64}))
    assert kinds(folder) == {"fingerprint"}


def test_perceptual_hash_survives_what_copies_go_through() -> None:
    random = np.random.default_rng(0)
    import cv2

    photo = cv2.resize(random.integers(0, 256, (9, 9, 3), dtype=np.uint8), (200, 200), interpolation=cv2.INTER_CUBIC)
    other = cv2.resize(random.integers(0, 256, (9, 9, 3), dtype=np.uint8), (200, 200), interpolation=cv2.INTER_CUBIC)
    copies = [
        cv2.resize(photo, (151, 151), interpolation=cv2.INTER_AREA),
        cv2.imdecode(cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], 1),
        np.clip(photo.astype(int) * 9 // 10 + 8, 0, 255).astype(np.uint8),
    ]
    base = perceptual_hash(photo)
    assert all((base ^ perceptual_hash(c)).bit_count() <= 4 for c in copies)
    assert (base ^ perceptual_hash(other)).bit_count() > 16


@pytest.mark.parametrize(
    ("change", "where", "says"),
    [
        (lambda d: d["annotations"][0].update(sample_id="../../x"), "annotation", "sample_id must be a name"),
        (lambda d: d["annotations"][0].update(segmentation=None), "annotation", "lacks segmentation"),
        (
            lambda d: d["annotations"][0].update(occlude_rate=float("nan")),
            "annotation",
            "occlude_rate must be a number",
        ),
        (lambda d: d["annotations"].insert(0, None), "annotation", "must be an object"),
        (lambda d: d["annotations"][0].update(image_id=-1), "annotation", "image_id is not in the list"),
        (lambda d: d["annotations"].append(d["annotations"][0]), "test.json", "is listed twice"),
        (lambda d: d["images"].append(d["images"][0]), "test.json", "two images have the id"),
        (lambda d: d["images"][0].update(file_name="/etc/passwd"), "image", "file_name must be a file name inside"),
        (lambda d: d["images"][0].update(complete_file_name="../x.png"), "image", "complete_file_name must be a file"),
        (lambda d: d["images"][0].update(height=10**9, width=10**9), "annotation", "claims"),
        (lambda d: d["annotations"][0]["visible_mask"].update(size=[4, 4]), "annotation", "visible_mask is"),
    ],
)
def test_a_bad_entry_is_a_finding_and_the_others_are_checked(
    folder: Path, change: Callable[[Data], None], where: str, says: str
) -> None:
    last = json.loads((folder / "annotations" / "test.json").read_text())["images"][-1]["file_name"]
    images.write_png(folder / last, np.zeros((128, 128, 3), np.uint8))
    edit(folder, "test", change)
    findings = validate(folder)
    assert any(f.kind == "annotations" and where in f.where and says in f.what for f in findings), findings
    assert "digest" in {f.kind for f in findings}


def test_broken_runs_are_a_finding(folder: Path) -> None:
    edit(folder, "test", lambda d: d["annotations"][0]["visible_mask"].update(counts="5"))
    assert any(f.kind == "sample" and "runs don't fill" in f.what for f in validate(folder))


def test_links_out_of_the_folder_are_findings(folder: Path, tmp_path: Path) -> None:
    image, annotation = first(folder)
    (folder / image["file_name"]).rename(tmp_path / "outside.png")
    (folder / image["file_name"]).symlink_to(tmp_path / "outside.png")
    found = {(f.kind, f.where) for f in validate(folder)}
    assert ("link", image["file_name"]) in found
    assert ("sample", f"test/{annotation['sample_id']}") in found


@pytest.mark.parametrize("key", ["bbox", "occluders", "parts_hidden", "initial_iou", "area", "provenance", "digest"])
@pytest.mark.parametrize("value", ["missing", None])
def test_statistics_of_a_dataset_that_lacks_something(folder: Path, key: str, value: str | None) -> None:
    def lack(data: Data) -> None:
        for annotation in data["annotations"]:
            annotation.pop(key, None)
            if value is None:
                annotation[key] = None

    before = gather({"image": r.image, "annotation": r.annotation} for r in DatasetReader(folder).records("test"))
    edit(folder, "test", lack)
    after = gather({"image": r.image, "annotation": r.annotation} for r in DatasetReader(folder).records("test"))
    assert after.samples == before.samples
    assert after.heights == before.heights
    assert after.summary()["occlusion_ratio"] == before.summary()["occlusion_ratio"]


@pytest.mark.slow
def test_mutated_datasets_are_read_or_refused(good: Path, tmp_path: Path) -> None:
    shutil.copytree(good, tmp_path / "data")
    root = tmp_path / "data"
    files = {name: root / name for name in ("dataset.json", "annotations/test.json")}
    texts = {name: path.read_text() for name, path in files.items()}
    few = json.loads(texts["annotations/test.json"])
    few |= {"images": few["images"][:3], "annotations": few["annotations"][:3]}
    contents = {"dataset.json": json.loads(texts["dataset.json"]), "annotations/test.json": few}
    one_of = st.sampled_from(sorted(files)).flatmap(lambda name: st.tuples(st.just(name), mutated(contents[name])))

    @settings(max_examples=120, deadline=None)
    @given(one_of)
    def try_all(change: tuple[str, str]) -> None:
        for name, path in files.items():
            path.write_text(json.dumps(contents[name]) if name != change[0] else change[1])
        with suppress(DeoccError):  # any other exception fails
            for finding in validate(root):
                assert "\n" not in str(finding)
        with suppress(DeoccError):
            reader = DatasetReader(root)
            records = list(reader.records("test"))
            gather({"image": r.image, "annotation": r.annotation, "split": "test"} for r in records).summary()
            for record in records:
                record.load()

    try_all()
