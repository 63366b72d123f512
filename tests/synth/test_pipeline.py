"""`synth` from end to end: the same bytes whatever happens, and one clear line for what is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.synth.plan import make_plan
from deocc_bench.synth.run import WORK, synthesise
from deocc_bench.synth.spec import RatioBin, SynthSpec
from deocc_bench.synth.synth_commands import _summary as summary_text

SPLITS = {"train": 0.5, "test": 0.5}
CLI = [sys.executable, "-m", "deocc_bench.cli"]


def person(folder: Path, name: str, seed: int) -> None:
    """A photo of a crude person with LIP labels: large enough for the filters, quick to read."""
    random = np.random.default_rng(seed)
    photo = cv2.resize(random.integers(0, 256, (20, 15, 3), dtype=np.uint8), (150, 200), interpolation=cv2.INTER_CUBIC)
    label = np.zeros((200, 150), np.uint8)
    x = int(random.integers(55, 95))
    cv2.circle(label, (x, 40), 14, 13, -1)
    cv2.rectangle(label, (x - 18, 54), (x + 18, 110), 5, -1)
    cv2.rectangle(label, (x - 28, 56), (x - 19, 105), 15, -1)
    cv2.rectangle(label, (x + 19, 56), (x + 28, 105), 14, -1)
    cv2.rectangle(label, (x - 16, 111), (x + 16, 180), 9, -1)
    photo[label > 0] = photo[label > 0] // 2 + np.uint8(60 + seed % 90)
    images.write_png(folder / "images" / f"{name}.png", photo)
    images.write_png(folder / "parsing" / f"{name}.png", label)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for i in range(40):
        person(folder, f"{i:03d}", i)
    return folder


def spec_for(photos: Path, **changes: object) -> SynthSpec:
    values = {
        "humans": (f"folder:{photos}",),
        "occluders": ("shapes:30",),
        "variants": 2,
        "size": 96,
        "splits": SPLITS,
    } | changes
    return SynthSpec(**values)  # type: ignore[arg-type]


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def samples_of(root: Path) -> dict[str, dict]:
    reader = DatasetReader(root)
    return {r.id: {"split": r.split, **r.annotation} for s in reader.splits for r in reader.records(s)}


@pytest.fixture(scope="module")
def undisturbed(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "data"
    synthesise(spec_for(photos), out, name="data", quiet=True)
    return out


def test_every_sample_is_as_asked(undisturbed: Path) -> None:
    samples = samples_of(undisturbed)
    rejected = (undisturbed / "rejected.csv").read_text().splitlines()[1:]
    assert len(samples) + sum(line.startswith("sample,") for line in rejected) == 80
    assert len(samples) >= 76
    for s in samples.values():
        assert 0.05 <= s["occlude_rate"] <= 0.7
        assert abs(s["occlude_rate"] - s["provenance"]["requested_ratio"]) <= 0.0201
        assert 1 <= len([o for o in s["occluders"] if not o["behind"]]) <= 3
        assert s["initial_iou"] > 0.3
        assert all(o["group_id"] for o in s["occluders"])


def test_pycocotools_opens_it_and_runs_are_exact(undisturbed: Path) -> None:
    reader = DatasetReader(undisturbed)
    for split in reader.splits:
        coco = COCO(str(undisturbed / "annotations" / f"{split}.json"))
        assert len(coco.anns) == len(reader.ids(split))
        for annotation in coco.anns.values():
            for key in ("segmentation", "visible_mask", "invisible_mask", "initial_mask"):
                assert masks.encode(masks.decode(annotation[key])) == annotation[key]


def test_work_folder_is_gone_and_nothing_temporary_is_left(undisturbed: Path) -> None:
    assert not (undisturbed / WORK).exists()
    assert not list(undisturbed.rglob(".tmp-*"))


@pytest.mark.slow
def test_same_bytes_with_two_workers(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    synthesise(spec_for(photos), tmp_path / "data", name="data", workers=2, quiet=True)
    assert contents(tmp_path / "data") == contents(undisturbed)


@pytest.mark.slow
def test_same_bytes_when_the_folder_is_listed_in_another_order(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    copy = tmp_path / photos.name
    names = sorted(p.relative_to(photos) for p in photos.rglob("*.png"))
    for name in reversed(names):  # another order of creation is another order of listing
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photos / name, copy / name)
    synthesise(spec_for(copy), tmp_path / "data", name="data", quiet=True)
    assert contents(tmp_path / "data") == contents(undisturbed)


@pytest.mark.slow
def test_same_bytes_after_kill_and_resume(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    command = [*CLI, "synth", "--humans", f"folder:{photos}", "--occluders", "shapes:30", "--variants", "2"]
    command += ["--size", "96", "--splits", "train=0.5,test=0.5", "--workers", "2", "--quiet", "--out", str(out)]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(out.glob(f"{WORK}/shard-*.jsonl")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "dataset.json").exists(), "the run was over before it was killed"
    (out / "images" / "train").mkdir(parents=True, exist_ok=True)
    (out / "images" / "train" / ".tmp-half").write_bytes(b"half a picture")

    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 2
    assert "add --resume" in refused.stderr
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(undisturbed)


def test_resume_of_a_finished_dataset_changes_nothing(photos: Path, undisturbed: Path) -> None:
    before = contents(undisturbed)
    synthesise(spec_for(photos), undisturbed, resume=True, quiet=True)
    assert contents(undisturbed) == before


def test_resume_refuses_other_settings(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "data"
    (out / WORK).mkdir(parents=True)
    (out / WORK / "plan.json").write_text(json.dumps({"key": "of another run"}))
    with pytest.raises(UsageError, match="started with other settings"):
        synthesise(spec_for(photos), out, resume=True, quiet=True)


@pytest.mark.slow
def test_one_photo_more_changes_no_other_sample(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    more = tmp_path / photos.name
    shutil.copytree(photos, more)
    person(more, "0005", 99)
    synthesise(spec_for(more), tmp_path / "data", name="data", quiet=True)
    before, after = samples_of(undisturbed), samples_of(tmp_path / "data")
    assert {i for i in after if i not in before} == {"folder-0005-v0", "folder-0005-v1"}
    assert {i: after[i] for i in before} == before


@pytest.mark.slow
def test_another_seed_gives_other_samples(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    synthesise(spec_for(photos, seed=1), tmp_path / "data", quiet=True)
    assert DatasetReader(tmp_path / "data").fingerprint != DatasetReader(undisturbed).fingerprint


def test_no_group_and_no_occluder_is_in_two_splits(undisturbed: Path) -> None:
    seen: dict[str, set[str]] = {}
    reader = DatasetReader(undisturbed)
    for split in reader.splits:
        for record in reader.records(split):
            for group in (record.group_id, *(o["group_id"] for o in record.occluders)):
                seen.setdefault(group, set()).add(split)
    assert all(len(splits) == 1 for splits in seen.values())
    assert set().union(*seen.values()) == {"train", "test"}


@pytest.mark.slow
def test_people_hide_people_of_the_same_split(photos: Path, tmp_path: Path) -> None:
    synthesise(spec_for(photos, occluders=("humans",), variants=1), tmp_path / "data", quiet=True)
    reader = DatasetReader(tmp_path / "data")
    splits = {r.group_id: s for s in reader.splits for r in reader.records(s)}
    n = 0
    for split in reader.splits:
        for record in reader.records(split):
            for o in record.occluders:
                n += 1
                assert o["group_id"] != record.group_id
                assert splits.get(o["group_id"], split) == split
    assert n > 20


@pytest.mark.slow
def test_options_do_what_they_say(photos: Path, tmp_path: Path) -> None:
    options = {
        "behind": 1.0,
        "harmonise": "reinhard",
        "shadow": True,
        "augment": ("shift", "scale", "flip", "colour", "noise", "blur", "jpeg"),
        "hide": ("legs",),
        "ratios": (RatioBin(0.2, 0.3, 1.0), RatioBin(0.5, 0.6, 1.0)),
        "initial": "perfect",
        "holdout": 5,
    }
    info = synthesise(spec_for(photos, **options), tmp_path / "data", limit=12, quiet=True)
    samples = samples_of(tmp_path / "data")
    assert len(samples) >= 18
    assert info["splits"] == ["test", "train"]
    for s in samples.values():
        number = int(s["human_id"].rpartition("-")[2])
        assert s["split"] == ("test" if number % 5 == 0 else "train")
        assert 0.2 <= s["occlude_rate"] <= 0.3 or 0.5 <= s["occlude_rate"] <= 0.6
        assert s["initial_iou"] == 1
        assert sum(o["behind"] for o in s["occluders"]) == 1
        assert s["parts_hidden"]["pants"] >= 0.6


def test_soft_masks_and_turned_photos_are_told(tmp_path: Path, undisturbed: Path) -> None:
    person(tmp_path / "in", "a", 1)
    person(tmp_path / "in", "b", 2)
    (tmp_path / "in/masks").mkdir()
    for name in "ab":
        label = images.read_indices(tmp_path / f"in/parsing/{name}.png")
        images.write_png(tmp_path / f"in/masks/{name}.png", label > 0)
    images.write_png(tmp_path / "in/masks/a.png", cv2.blur((label > 0).astype(np.uint8) * 255, (3, 3)))
    shutil.rmtree(tmp_path / "in/parsing")
    shown = Image.open(tmp_path / "in/images/b.png")
    exif = Image.Exif()
    exif[0x0112] = 3
    shown.rotate(180).save(tmp_path / "in/images/b.png", exif=exif)
    spec = spec_for(tmp_path / "in", splits={"test": 1.0}, variants=1)
    info = synthesise(spec, tmp_path / "data", quiet=True)
    (source,) = info["sources"]["humans"]
    assert (source["soft_masks"], source["turned_photos"]) == (1, 1)
    told = summary_text(info, tmp_path / "data").splitlines()
    assert "1 masks were soft, read at half of white" in told
    assert "1 photos were turned upright by their EXIF orientation" in told
    # Ordinary datasets keep their bytes.
    (ordinary,) = DatasetReader(undisturbed).info["sources"]["humans"]
    assert not {"soft_masks", "turned_photos"} & ordinary.keys()


def test_native_size(photos: Path, tmp_path: Path) -> None:
    synthesise(spec_for(photos, size=None, variants=1), tmp_path / "data", limit=3, quiet=True)
    reader = DatasetReader(tmp_path / "data")
    assert {r.size for s in reader.splits for r in reader.records(s)} == {(200, 150)}


@pytest.mark.slow
def test_samples_that_cannot_be_are_listed_and_never_kept(photos: Path, tmp_path: Path) -> None:
    # Torso and trousers are most of these people: a tenth or two of the person can't hide them, three quarters can.
    low, high = RatioBin(0.1, 0.2), RatioBin(0.7, 0.8)
    options = {"hide": ("torso", "hips"), "variants": 2}
    info = synthesise(spec_for(photos, ratios=(low, high), **options), tmp_path / "a", limit=10, quiet=True)
    listed = [r for r in (tmp_path / "a" / "rejected.csv").read_text().splitlines() if r.startswith("sample,")]
    assert len(listed) == info["rejected"]["samples"] == 20 - len(samples_of(tmp_path / "a")) >= 10
    assert all("hiding torso, hips needs a ratio of" in r or "not reached" in r for r in listed)
    assert all(0.7 <= s["occlude_rate"] <= 0.8 for s in samples_of(tmp_path / "a").values())

    with pytest.raises(InputError, match="no sample reached its occlusion ratio"):
        synthesise(spec_for(photos, ratios=(low,), **options), tmp_path / "b", limit=3, quiet=True)
    assert not (tmp_path / "b" / "dataset.json").exists()


def break_photos(folder: Path, how: str) -> None:
    label, photo = folder / "parsing" / "007.png", folder / "images" / "007.png"
    if how == "no label":
        label.unlink()
    elif how == "size":
        images.write_png(label, images.read_indices(label)[:-1])
    elif how == "truncated":
        photo.write_bytes(photo.read_bytes()[:900])
    elif how == "ids":
        images.write_png(label, images.read_indices(label) + np.uint8(40))
    elif how == "colour label":
        images.write_png(label, np.zeros((200, 150, 3), np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no label", "photo without label"),
        ("size", "150 x 199, but its photo 007.png is 150 x 200"),
        ("truncated", "truncated"),
        ("ids", "label id 55 is out of range"),
        ("colour label", "mode is RGB"),
    ],
)
def test_bad_photo_stops_the_run_or_is_skipped(photos: Path, tmp_path: Path, how: str, says: str) -> None:
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    break_photos(copy, how)
    with pytest.raises(InputError, match=says) as caught:
        synthesise(spec_for(copy), tmp_path / "a", quiet=True)
    assert "007" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "a").exists(), "nothing is begun before all inputs are known to be good"

    synthesise(spec_for(copy, variants=1), tmp_path / "b", quiet=True, skip_bad=True)
    (row,) = [r for r in (tmp_path / "b" / "rejected.csv").read_text().splitlines() if r.startswith("human,")]
    assert "human,folder-007" in row
    assert "bad input" in row
    assert "folder-007-v0" not in samples_of(tmp_path / "b")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--humans", "folder:/no/such/folder", "--occluders", "shapes"], 1, "/no/such/folder"),
        (["--humans", "foldr:x", "--occluders", "shapes"], 2, "did you mean 'folder'"),
        (["--humans", "mannequin:4", "--occluders", "shape"], 2, "did you mean 'shapes'"),
        (["--humans", "mannequin:4", "--occluders", "coco:/no/such.json"], 1, "/no/such.json"),
        (["--humans", "mannequin:4", "--occluders", "shapes", "--ratio", "0.9-0.1"], 2, "low <= high"),
        (["--humans", "mannequin:4", "--occluders", "shapes", "--splits", "a=0.5"], 2, "add up to 0.5"),
        (["--humans", "mannequin:4", "--occluders", "shapes", "--hide", "left-wing"], 2, "unknown body part"),
        (["--humans", "mannequin:4", "--occluders", "shapes", "--initial", "perfct"], 2, "did you mean 'perfect'"),
        (["--humans", "mannequin:4", "--occluders", "shapes", "--min-height", "9999"], 1, "no human left"),
        (["--humans", "mannequin:4"], 2, "--occluders"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path: Path, arguments: list[str], code: int, says: str) -> None:
    out = tmp_path / "out"
    command = [*CLI, "synth", *arguments, "--out", str(out), "--quiet", "--workers", "1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stdout == ""
    assert not out.exists()


def test_out_folder_that_is_not_empty_is_left_alone(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious")
    for resume in (False, True):
        with pytest.raises(UsageError, match="not empty; choose another"):
            synthesise(spec_for(photos), tmp_path, resume=resume, quiet=True)
    assert contents(tmp_path) == {"mine.txt": b"precious"}


def test_no_occluder_left_after_filters(photos: Path, tmp_path: Path) -> None:
    instances = {
        "images": [{"id": 1, "file_name": "a.png", "width": 50, "height": 50}],
        "categories": [{"id": 1, "name": "cup"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 4, "bbox": [5, 5, 2, 2]}
            | {"segmentation": [[5, 5, 7, 5, 7, 7, 5, 7]]}
        ],
    }
    (tmp_path / "instances.json").write_text(json.dumps(instances))
    images.write_png(tmp_path / "images" / "a.png", np.zeros((50, 50, 3), np.uint8))
    spec = spec_for(photos, occluders=(f"coco:{tmp_path / 'instances.json'}",))
    with pytest.raises(InputError, match=r"no occluder left after filters .*too small"):
        synthesise(spec, tmp_path / "out", quiet=True)


@pytest.mark.slow
def test_disk_full_is_one_line_and_can_be_resumed(photos: Path, undisturbed: Path, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "none", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with pytest.raises(DeoccError, match=r"no space left on the device.*--resume"):
            synthesise(spec_for(photos), small / "data", name="data", quiet=True)
        assert not list(small.rglob(".tmp-*"))
        subprocess.run(["mount", "-o", "remount,size=200m", str(small)], check=True)
        synthesise(spec_for(photos), small / "data", name="data", resume=True, quiet=True)
        assert contents(small / "data") == contents(undisturbed)
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_plan_counts_and_limit(photos: Path) -> None:
    plan = make_plan(spec_for(photos, min_height=150), limit=5)
    assert [e.id for e in plan.accepted] == [f"folder-{i:03d}" for i in range(5)]
    with pytest.raises(InputError, match=r"no human left after filters .40 too small"):
        make_plan(spec_for(photos, min_height=190))
