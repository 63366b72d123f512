"""Scoring from files: bit-equal re-scoring, random methods, conventions, sweeps, the benchmark_commands."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from deocc_bench.benchmark import benchmark_commands, evaluate, extractors, jobs, robustness, score
from deocc_bench.benchmark.compare import compare_runs
from deocc_bench.benchmark.evaluate import Job
from deocc_bench.benchmark.score import Scoring
from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.images import write_png
from deocc_bench.core.mask_files import read_mask
from deocc_bench.core.predictions import PredictionFolder, draw_folder
from deocc_bench.core.results import RunResult, read_result
from deocc_bench.core.samples import read_table
from deocc_bench.methods.loading import load_method


def job(tiny: Path, out: Path, task: str, **scoring: Any) -> Job:
    dataset = DatasetReader(tiny)
    return Job(dataset, "test", dataset.ids("test"), out, Scoring(task, resamples=20, **scoring))


def go(spec: str, work: Job) -> list[RunResult]:
    method = load_method(spec)
    return evaluate.evaluate_method(method, work, evaluate.prepare(method, work))


@pytest.fixture(scope="module")
def runs(tiny: Path, methods_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of finished runs: full (joint), grow and dice (mask), dice-paint (content)."""
    root = tmp_path_factory.mktemp("runs")
    go(f"{methods_file}:Full", job(tiny, root / "full", "joint"))
    go(f"{methods_file}:Grow", job(tiny, root / "grow", "mask"))
    go(f"{methods_file}:Dice", job(tiny, root / "dice", "mask"))
    go(f"{methods_file}:DicePaint", job(tiny, root / "dice-paint", "content"))
    return root


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task"), [("full", "joint"), ("dice", "mask"), ("dice-paint", "content")])
def test_a_score_from_files_equals_the_evaluation_to_the_last_bit(
    tiny: Path, runs: Path, tmp_path: Path, name: str, task: str
) -> None:
    rescored = evaluate.rescore(runs / name / "predictions", replace(job(tiny, tmp_path / "b", task), workers=2))
    for result in rescored:
        row = result.method["row"]
        side = row if row in ("best-of-k", "vote") else ""
        old = read_result(runs / name / side)
        assert result.to_json()["metrics"] == old.to_json()["metrics"]
        assert result.to_json()["breakdowns"] == old.to_json()["breakdowns"]
        assert result.predictions_digest == old.predictions_digest
        assert result.table_digest == old.table_digest
        assert result.method["name"] == old.method["name"]
    assert len(rescored) == {"full": 1, "dice": 3, "dice-paint": 2}[name]


def test_the_numbers_are_those_of_an_independent_computation(tiny: Path, runs: Path) -> None:
    dataset, folder = DatasetReader(tiny), PredictionFolder(runs / "grow" / "predictions")
    ious = []
    for record in dataset.records("test"):
        predicted = folder.read(record.id, record.size, "mask").amodal
        ious.append(masks.iou(masks.encode(predicted), record.amodal))
    metric = read_result(runs / "grow").metrics["amodal_iou_mean"]
    assert metric["value"] == pytest.approx(np.mean(ious), abs=1e-15)
    assert (metric["n"], metric["n_defined"]) == (14, 14)


@pytest.mark.slow
def test_the_joint_task_fills_the_methods_own_region(tiny: Path, runs: Path, tmp_path: Path) -> None:
    # Repainting outside one's own invisible region changes nothing but preservation_l1.
    shutil.copytree(runs / "full" / "predictions", tmp_path / "p")
    folder = PredictionFolder(tmp_path / "p")
    for record in DatasetReader(tiny).records("test"):
        old = folder.read(record.id, record.size, "joint")
        image = old.image.copy()
        image[~(old.amodal & ~old.modal)] = 7
        folder.write(replace(old, image=image))
    (new,) = evaluate.rescore(tmp_path / "p", job(tiny, tmp_path / "out", "joint"))
    before = read_result(runs / "full")
    for name, metric in new.metrics.items():
        if name == "preservation_l1":
            assert metric["value"] != before.value(name)
        else:
            assert metric["value"] == before.value(name), name


