"""Runs over a dataset: the same numbers however it is run, and what happens when a method fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deocc_bench.benchmark import evaluate, inference
from deocc_bench.benchmark.evaluate import Job
from deocc_bench.benchmark.inference import MethodError, Settings
from deocc_bench.benchmark.score import Scoring
from deocc_bench.core import initial_masks, masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.results import RunResult, read_result
from deocc_bench.core.seeding import rng
from deocc_bench.core.types import Batch
from deocc_bench.methods.loading import load_method
from deocc_bench.methods.method import Method


def job(tiny: Path, out: Path, task: str, **changes: Any) -> Job:
    dataset = DatasetReader(tiny)
    scoring = Scoring(task, resamples=20, **{k: changes.pop(k) for k in ("initial_mask", "seed") if k in changes})
    return Job(dataset, "test", changes.pop("ids", dataset.ids("test")), out, scoring, **changes)


def go(spec: str, work: Job, **options: Any) -> list[RunResult]:
    method = load_method(spec, options)
    return evaluate.evaluate_method(method, work, evaluate.prepare(method, work))


def numbers(folder: Path) -> tuple[bytes, dict[str, Any], str | None]:
    """What must not depend on how a run went."""
    result = read_result(folder)
    assert not result.problems
    return (folder / "samples.csv").read_bytes(), result.to_json()["metrics"], result.predictions_digest


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [("Full", "joint"), ("Dice", "mask"), ("Paint", "content")])
def test_batch_size_workers_and_order_change_nothing(
    tiny: Path, methods_file: Path, tmp_path: Path, name: str, task: str
) -> None:
    spec = f"{methods_file}:{name}"
    go(spec, job(tiny, tmp_path / "a", task, batch_size=1))
    go(spec, job(tiny, tmp_path / "b", task, batch_size=16))
    go(spec, job(tiny, tmp_path / "c", task, batch_size=3, workers=2))
    ids = DatasetReader(tiny).ids("test")
    shuffled = [ids[i] for i in np.random.default_rng(5).permutation(len(ids))]
    assert shuffled != ids
    go(spec, job(tiny, tmp_path / "d", task, ids=shuffled))
    for other in "bcd":
        assert numbers(tmp_path / other) == numbers(tmp_path / "a")


@pytest.mark.slow
def test_the_parts_of_the_time_add_up(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    (result,) = go(f"{methods_file}:Full", job(tiny, tmp_path / "run", "joint"))
    timing = result.timing
    assert set(timing["seconds"]) == {"data", "compute", "write", "score", "statistics"}
    assert timing["total_seconds"] == pytest.approx(sum(timing["seconds"].values()))
    assert sum(timing["share"].values()) == pytest.approx(1)
    assert timing["seconds_per_sample"]["compute"] == pytest.approx(timing["seconds"]["compute"] / 14)
    ticks = iter(range(1000))
    method = load_method(f"{methods_file}:Full")
    work = job(tiny, tmp_path / "fake", "joint", batch_size=5)
    spent = inference.run(
        method,
        work.dataset,
        "test",
        work.ids,
        work.settings,
        predictions=tmp_path / "fake",
        clock=lambda: float(next(ticks)),
    )
    # Four batches (two of each size): each spends one tick in each part.
    assert (spent.data, spent.compute, spent.write, spent.samples) == (4.0, 4.0, 4.0, 14)


@pytest.mark.slow
def test_killed_and_resumed(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    arguments = ["evaluate", f"{methods_file}:Bad", "--data", str(tiny), "--task", "mask", "--batch-size", "2"]
    arguments += ["--resamples", "20", "--out", str(tmp_path / "run")]
    at = DatasetReader(tiny).ids("test")[8]
    code = "import sys; from deocc_bench.benchmark.benchmark_commands import evaluate; evaluate(sys.argv[2:])"
    root = str(Path(__file__).resolve().parents[2])
    run = [sys.executable, "-c", code, *arguments]
    environment = {**os.environ, "PYTHONPATH": root}
    dead = subprocess.run([*run, "-O", "how=kill", "-O", f"at={at}"], env=environment, capture_output=True, check=False)
    assert dead.returncode == -9, dead.stderr
    kept = sorted((tmp_path / "run" / "predictions" / "masks").glob("*.png"))
    assert 0 < len(kept) < 14
    assert not (tmp_path / "run" / "result.json").exists()
    stamps = {p.name: p.stat().st_mtime_ns for p in kept}
    # A file that a kill left half-written is swept; a whole one is not touched.
    (kept[0].parent / ".tmp-left").write_bytes(b"half")
    work = job(tiny, tmp_path / "run", "mask", resume=True)
    with pytest.raises(UsageError, match="differs in method"):
        go(f"{methods_file}:Grow", work)
    (result,) = go_resumed(methods_file, work, at)
    assert result.timing["samples"]["compute"] == 14 - len(kept)
    assert not (kept[0].parent / ".tmp-left").exists()
    assert {p.name: p.stat().st_mtime_ns for p in kept} == stamps
    go(f"{methods_file}:Grow", job(tiny, tmp_path / "whole", "mask"))
    assert numbers(tmp_path / "run") == numbers(tmp_path / "whole")


def go_resumed(methods_file: Path, work: Job, at: str) -> list[RunResult]:
    """Resume a run of `Bad` that was killed, with its mended file: the same options, but it no longer fails."""
    mended = methods_file.parent / "mended" / methods_file.name
    mended.parent.mkdir(exist_ok=True)
    mended.write_text(methods_file.read_text().replace("os.kill(os.getpid(), 9)", "return out"))
    method = load_method(f"{mended}:Bad", {"how": "kill", "at": at})
    method = replace(method, spec=f"{methods_file}:Bad", source=f"{methods_file}:Bad")
    results = evaluate.evaluate_method(method, work, evaluate.prepare(method, work))
    assert any("code was changed" in note for note in results[0].notes)
    return results


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "RuntimeError: out of ideas"),
        ("exit", "SystemExit"),
        ("nan", "sample 'test-1-v1': the amodal mask contains NaN"),
        ("float", "must be bool .* got float32; threshold"),
        ("size", r"must be bool .* got bool \(4, 63, 48\)"),
        ("few", "the amodal mask array has 3 entries for 4 samples"),
        ("none", "must be a numpy array.* got NoneType"),
        ("list", "must be a numpy array.* got list"),
        ("single", r"must be bool \(4, 64, 48\), got a single float64"),
        ("label", "sample 'test-1-v1': the parsing contains id 20"),
    ],
)
def test_a_failing_method_is_named_and_what_was_done_is_kept(
    tiny: Path, methods_file: Path, tmp_path: Path, how: str, message: str
) -> None:
    # With batches of four, sample test-1-v1 stands in the first batch of its size; one before it is done already.
    done = job(tiny, tmp_path / "run", "mask", ids=["test-0-v0"])
    go(f"{methods_file}:Bad", done, how=how, at="test-1-v1")
    with pytest.raises(MethodError, match=message) as caught:
        go(
            f"{methods_file}:Bad",
            replace(done, ids=done.dataset.ids("test"), batch_size=4, resume=True),
            how=how,
            at="test-1-v1",
        )
    assert "test-1-v1" in str(caught.value)
    assert "--resume" in str(caught.value)
    assert caught.value.exit_code == 1
    assert [p.name for p in (tmp_path / "run" / "predictions" / "masks").iterdir()] == ["test-0-v0.png"]
    assert (tmp_path / "run" / "predictions" / "error.txt").exists() == (how in ("raise", "exit"))


def test_a_method_that_hangs_is_given_up(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    with pytest.raises(MethodError, match=r"'test-1-v1'.*no result within 0.2 s"):
        go(f"{methods_file}:Bad", job(tiny, tmp_path, "mask", timeout=0.2), how="hang", at="test-1-v1")


def test_a_run_is_not_overwritten(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    go(f"{methods_file}:Grow", job(tiny, tmp_path / "run", "mask"))
    with pytest.raises(InputError, match=r"already contains a run.*--resume"):
        go(f"{methods_file}:Grow", job(tiny, tmp_path / "run", "mask"))
    with pytest.raises(UsageError, match="differs in method"):
        go(f"{methods_file}:Grow", job(tiny, tmp_path / "run", "mask", resume=True), by=5)
    with pytest.raises(UsageError, match="differs in initial_mask, seed"):
        go(
            f"{methods_file}:Grow",
            job(tiny, tmp_path / "run", "mask", resume=True, initial_mask="erode:1", seed=1),
        )


@pytest.mark.slow
def test_a_stale_optional_file_does_not_survive_a_resume(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    go(f"{methods_file}:Full", job(tiny, tmp_path / "run", "joint"))
    before = numbers(tmp_path / "run")
    folder = tmp_path / "run" / "predictions"
    (folder / "images" / "test-0-v0.png").unlink()
    (folder / "modal" / "test-0-v0.png").write_bytes(b"old")
    go(f"{methods_file}:Full", job(tiny, tmp_path / "run", "joint", resume=True))
    assert numbers(tmp_path / "run") == before


@pytest.mark.slow
def test_methods_that_learn(tiny: Path, few: Path, methods_file: Path, tmp_path: Path) -> None:
    work = job(tiny, tmp_path / "run", "mask")
    with pytest.raises(UsageError, match="name the split"):
        go(f"{methods_file}:Learner", work)
    with pytest.raises(UsageError, match="would learn from split 'test'"):
        go(f"{methods_file}:Learner", replace(work, fit_dataset=work.dataset, fit_split="test"))
    (result,) = go(f"{methods_file}:Learner", replace(work, fit_dataset=work.dataset, fit_split="train"))
    assert result.protocol["fit_split"] == "train"
    assert "fit" in result.timing["seconds"]
    assert result.notes == ()
    # The same people in another folder: its fingerprint differs, its groups do not.
    other = DatasetReader(few)
    assert other.fingerprint != work.dataset.fingerprint
    again = job(tiny, tmp_path / "leak", "mask", fit_dataset=other, fit_split="test")
    (leaky,) = go(f"{methods_file}:Learner", again)
    assert "contains 2 of the 5 scored groups, e.g. 'test-0'" in leaky.notes[0]


@pytest.mark.slow
def test_truth_is_given_to_those_who_ask_and_said(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    (oracle,) = go(f"{methods_file}:Oracle", job(tiny, tmp_path / "a", "mask"))
    assert oracle.value("invisible_iou_mean") == 1.0
    assert oracle.method["truth_given"] == ["amodal"]
    (seer,) = go(f"{methods_file}:Seer", job(tiny, tmp_path / "b", "content"))
    assert seer.value("l1_invisible") == 0.0
    assert seer.method["truth_given"] == ["everything"]
    (grow,) = go(f"{methods_file}:Grow", job(tiny, tmp_path / "c", "mask"))
    assert grow.method["truth_given"] == []


def test_content_is_given_the_true_masks_and_joint_its_own(tiny: Path) -> None:
    dataset = DatasetReader(tiny)
    sample = dataset.sample("test", "test-0-v0")
    records = [dataset.record("test", "test-0-v0")]
    seen: list[Batch] = []

    class Spy:
        def complete(self, batch: Batch) -> np.ndarray:
            seen.append(batch)
            return np.roll(batch.initial, 2, axis=2)

        def recover(self, batch: Batch) -> np.ndarray:
            seen.append(batch)
            return batch.images

    spy = Method("spy", "spy", "", Spy())
    inference.predict(spy, inference.load_batch(records, spy, Settings("content")), "content")
    assert np.array_equal(seen[0].amodal[0], sample.amodal)
    assert np.array_equal(seen[0].modal[0], sample.modal)
    assert np.array_equal(seen[0].modal_parsing[0], np.where(sample.modal, sample.parsing, 0))
    assert seen[0].parsing_source == "truth"
    assert seen[0].initial is None
    inference.predict(spy, inference.load_batch(records, spy, Settings("joint")), "joint")
    own = np.roll(sample.initial, 2, axis=1)
    assert seen[1].amodal is None
    assert np.array_equal(seen[2].amodal[0], own)
    assert np.array_equal(seen[2].modal[0], own & sample.initial)
    assert seen[2].parsing is None


def test_what_a_dataset_can_not_serve_is_refused(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    import shutil

    poor = tmp_path / "poor"
    shutil.copytree(tiny, poor)
    path = poor / "annotations" / "test.json"
    content = json.loads(path.read_text())
    for image in content["images"]:
        del image["complete_file_name"], image["parsing_file_name"]
    for annotation in content["annotations"]:
        del annotation["initial_mask"]
    path.write_text(json.dumps(content))
    with pytest.raises(DeoccError, match="lacks; use --task mask"):
        go(f"{methods_file}:Paint", job(poor, tmp_path / "a", "content"))
    with pytest.raises(DeoccError, match="needs initial masks, which this dataset lacks"):
        go(f"{methods_file}:Grow", job(poor, tmp_path / "b", "mask"))
    (result,) = go(f"{methods_file}:Grow", job(poor, tmp_path / "c", "mask", initial_mask="perfect"))
    assert result.value("initial_iou_mean") == 1.0
    with pytest.raises(UsageError, match=r"has no recover\(\)"):
        go(f"{methods_file}:Grow", job(tiny, tmp_path / "d", "joint"))
    with pytest.raises(UsageError, match="'content' has no initial mask"):
        go(f"{methods_file}:Paint", job(tiny, tmp_path / "e", "content", initial_mask="dilate:3"))


def test_initial_masks_are_degraded_by_sample_id_alone(tiny: Path) -> None:
    dataset = DatasetReader(tiny)
    record = dataset.record("test", "test-1-v0")
    mask = initial_masks.of_record(record, "shift:4", 3)
    truth = initial_masks.Truth(masks.decode(record.modal), masks.decode(record.amodal))
    again = initial_masks.make("shift:4", truth, rng(3, "initial-mask", "shift:4", record.id))
    assert np.array_equal(mask, again)
    assert not np.array_equal(mask, masks.decode(record.modal))
    assert np.array_equal(initial_masks.of_record(record, "dataset", 3), masks.decode(record.initial))
