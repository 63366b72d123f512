"""`leaderboard --verify`: runs as they were made pass, and whatever is edited afterwards is found by scoring anew."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from deocc_bench.benchmark import evaluate
from deocc_bench.benchmark.evaluate import Job
from deocc_bench.benchmark.score import Scoring
from deocc_bench.benchmark.verify import rescore_run
from deocc_bench.core import images
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.json_files import dump_json
from deocc_bench.core.results import read_result, record_digest
from deocc_bench.leaderboard.leaderboard_commands import leaderboard
from deocc_bench.leaderboard.records import Run, load_runs
from deocc_bench.leaderboard.verify import check_predictions, load_rescore
from deocc_bench.methods.loading import load_method

pytestmark = pytest.mark.slow

# name -> (class, task, how it is scored)
CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "mask": ("Grow", "mask", {"initial_mask": "dilate:2", "seed": 3}),
    "content": ("Paint", "content", {}),
    "joint": ("Full", "joint", {"convention": "segan"}),
    "dice": ("Dice", "mask", {"seed": 5}),
    "dice-paint": ("DicePaint", "content", {}),
}


@pytest.fixture(scope="module")
def runs(tiny: Path, methods_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of every case; the one of task joint is of the first nine samples."""
    root = tmp_path_factory.mktemp("runs")
    dataset = DatasetReader(tiny)
    for name, (method, task, scoring) in CASES.items():
        ids = dataset.ids("test")[: 9 if task == "joint" else None]
        work = Job(dataset, "test", ids, root / name, Scoring(task, resamples=20, **scoring))
        loaded = load_method(f"{methods_file}:{method}")
        evaluate.evaluate_method(loaded, work, evaluate.prepare(loaded, work))
    return root


@pytest.fixture
def copy(runs: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A run to spoil: `copy(name)`."""

    def make(name: str) -> Path:
        return Path(shutil.copytree(runs / name, tmp_path / name))

    return make


def check(folder: Path, tiny: Path) -> Run:
    run = next(r for r in load_runs([folder])[0] if r.folder == folder)
    return check_predictions(run, [DatasetReader(tiny)], load_rescore())


def forge(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Edit a record and write its digest anew, as somebody would who knows the format."""
    path = folder / "result.json"
    content = json.loads(path.read_text())
    change(content)
    content["digest"] = record_digest(content)
    path.write_text(dump_json(content))
    assert not read_result(folder).problems


@pytest.mark.parametrize("name", [*CASES, "dice/vote"])
def test_a_run_as_it_was_made_is_verified_to_the_last_bit(runs: Path, tiny: Path, name: str) -> None:
    found = rescore_run(runs / name, DatasetReader(tiny))
    record = read_result(runs / name)
    assert found.metrics == record.to_json()["metrics"]
    assert found.predictions_digest == record.predictions_digest
    run = check(runs / name, tiny)
    defined = sum(m["value"] is not None for m in record.metrics.values())
    assert run.verified == f"verified: {defined} of {defined} numbers reproduced"
    assert defined >= 8
    assert not run.flagged


@pytest.mark.parametrize("name", [*CASES, "dice/vote"])
@pytest.mark.parametrize("field", ["value", "ci95"])
def test_an_edited_number_is_found_though_its_digest_was_written_anew(
    copy: Callable[[str], Path], tiny: Path, name: str, field: str
) -> None:
    top, _, side = name.partition("/")
    folder = copy(top) / side if side else copy(top)
    metric = "amodal_iou_mean" if CASES[top][1] == "mask" else "l1_image"

    def edit(content: dict[str, Any]) -> None:
        old = content["metrics"][metric][field]
        content["metrics"][metric][field] = [old[0] + 1e-6, old[1]] if field == "ci95" else old + 1e-6

    forge(folder, edit)
    run = check(folder, tiny)
    assert run.verified == "failed"
    assert len(run.findings) == 1
    assert metric in run.findings[0]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("mask", "masks"),
        ("content", "images"),
        ("joint", "masks"),
        ("joint", "modal"),
        ("joint", "parsing"),
        ("joint", "images"),
        ("dice", "draw-02/masks"),
        ("dice-paint", "draw-00/images"),
    ],
)
def test_an_edited_prediction_is_found(copy: Callable[[str], Path], tiny: Path, name: str, file: str) -> None:
    folder = copy(name)
    path = sorted((folder / "predictions" / file).glob("*.png"))[4]
    if file.endswith("images"):
        pixels = images.read_rgb(path)
        pixels[20:40, 10:30] ^= 64
    else:
        pixels = images.read_indices(path).copy()
        pixels[:9] = 0 if file == "parsing" else pixels.max()
        pixels[30] = 0
    images.write_png(path, pixels if file.endswith(("images", "parsing")) else pixels > 0)
    run = check(folder, tiny)
    assert run.verified == "failed"
    assert "the predictions were changed after scoring" in run.findings[0]
    assert "gives different numbers" in run.findings[1]