def test_rows_of_a_random_method(tiny: Path, runs: Path) -> None:
    mean, best, vote = (read_result(runs / "dice" / side) for side in ("", "best-of-k", "vote"))
    assert [r.method["row"] for r in (mean, best, vote)] == ["mean", "best-of-k", "vote"]
    assert all(r.method["draws"] == 3 for r in (mean, best, vote))
    assert any("oracle" in note for note in best.notes)
    assert mean.metrics["amodal_iou_mean"]["n"] == 14
    dataset = DatasetReader(tiny)
    ious = np.zeros((3, 14))
    voted = []
    for i, record in enumerate(dataset.records("test")):
        stack = [
            PredictionFolder(draw_folder(runs / "dice" / "predictions", k)).read(record.id, record.size, "mask").amodal
            for k in range(3)
        ]
        truth = masks.decode(record.amodal)
        ious[:, i] = [masks.mask_iou(m, truth) for m in stack]
        voted.append(masks.mask_iou(np.sum(stack, axis=0) >= 2, truth))
    assert len({tuple(row) for row in ious}) == 3
    assert mean.value("amodal_iou_mean") == pytest.approx(ious.mean(), abs=1e-15)
    assert best.value("amodal_iou_mean") == pytest.approx(ious.max(axis=0).mean(), abs=1e-15)
    assert vote.value("amodal_iou_mean") == pytest.approx(np.mean(voted), abs=1e-15)


def test_a_vote_is_scored_again_as_the_row_that_it_is(tiny: Path, runs: Path, tmp_path: Path) -> None:
    options = ("--data", tiny, "--resamples", 20)
    assert run("score", runs / "dice" / "vote", *options, "--out", tmp_path / "v").exit_code == 0
    again, old = read_result(tmp_path / "v"), read_result(runs / "dice" / "vote")
    assert again.to_json()["metrics"] == old.to_json()["metrics"]
    assert (again.method["row"], again.method["draws"], again.method["name"]) == ("vote", 3, "dice")
    assert again.predictions_digest == old.predictions_digest


@pytest.mark.slow
def test_conventions_of_draws_count_samples(tiny: Path, runs: Path) -> None:
    result = run(
        "score", runs / "dice", "--data", tiny, "--resamples", 0, "--task", "mask", "--convention", "all", "--json"
    )
    rows = json.loads(result.stdout)
    assert {r["n"] for r in rows} == {14}
    assert {r["n_defined"] for r in rows if r["convention"] == "pcnets"} == {14}


def test_best_of_k_takes_the_least_error_of_pictures() -> None:
    def table(errors: list[int]) -> pd.DataFrame:
        return pd.DataFrame({"id": ["a", "b"], "abs_image": errors, "abs_human": errors[::-1]})

    assert score.best_draws([table([3, 1]), table([2, 1])], "content") == [1, 0]
    assert score.best_draws([table([3, 1]), table([2, 1])], "joint") == [0, 1]


def test_a_random_method_is_compared_with_a_certain_one(runs: Path) -> None:
    report = compare_runs(runs / "grow", runs / "dice", ["amodal_iou_mean"])
    row = report["metrics"]["amodal_iou_mean"]
    grow, dice = read_result(runs / "grow"), read_result(runs / "dice")
    assert row["first"] == pytest.approx(grow.value("amodal_iou_mean"))
    assert row["second"] == pytest.approx(dice.value("amodal_iou_mean"))
    assert report["second"] == "dice (mean of 3)"
    best = compare_runs(runs / "dice" / "best-of-k", runs / "grow")
    assert any("oracle" in note for note in best["notes"])
    assert "initial_iou_mean" not in best["metrics"]


