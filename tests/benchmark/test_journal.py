"""`evaluate --resume`: predictions of other data, of other settings, or changed by hand are never scored."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hearing import hear_signals

from deocc_bench.benchmark.jobs import run_method
from deocc_bench.benchmark.journal import JOURNAL_FILE
from deocc_bench.benchmark.options import RunOptions
from deocc_bench.core import images
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.results import RunResult, read_result


@pytest.fixture
def data(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset, to be changed."""
    return Path(shutil.copytree(tiny, tmp_path / "data"))


def go(data: Path, out: Path, spec: str = "convex-hull", task: str = "mask", **changes: Any) -> RunResult:
    return run_method(spec, data, task, out, RunOptions(resamples=0, fid=False, batch_size=4, **changes)).results[0]


def numbers(folder: Path) -> tuple[bytes, dict[str, Any], str | None]:
    result = read_result(folder)
    return (folder / "samples.csv").read_bytes(), result.to_json()["metrics"], result.predictions_digest


def stamps(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (folder / "predictions" / "masks").iterdir()}


def test_a_finished_run_keeps_its_predictions(data: Path, tmp_path: Path) -> None:
    go(data, tmp_path / "run")
    before, kept = numbers(tmp_path / "run"), stamps(tmp_path / "run")
    assert len(kept) == 14
    result = go(data, tmp_path / "run", resume=True)
    assert result.timing["samples"]["compute"] == 0
    assert numbers(tmp_path / "run") == before
    assert stamps(tmp_path / "run") == kept
    assert not (tmp_path / "run" / ".lock").exists()


def test_annotations_that_changed_are_named(data: Path, tmp_path: Path) -> None:
    go(data, tmp_path / "run")
    path = data / "annotations" / "test.json"
    content = json.loads(path.read_text())
    content["annotations"][0]["initial_mask"] = content["annotations"][0]["visible_mask"]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"annotations/test\.json: was changed after the run"):
        go(data, tmp_path / "run", resume=True)
    go(data, tmp_path / "anew")
    assert numbers(tmp_path / "anew") != numbers(tmp_path / "run")


def test_training_annotations_that_changed_are_named(data: Path, tmp_path: Path) -> None:
    go(data, tmp_path / "run", "mean-shape")
    path = data / "annotations" / "train.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(InputError, match=r"annotations/train\.json: was changed after the run"):
        go(data, tmp_path / "run", "mean-shape", resume=True)


@pytest.mark.parametrize("how", ["changed", "removed"])
def test_a_picture_that_changed_is_named(data: Path, tmp_path: Path, how: str) -> None:
    go(data, tmp_path / "run", limit=5)
    path = data / "images" / "test" / "test-0-v1.png"
    if how == "removed":
        path.unlink()
    else:
        images.write_png(path, 255 - images.read_rgb(path))
    with pytest.raises(InputError, match=r"images/test/test-0-v1\.png: was changed or removed"):
        go(data, tmp_path / "run", resume=True)


@pytest.mark.parametrize("how", ["another mask", "half a file", "no file"])
def test_a_prediction_that_changed_is_made_again(data: Path, tmp_path: Path, how: str) -> None:
    go(data, tmp_path / "run")
    before = numbers(tmp_path / "run")
    masks = tmp_path / "run" / "predictions" / "masks"
    target = masks / "test-0-v0.png"
    if how == "another mask":
        shutil.copy(masks / "test-0-v1.png", target)
    elif how == "half a file":
        target.write_bytes(target.read_bytes()[:-20])
    else:
        target.unlink()
    result = go(data, tmp_path / "run", resume=True)
    assert result.timing["samples"]["compute"] == 1
    assert numbers(tmp_path / "run") == before
    told = "predicted again, because the files had been changed: 1, e.g. 'test-0-v0'"
    assert (told in result.notes) == (how != "no file")