def test_what_can_not_be_scored_anew_is_a_finding(copy: Callable[[str], Path], tiny: Path) -> None:
    folder = copy("mask")
    next((folder / "predictions/masks").glob("*.png")).unlink()
    assert "1 of 14 samples have no prediction" in check(folder, tiny).findings[0]
    whole = copy("joint")
    forge(whole, lambda content: content["dataset"].update(n=8))
    assert "its samples are not those" in check(whole, tiny).findings[0]


def test_chosen_samples_are_those_of_the_table(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    dataset = DatasetReader(tiny)
    work = Job(dataset, "test", dataset.ids("test")[5:9], tmp_path / "run", Scoring("mask", resamples=0))
    method = load_method(f"{methods_file}:Dice")
    evaluate.evaluate_method(method, work)
    assert (check(tmp_path / "run", tiny).verified or "").startswith("verified: ")


def test_a_best_of_k_row_is_not_taken_for_a_method(runs: Path, tiny: Path) -> None:
    assert "no prediction folder" in (check(runs / "dice/best-of-k", tiny).verified or "")
    with pytest.raises(DeoccError, match="selected with the ground truth"):
        rescore_run(runs / "dice/best-of-k", DatasetReader(tiny))


def test_a_run_without_predictions(runs: Path, tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "mask", tmp_path / "bare", ignore=shutil.ignore_patterns("predictions"))
    with pytest.raises(InputError, match="no predictions"):
        rescore_run(tmp_path / "bare", DatasetReader(tiny))


def test_numbers_of_a_network_that_is_gone_are_left_out_with_the_reason(
    copy: Callable[[str], Path], tiny: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEOCC_CACHE", str(tmp_path / "empty"))
    folder = copy("content")

    def edit(content: dict[str, Any]) -> None:
        fid = {**content["metrics"]["fid"], "value": 12.5, "n_defined": 14}
        fid.pop("reason")
        content["metrics"] |= {"fid": fid, "fd[mine@01234567]": fid}

    forge(folder, edit)
    found = rescore_run(folder, DatasetReader(tiny)).metrics
    assert "downloads are off" in found["fid"]["reason"]
    assert found["fd[mine@01234567]"]["reason"] == "the network mine@01234567 is not available"
    run = check(folder, tiny)
    assert not run.flagged
    defined = sum(m["value"] is not None for m in run.record.metrics.values())
    assert run.verified == f"verified: {defined - 2} of {defined} numbers reproduced"


def test_the_command_exits_1_on_a_forged_run(runs: Path, copy: Callable[[str], Path], tiny: Path) -> None:
    def go(folder: Path) -> Any:
        options = ("--out", folder / "board", "--data", tiny, "--verify", "--no-figures", "--json")
        return CliRunner().invoke(leaderboard, [str(a) for a in (folder, *options)])

    folder = copy("mask")
    assert go(folder).exit_code == 0
    forge(folder, lambda content: content["metrics"]["amodal_iou_mean"].update(value=0.99))
    forged = go(folder)
    assert forged.exit_code == 1
    assert "scoring the predictions again gives different numbers" in json.dumps(json.loads(forged.stdout)["findings"])
    assert np.isclose(read_result(folder).value("amodal_iou_mean") or 0, 0.99)