@pytest.mark.slow
def test_runs_of_other_data_are_not_compared(tiny: Path, runs: Path, methods_file: Path, tmp_path: Path) -> None:
    work = job(tiny, tmp_path / "few", "mask")
    go(f"{methods_file}:Grow", replace(work, ids=work.ids[:4]))
    with pytest.raises(DeoccError, match="differ in scored samples;"):
        compare_runs(runs / "grow", tmp_path / "few")
    with pytest.raises(DeoccError, match="differ in task;"):
        compare_runs(runs / "grow", runs / "full")
    with pytest.raises(UsageError, match="did you mean 'amodal_iou_mean'"):
        compare_runs(runs / "grow", runs / "dice", ["amodal_iou_men"])
    shutil.copytree(runs / "grow", tmp_path / "edited")
    table = tmp_path / "edited" / "samples.csv"
    table.write_text(table.read_text().replace("box", "bax"))
    with pytest.raises(InputError, match="changed after the run"):
        compare_runs(runs / "grow", tmp_path / "edited")


def test_a_convention_is_added(tiny: Path, runs: Path, tmp_path: Path) -> None:
    (result,) = evaluate.rescore(runs / "grow" / "predictions", job(tiny, tmp_path, "mask", convention="segan"))
    assert result.protocol["convention"] == "segan"
    assert result.value("si_iou[segan]") == pytest.approx(result.value("invisible_recall"))
    with pytest.raises(DeoccError, match="is for masks"):
        evaluate.rescore(runs / "full" / "predictions", job(tiny, tmp_path / "c", "content", convention="segan"))


@pytest.mark.slow
def test_what_stands_behind_a_person_is_no_occluder_of_theirs(
    tiny: Path, methods_file: Path, tmp_path: Path, runs: Path
) -> None:
    shutil.copytree(tiny, tmp_path / "data")
    path = tmp_path / "data" / "annotations" / "test.json"
    content = json.loads(path.read_text())
    for annotation in content["annotations"]:
        if annotation["sample_id"] == "test-0-v0":
            (box,) = annotation["occluders"]
            annotation["occluders"] = [box, {**box, "id": "tree", "category": "tree", "order": 2, "behind": True}]
    path.write_text(json.dumps(content))
    (result,) = go(f"{methods_file}:Grow", job(tmp_path / "data", tmp_path / "run", "mask"))
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "run" / "samples.csv"), read_table(runs / "grow" / "samples.csv"), check_exact=True
    )
    assert set(result.breakdowns["occluder_category"]) == {"box", "crate"}
    assert set(result.breakdowns["occluders"]) == {"1"}


def test_missing_predictions_are_counted(tiny: Path, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "grow" / "predictions", tmp_path / "p")
    (tmp_path / "p" / "masks" / "test-0-v1.png").unlink()
    with pytest.raises(InputError, match="missing: masks/test-0-v1"):
        evaluate.rescore(tmp_path / "p", job(tiny, tmp_path / "out", "mask"))
    work = job(tiny, tmp_path / "out", "mask")
    with pytest.raises(DeoccError, match=r"1 of 14 samples have no prediction, e\.g\. 'test-0-v1'"):
        score.score_folder(tmp_path / "p", work.dataset, "test", work.ids, work.scoring)