def test_a_line_of_the_journal_that_is_incomplete_does_not_count(data: Path, tmp_path: Path) -> None:
    go(data, tmp_path / "run")
    before, path = numbers(tmp_path / "run"), tmp_path / "run" / "predictions" / JOURNAL_FILE
    lines = path.read_text().splitlines(keepends=True)
    assert len(lines) == 14
    path.write_text("".join(lines[:-1]) + lines[-1][:-30])
    assert go(data, tmp_path / "run", resume=True).timing["samples"]["compute"] == 1
    assert sorted(path.read_text().splitlines(keepends=True)) == sorted(lines)
    for odd in (b"\xff\n", b"[]\n", b'{"draw": null}\n', b'{"draw": null, "id": "x", "inputs": 3, "files": {}}\n'):
        path.write_bytes(odd)
        assert go(data, tmp_path / "run", resume=True).timing["samples"]["compute"] == 14
    assert numbers(tmp_path / "run") == before


def test_each_draw_has_its_own_lines(data: Path, methods_file: Path, tmp_path: Path) -> None:
    go(data, tmp_path / "run", f"{methods_file}:Dice")
    before, draws = numbers(tmp_path / "run"), tmp_path / "run" / "predictions"
    shutil.copy(draws / "draw-01" / "masks" / "test-0-v0.png", draws / "draw-02" / "masks" / "test-0-v0.png")
    result = go(data, tmp_path / "run", f"{methods_file}:Dice", resume=True)
    assert result.timing["samples"]["compute"] == 1
    assert numbers(tmp_path / "run") == before


def test_a_folder_with_only_leftovers_is_used(data: Path, tmp_path: Path) -> None:
    for resume in (False, True):
        out = tmp_path / f"run-{resume}"
        (out / "predictions").mkdir(parents=True)
        for name in (".lock", "predictions/.tmp-x", "predictions/run.json"):
            (out / name).write_text("{}")
        go(data, out, resume=resume)
        assert sorted(p.name for p in out.iterdir()) == ["predictions", "result.json", "samples.csv"]


def test_a_run_that_does_not_start_writes_nothing(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown method"):
        go(data, tmp_path / "run", "no-such-method")
    assert not (tmp_path / "run").exists()
    (tmp_path / "run" / "predictions").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run" / "predictions" / "masks").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeoccError, match="predictions/masks: a symbolic link"):
        go(data, tmp_path / "run", resume=True)
    assert not list((tmp_path / "elsewhere").iterdir())


SLOW = """
import time
import deocc_bench.core.types
class Slow:
    name = "slow"
    needs = ("initial",)
    def complete(self, batch):
        time.sleep(0.1)
        return batch.initial
"""


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing(data: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "deocc_bench.cli", "evaluate", f"{tmp_path / 'slow.py'}:Slow", "--data", str(data)]
    command += ["--task", "mask", "--no-fid", "--resamples", "0", "--batch-size", "1", "--out"]
    start, chance = time.monotonic(), random.Random(0)
    subprocess.run([*command, str(tmp_path / "whole")], check=True, capture_output=True)
    seconds = time.monotonic() - start
    kept = 0
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        out, more = tmp_path / f"run-{kept}-{number}", list[str]()
        for _ in range(2):
            process = subprocess.Popen(
                [*command, str(out), *more],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                preexec_fn=hear_signals,
            )
            time.sleep(chance.uniform(0.4, 0.9) * seconds)
            process.send_signal(number)
            _, told = process.communicate(timeout=10)
            # The shorter second part may be over before it is stopped, or be stopped before it has begun.
            assert process.returncode in (-9, -number, 128 + number, 0)
            assert told.count(b"stopped by") == (process.returncode > 0)
            more = ["--resume"] if out.exists() else []
        kept += len(list(out.rglob("masks/*.png")))
        subprocess.run([*command, str(out), *more], check=True, capture_output=True)
        assert numbers(out) == numbers(tmp_path / "whole")
    assert kept