@pytest.mark.slow
def test_a_sweep_over_initial_masks(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    specs = ["perfect", "dilate:3", "shift:6"]
    method = load_method(f"{methods_file}:Grow")
    results, summary = robustness.sweep(method, job(tiny, tmp_path, "mask"), specs)
    assert [r.protocol["initial_mask"] for r in results] == specs
    assert read_result(tmp_path / "initial-dilate-3").value("amodal_iou_mean") == results[1].value("amodal_iou_mean")
    assert json.loads((tmp_path / "robustness.json").read_text()) == summary
    points = summary["points"]
    assert points[0]["initial_mask"] == "perfect"
    assert points[0]["initial_iou"] == 1.0
    x = np.array([1 - p["initial_iou"] for p in points])
    y = np.array([p["value"] for p in points])
    assert (np.diff(x) > 0).all()
    assert summary["area"] == pytest.approx(np.trapezoid(y, x) / (x[-1] - x[0]))
    with pytest.raises(UsageError, match="did you mean 'dilate'"):
        robustness.sweep(method, job(tiny, tmp_path / "b", "mask"), ["dilat:3", "perfect"])
    with pytest.raises(UsageError, match="twice"):
        robustness.sweep(method, job(tiny, tmp_path / "b", "mask"), ["perfect", "perfect"])


def test_the_area_of_a_curve() -> None:
    assert robustness.area([0.0, 1.0], [1.0, 0.0]) == 0.5
    assert robustness.area([0.5, 0.0, 0.5], [0.2, 1.0, 0.4]) == pytest.approx(0.65)
    assert robustness.area([0.2, 0.2], [1.0, 0.5]) is None


def run(*arguments: object) -> Result:
    name, *rest = map(str, arguments)
    return CliRunner().invoke(getattr(benchmark_commands, name), rest)


@pytest.mark.slow
def test_commands_from_end_to_end(
    tiny: Path, methods_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["deocc-bench", "evaluate"])
    common = ("--data", tiny, "--resamples", 20)
    result = run("evaluate", f"{methods_file}:Grow", *common, "--task", "mask", "--out", tmp_path / "a", "-O", "by=2")
    assert result.exit_code == 0, result.output
    assert "amodal_iou_mean" in result.stdout
    record = read_result(tmp_path / "a")
    assert record.method["options"] == {"by": 2}
    assert record.command.startswith("deocc-bench evaluate")
    again = run("score", tmp_path / "a", *common, "--json")
    assert json.loads(again.stdout)["metrics"] == record.to_json()["metrics"]
    every = run("score", tmp_path / "a", *common, "--convention", "all", "--json")
    assert {r["convention"] for r in json.loads(every.stdout)} >= {"deocc-bench", "pcnets", "ahp"}
    assert "occ_iou_post" in run("score", tmp_path / "a", *common, "--convention", "all").stdout
    assert isinstance(run("score", tmp_path / "a", *common, "--out", tmp_path / "a").exception, UsageError)
    folder = f"predictions:{tmp_path / 'a' / 'predictions'}"
    assert run("evaluate", folder, *common, "--task", "mask", "--out", tmp_path / "b").exit_code == 0
    assert (tmp_path / "a" / "samples.csv").read_bytes() == (tmp_path / "b" / "samples.csv").read_bytes()
    taken = run("evaluate", folder, *common, "--task", "mask", "--out", tmp_path / "b")
    assert "already contains a run" in str(taken.exception)
    limited = run("evaluate", folder, *common, "--task", "mask", "--out", tmp_path / "c", "--limit", 3, "--json")
    assert json.loads(limited.stdout)["dataset"]["n"] == 3
    compared = run("compare", tmp_path / "a", tmp_path / "b", "--json")
    assert json.loads(compared.stdout)["metrics"]["amodal_iou_mean"]["difference"] == 0
    assert "p (Holm)" in run("compare", tmp_path / "a", tmp_path / "b").stdout
    clean = run("lint", tmp_path / "a" / "predictions", "--data", tiny, "--task", "mask")
    # The method grows the masks to one side.
    assert clean.exit_code == 1
    assert clean.stdout.startswith("shifted: masks: the masks look shifted: moved 3 px left, ")
    assert clean.stdout.endswith("\n0 errors, 1 warnings\n")
    (tmp_path / "a" / "predictions" / "masks" / "test-0-v0.png").unlink()
    dirty = run("lint", tmp_path / "a" / "predictions", "--data", tiny, "--task", "mask", "--json")
    assert dirty.exit_code == 1
    assert json.loads(dirty.stdout)[0]["kind"] == "missing"
    assert run("methods", "--json").exit_code == 0


@pytest.mark.slow
def test_coco_results_are_evaluated(tiny: Path, tmp_path: Path) -> None:
    entries = [{"sample_id": r.id, "segmentation": r.amodal} for r in DatasetReader(tiny).records("test")]
    (tmp_path / "mine.json").write_text(json.dumps(entries))
    spec = f"predictions:{tmp_path / 'mine.json'}"
    options = ("--data", tiny, "--resamples", 0, "--task", "mask", "--json")
    result = run("evaluate", spec, *options, "--out", tmp_path / "run")
    record = json.loads(result.stdout)
    assert record["method"]["name"] == "mine"
    assert record["metrics"]["amodal_iou_mean"]["value"] == 1.0
    (tmp_path / "mine.json").write_text(json.dumps(entries[1:]))
    short = run("evaluate", spec, *options, "--out", tmp_path / "short")
    assert isinstance(short.exception, InputError)
    assert "missing: masks/test-0-v0" in str(short.exception)
    # A second try, with the mended file, finds no half a run in its way.
    (tmp_path / "mine.json").write_text(json.dumps(entries))
    assert run("evaluate", spec, *options, "--out", tmp_path / "short").exit_code == 0


@pytest.mark.slow
def test_what_was_noted_beside_predictions_counts(tiny: Path, methods_file: Path, tmp_path: Path, runs: Path) -> None:
    options = ("--data", tiny, "--resamples", 20)
    arguments = ("--task", "mask", "--out", tmp_path / "a", "--seed", 5, "--initial-mask", "shift:4")
    assert run("evaluate", f"{methods_file}:Grow", *options, *arguments).exit_code == 0
    again = run("score", tmp_path / "a" / "predictions", *options, "--out", tmp_path / "b")
    assert again.exit_code == 0, again.output
    assert (tmp_path / "a" / "samples.csv").read_bytes() == (tmp_path / "b" / "samples.csv").read_bytes()
    assert read_result(tmp_path / "a").to_json()["metrics"] == read_result(tmp_path / "b").to_json()["metrics"]
    folder = run("evaluate", f"predictions:{tmp_path / 'a'}", *options, "--task", "mask", "--out", tmp_path / "again")
    assert folder.exit_code == 0, folder.output
    assert read_result(tmp_path / "again").to_json()["metrics"] == read_result(tmp_path / "a").to_json()["metrics"]
    assert read_result(tmp_path / "again").protocol["initial_mask"] == "shift:4"
    assert run("lint", tmp_path / "a", "--data", tiny, "--task", "mask").stdout == "no findings\n"
    learner = (f"{methods_file}:Learner", *options, "--task", "mask", "--out", tmp_path / "l")
    assert run("evaluate", *learner).exit_code == 0
    assert run("score", tmp_path / "l", *options, "--out", tmp_path / "m").exit_code == 0
    assert read_result(tmp_path / "m").protocol == read_result(tmp_path / "l").protocol
    assert read_result(tmp_path / "m").protocol["fit_split"] == "train"
    work = replace(job(tiny, tmp_path / "c", "mask"), split="train")
    with pytest.raises(InputError, match="predicted on another split"):
        evaluate.rescore(runs / "grow" / "predictions", work)


@pytest.mark.slow
def test_distances_of_another_network_go_by_their_own_name(
    tiny: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("DEOCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DEOCC_OFFLINE", "1")

    class Means(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([x.mean(dim=(2, 3)), x.std(dim=(2, 3))], dim=1)

    torch.jit.trace(Means(), torch.rand(2, 3, 8, 8)).save(str(tmp_path / "means.pt"))
    common = ("--data", tiny, "--resamples", 0, "--json", "--fid-extractor", tmp_path / "means.pt")
    first = json.loads(run("score", runs / "full", *common).stdout)["metrics"]
    (name,) = [n for n in first if n.startswith("fd[")]
    assert name.startswith("fd[means@")
    assert first[name]["value"] > 0
    assert first["fid"]["value"] is None
    assert "its distances are called fd and kd" in first["fid"]["reason"]
    assert json.loads(run("score", runs / "full", *common).stdout)["metrics"] == first
    without = json.loads(run("score", runs / "full", "--data", tiny, "--resamples", 0, "--json").stdout)
    assert without["metrics"]["fid"]["value"] is None
    assert "downloads are off" in without["metrics"]["fid"]["reason"]


def test_tables_round_trip(runs: Path) -> None:
    table = read_table(runs / "full" / "samples.csv")
    assert len(table) == 14
    assert table["ssim_human"].dtype == np.float64
    assert list(table["id"]) == sorted(table["id"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predictions:", "--task", "mask"), "names no folder"),
        (("FILE:Paint", "--task", "content", "--initial-mask", "dilate:3"), "'content' has no initial mask"),
        (("FILE:Paint", "--task", "content", "--convention", "ahp"), "'ahp' is for masks"),
    ],
)
def test_contradictions_are_told_before_the_run(
    tiny: Path, methods_file: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    given = [a.replace("FILE", str(methods_file)) for a in arguments]
    result = run("evaluate", *given, "--data", tiny, "--out", tmp_path / "run")
    assert isinstance(result.exception, UsageError)
    assert message in str(result.exception)
    assert not (tmp_path / "run").exists()


def test_a_gpu_that_is_asked_for_must_be_there(
    tiny: Path, methods_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    arguments = ("--data", tiny, "--task", "mask", "--out", tmp_path / "run", "--device", "cuda")
    result = run("evaluate", f"{methods_file}:Grow", *arguments)
    assert isinstance(result.exception, UsageError)
    assert "torch sees no GPU" in str(result.exception)


def test_what_is_fetched_shows_its_progress(
    tiny: Path, methods_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int | None]] = []

    class Bar:
        n = 0

        def __init__(self, what: str, unit: str, total: int | None, **_: object) -> None:
            self.total = total

        def update(self, step: int) -> None:
            self.n += step
            seen.append((self.n, self.total))

        def close(self) -> None:
            seen.append((-1, None))

    def find(path: object, progress: Any) -> extractors.Unavailable:
        for done in (10, 25):
            progress(done, 25)
        return extractors.Unavailable("not there")

    monkeypatch.setattr(jobs, "progress_bar", Bar)
    monkeypatch.setattr(extractors, "find_extractor", find)
    arguments = ("--data", tiny, "--task", "content", "--out", tmp_path / "run", "--resamples", 0)
    result = run("evaluate", f"{methods_file}:Paint", *arguments)
    assert result.exit_code == 0, result.output
    assert seen == [(10, 25), (25, 25), (-1, None)]


def test_soft_masks_are_scored_at_half_and_noted(tiny: Path, runs: Path, tmp_path: Path) -> None:
    exact, soft = tmp_path / "exact", tmp_path / "soft"
    ids = DatasetReader(tiny).ids("test")
    for folder in (exact, soft):
        shutil.copytree(runs / "grow" / "predictions", folder)
    for sample in ids[:2]:
        path = PredictionFolder(soft).path("masks", sample)
        mask = read_mask(path)
        write_png(path, np.where(mask, 200, np.where(np.roll(mask, 1, 1), 90, 2)).astype(np.uint8))
    (a,) = evaluate.rescore(exact, job(tiny, tmp_path / "a", "mask"))
    (b,) = evaluate.rescore(soft, job(tiny, tmp_path / "b", "mask"))
    assert {k: m["value"] for k, m in a.metrics.items()} == {k: m["value"] for k, m in b.metrics.items()}
    assert not [n for n in a.notes if "soft" in n]
    (note,) = (n for n in b.notes if n.startswith("soft"))
    assert note.startswith("soft: 2 in masks (")
    assert "read at half of white" in note
