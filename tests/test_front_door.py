"""The Python front door: every function gives what its command gives, by the same defaults."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import deocc_bench as db
from deocc_bench.cli import COMMANDS, cli
from deocc_bench.core import images, mask_files
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.registry import load_object
from deocc_bench.core.results import read_result


class Wider:
    """The initial mask, one pixel wider to the right."""

    name = "wider"
    needs = ("initial",)

    def __init__(self, by: int = 1) -> None:
        self.by = by

    def complete(self, batch: Any) -> np.ndarray:
        return batch.initial | np.roll(batch.initial, self.by, axis=2)


class Dice:
    """Another answer for each seed."""

    name = "dice"
    samples = 2

    def complete(self, batch: Any, seed: int) -> np.ndarray:
        return np.roll(batch.initial, seed % 5, axis=2)

    needs = ("initial",)


def run(*arguments: object) -> Any:
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code == 0, f"{done.output}\n{done.exception!r}"
    return done


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_import_is_quick_and_light() -> None:
    code = "import time; t = time.perf_counter(); import deocc_bench; print(time.perf_counter() - t)"
    assert min(float(python(code)) for _ in range(5)) < 0.1
    heavy = "[m for m in ('torch', 'numpy', 'pandas', 'cv2', 'click') if m in sys.modules]"
    assert python(f"import sys, deocc_bench; dir(deocc_bench); print({heavy})") == "[]"


@pytest.mark.slow
def test_torch_is_not_imported_where_no_tensor_is_asked_for(tiny: Path) -> None:
    code = (
        f"import sys, deocc_bench as db\nd = db.load_dataset({str(tiny)!r})\ndb.show(d[0])\n"
        f"db.evaluate('initial', d, 'mask', resamples=0)\nprint('torch' in sys.modules)"
    )
    assert python(code) == "False"


def test_every_public_name_is_there() -> None:
    assert set(db.__all__) <= set(dir(db))
    for name in db.__all__:
        assert callable(getattr(db, name))
    with pytest.raises(AttributeError, match="no attribute 'evalute'"):
        _ = db.evalute


@pytest.mark.slow
def test_leaderboard_is_the_room_and_the_function_in_any_order_of_imports() -> None:
    for first in ("from deocc_bench import leaderboard", "import deocc_bench.leaderboard.build"):
        code = f"{first}\nimport deocc_bench\nfrom deocc_bench import leaderboard as it\n"
        code += "import deocc_bench.leaderboard.table\nprint(callable(it), deocc_bench.leaderboard is it, it.__name__)"
        assert python(code) == "True True deocc_bench.leaderboard"


# Command -> its least arguments, and the parameters that it spells otherwise than the function.
LEAST = {
    "synth": ("--humans h --occluders o --out d", {"as_json"}),
    "evaluate": ("m --data d --task mask --out r", {"as_json", "options"}),
    "score": ("p --data d", {"as_json"}),
    "compare": ("a b", {"as_json", "runs"}),
    "leaderboard": ("r --out b", {"as_json"}),
    "predict": ("p --out o", {"as_json", "spec", "mask_files", "whole_files", "hiding_files", "options"}),
}
FUNCTIONS = {
    "synth": "deocc_bench.synth.front:synthesise",
    "leaderboard": "deocc_bench.leaderboard.front:leaderboard",
    "predict": "deocc_bench.predict.front:complete",
}


@pytest.mark.parametrize("name", LEAST)
def test_commands_and_functions_have_the_same_defaults(name: str) -> None:
    function = load_object(FUNCTIONS.get(name, f"deocc_bench.benchmark.front:{name}"))
    known = signature(function).parameters
    arguments, otherwise = LEAST[name]
    command = load_object(COMMANDS[name][0])
    given = command.make_context(name, arguments.split()).params
    compared = 0
    for option in set(given) - otherwise:
        if option in ("out", "data", "task", "runs") or known[option].default is Parameter.empty:
            continue
        # None, nothing repeated and an empty text all say: not given.
        assert (given[option] or None) == (known[option].default or None), option
        compared += 1
    assert compared >= len(known) // 2 - 1


def test_samples_hold_what_the_dataset_holds(tiny: Path) -> None:
    reader = DatasetReader(tiny)
    test = db.load_dataset(tiny)
    assert [s.id for s in test] == reader.ids("test")
    assert len(test) == 14
    for sample in (test[0], test[-1], test[3]):
        truth = reader.sample("test", sample.id)
        for name in ("image", "complete", "amodal", "modal", "invisible", "initial", "parsing"):
            assert np.array_equal(getattr(sample, name), getattr(truth, name)), name
            assert getattr(sample, name) is getattr(sample, name), "decoded once"
        assert (sample.group_id, sample.size) == (truth.group_id, truth.image.shape[:2])
        assert sample.occlusion_ratio == pytest.approx(truth.occlusion_ratio)
        assert [o.id for o in sample.occluders] == [o.id for o in truth.occluders]
        assert np.array_equal(sample.occluders[0].mask, truth.occluders[0].mask)
    assert db.load_dataset(tiny, split="train").split == "train"
    with pytest.raises(IndexError):
        _ = test[14]
    with pytest.raises(UsageError, match="did you mean 'train'"):
        db.load_dataset(tiny, split="trian")


def test_slices_and_filters_are_datasets_again(tiny: Path) -> None:
    test = db.load_dataset(tiny)
    assert type(test[:3]) is type(test)
    assert [s.id for s in test[2:0:-1]] == [test[2].id, test[1].id]
    assert repr(test) == "<dataset 'tiny', split 'test': 14 samples>"
    assert repr(test[:3]) == "<dataset 'tiny', split 'test': 3 of 14 samples>"
    ratios = [s.occlusion_ratio for s in test]
    low, high = sorted(ratios)[3], sorted(ratios)[9]
    assert [s.occlusion_ratio for s in test.filter(ratio=(low, high))] == [r for r in ratios if low <= r < high]
    crates = test.filter(category="crate")
    assert {o.category for s in crates for o in s.occluders} == {"crate"}
    assert len(crates) + len(test.filter(category="box")) == len(test)
    assert {s.group_id for s in test.filter(group_id="test-1")} == {"test-1"}
    assert [s.id for s in test.filter(lambda r: r.id.endswith("v0"), category="box")] == [
        s.id for s in test if s.id.endswith("v0") and s.occluders[0].category == "box"
    ]
    assert len(test.filter(ratio=(0.99, 1.0))) == 0
    with pytest.raises(UsageError, match="did you mean 'crate'"):
        test.filter(category="crte")


def test_annotations_need_no_pixels(few: Path, tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(few)
    copy = tmp_path / "copy"
    (copy / "annotations").mkdir(parents=True)
    for name in ("dataset.json", "annotations/test.json"):
        (copy / name).write_bytes((few / name).read_bytes())
    samples = db.load_dataset(copy).filter(ratio=(0, 1))
    table = samples.to_pandas()
    assert table["id"].tolist() == [s.id for s in samples]
    assert table["occlusion_ratio"].tolist() == [s.occlusion_ratio for s in samples]
    assert table["categories"].tolist() == ["box", "crate", "box", "crate"]
    assert table[["occluders", "complete", "initial"]].drop_duplicates().values.tolist() == [[1, True, True]]
    assert samples[0].amodal.any()
    assert samples[0].occluders[0].mask.any()
    with pytest.raises(InputError, match="no such file"):
        _ = samples[0].image


@pytest.mark.slow
def test_the_default_loader_collates_samples(few: Path) -> None:
    from torch.utils.data import DataLoader

    same = db.load_dataset(few).filter(lambda r: r.size == (64, 48))
    batch = next(iter(DataLoader(same.as_torch(), batch_size=3)))
    assert batch["id"] == [s.id for s in same]
    assert np.array_equal(batch["amodal"][:, 0].numpy(), np.stack([s.amodal for s in same]))
    assert np.array_equal(batch["image"].mul(255).round().byte().permute(0, 2, 3, 1), np.stack([s.image for s in same]))
    many = DataLoader(same.as_torch(), batch_size=3, num_workers=1, multiprocessing_context="spawn")
    assert next(iter(many))["image"].equal(batch["image"])
    sums = same.as_torch(lambda item: item["amodal"].sum(), fields=("amodal",))
    assert next(iter(DataLoader(sums, batch_size=3))).tolist() == [int(s.amodal.sum()) for s in same]


def test_evaluate_gives_the_numbers_of_the_command(tiny: Path, methods_file: Path, tmp_path: Path) -> None:
    spec = f"{methods_file}:Grow"
    run("evaluate", spec, "--data", tiny, "--task", "mask", "--out", tmp_path / "command", "-O", "by=2")
    result = db.evaluate(spec, tiny, "mask", tmp_path / "python", options={"by": 2})
    command = read_result(tmp_path / "command")
    for field in ("method", "dataset", "protocol", "metrics", "breakdowns", "predictions_digest", "table_digest"):
        assert getattr(result, field) == getattr(command, field), field
    assert result.path == tmp_path / "python" / "result.json"
    assert read_result(result.path).metrics == result.metrics


def test_an_object_a_class_and_a_spec_are_one_method(tiny: Path, tmp_path: Path) -> None:
    by_object = db.evaluate(Wider(2), tiny, "mask", resamples=20)
    by_class = db.evaluate(Wider, tiny, "mask", options={"by": 2}, resamples=20)
    assert by_object.metrics == by_class.metrics
    assert by_object.method["name"] == "wider"
    assert by_object.path is None
    assert db.evaluate(Wider(3), tiny, "mask", resamples=20).metrics != by_object.metrics
    with pytest.raises(UsageError, match="pass them to its constructor"):
        db.evaluate(Wider(), tiny, "mask", options={"by": 2})
    with pytest.raises(UsageError, match="unknown task 'msk'; did you mean 'mask'"):
        db.evaluate(Wider(), tiny, "msk")
    with pytest.raises(UsageError, match="call it once per mask"):
        db.evaluate(Wider(), tiny, "mask", initial_mask="perfect,dilate:3")


def test_loaded_samples_are_the_ones_that_are_scored(tiny: Path, tmp_path: Path) -> None:
    test = db.load_dataset(tiny)
    first = db.evaluate(Wider(), test[:5], "mask", resamples=20)
    assert first.metrics == db.evaluate(Wider(), tiny, "mask", limit=5, resamples=20).metrics
    hard = test.filter(ratio=(0.2, 0.9))
    some = db.evaluate(Wider(), hard, "mask", tmp_path / "hard", resamples=20)
    assert some.dataset["n"] == len(hard) < len(test)
    assert [r["id"] for r in csv.DictReader((tmp_path / "hard" / "samples.csv").open())] == list(hard.ids)
    train = db.load_dataset(tiny, split="train")
    assert db.evaluate(Wider(), train, "mask", resamples=0).dataset["split"] == "train"
    with pytest.raises(UsageError, match="of split 'test', not 'train'"):
        db.evaluate(Wider(), test, "mask", split="train")
    with pytest.raises(UsageError, match="relax the filter"):
        db.evaluate(Wider(), test[:0], "mask")


def test_a_random_method_gives_its_mean(tiny: Path, tmp_path: Path) -> None:
    result = db.evaluate(Dice(), tiny, "mask", tmp_path / "run", resamples=20)
    assert result.method["row"] == "mean"
    assert read_result(tmp_path / "run" / "vote").method["row"] == "vote"


@pytest.mark.slow
def test_score_and_compare_give_what_the_commands_give(tiny: Path, tmp_path: Path) -> None:
    one = db.evaluate(Wider(), tiny, "mask", tmp_path / "one", seed=3, initial_mask="shift:4", resamples=50)
    two = db.evaluate("convex-hull", tiny, "mask", tmp_path / "two", resamples=50)
    assert db.score(tmp_path / "one", tiny, resamples=50).metrics == one.metrics
    assert db.score(one, tiny, resamples=50).metrics == one.metrics
    printed = run("score", tmp_path / "one", "--data", tiny, "--resamples", 50, "--json").stdout
    assert json.loads(printed)["metrics"] == one.to_json()["metrics"]
    report = db.compare(one, two)
    assert json.loads(run("compare", tmp_path / "one", tmp_path / "two", "--json").stdout) == report
    assert set(db.compare(tmp_path / "one", two, ["mask_l1"])["metrics"]) == {"mask_l1"}
    with pytest.raises(UsageError, match="was not written to a folder"):
        db.compare(one, db.evaluate(Wider(), tiny, "mask", resamples=0))
    with pytest.raises(UsageError, match="score_conventions"):
        db.score(tmp_path / "one", tiny, convention="all")


@pytest.mark.slow
def test_the_board_holds_the_numbers_of_the_csv(tiny: Path, tmp_path: Path) -> None:
    runs = [
        db.evaluate(method, tiny, "mask", tmp_path / "runs" / str(k), resamples=50)
        for k, method in enumerate((Wider(), "convex-hull", "oracle"))
    ]
    run("leaderboard", tmp_path / "runs", "--out", tmp_path / "command", "--no-figures")
    board = db.leaderboard(runs, intervals=True)
    assert board.equals(db.leaderboard(str(tmp_path / "runs"), tmp_path / "python", intervals=True, figures=False))
    for name in ("leaderboard.csv", "leaderboard.md", "leaderboard.html"):
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "command" / name).read_bytes()
    lines = list(csv.DictReader((tmp_path / "command" / "leaderboard.csv").open()))
    assert board["method"].tolist() == [line["method"] for line in lines]
    assert ["" if np.isnan(r) else str(int(r)) for r in board["rank"].astype(float)] == [line["rank"] for line in lines]
    shown = [c for c in board.columns if c in lines[0] and c.startswith(("amodal", "invisible"))]
    assert len(shown) >= 6
    for name in shown:
        written = [float(line[name]) if line[name] else np.nan for line in lines]
        assert np.array_equal(board[name].astype(float), written, equal_nan=True), name
    few = db.leaderboard(runs[0], columns=("mask_l1",))
    assert few.columns.tolist()[-1] == "mask_l1"
    with pytest.raises(UsageError, match="did you mean 'mask_l1'"):
        db.leaderboard(runs, columns=("mask_l2",))


def test_complete_gives_the_files_of_predict(few: Path, tmp_path: Path) -> None:
    sample = db.load_dataset(few)[0]
    images.write_png(tmp_path / "photo.png", sample.image)
    images.write_png(tmp_path / "mask.png", sample.modal)
    method = "chain:convex-hull+mean-colour"
    arguments = ("--mask", tmp_path / "mask.png", "--method", method, "--out", tmp_path / "out")
    run("predict", tmp_path / "photo.png", *arguments)
    by_array = db.complete(sample.image, sample.modal, method)
    by_path = db.complete(tmp_path / "photo.png", str(tmp_path / "mask.png"), method)
    for person in (by_array, by_path):
        for name in ("amodal", "modal", "invisible"):
            assert np.array_equal(mask_files.read_mask(tmp_path / "out" / f"{name}.png"), getattr(person, name))
        assert person.recovered is not None
        assert np.array_equal(images.read_rgb(tmp_path / "out" / "recovered.png"), person.recovered)
        assert np.array_equal(images.read_rgba(tmp_path / "out" / "cutout.png"), person.cutout)
        assert person._repr_png_()[:8] == b"\x89PNG\r\n\x1a\n"
    assert db.complete(sample.image, sample.modal, Wider()).recovered is None
    whole = db.complete(sample.image, sample.modal, "mean-colour", amodal=sample.amodal)
    assert np.array_equal(whole.amodal, sample.amodal)
    with pytest.raises(InputError, match="the photo is 48 x 64"):
        db.complete(sample.image, sample.modal[1:], method)
    with pytest.raises(InputError, match="is float64"):
        db.complete(sample.image, sample.modal * 0.5, method)
    with pytest.raises(InputError, match="is empty"):
        db.complete(sample.image, sample.modal & False, method)
    with pytest.raises(UsageError, match="uint8 H x W x 3"):
        db.complete(sample.image[..., 0], sample.modal, method)


@pytest.mark.slow
def test_synthesise_makes_the_dataset_of_the_command(tmp_path: Path) -> None:
    options = "--variants 1 --size 64 --ratio 0.2-0.5 --splits train=0.5,test=0.5 --hide left-arm,legs --workers 1"
    sources = ("--humans", "mannequin:4", "--occluders", "shapes:12")
    run("synth", *sources, *options.split(), "--occluders-per-sample", 2, "--quiet", "--out", tmp_path / "command")
    info = db.synthesise(
        ["mannequin:4"],
        "shapes:12",
        tmp_path / "python",
        variants=1,
        size=64,
        ratio=(0.2, 0.5),
        splits={"train": 0.5, "test": 0.5},
        hide=("left-arm", "legs"),
        occluders_per_sample=2,
        workers=1,
        quiet=True,
    )
    command = DatasetReader(tmp_path / "command")
    assert info["fingerprint"] == command.fingerprint
    assert info["spec"] == command.info["spec"]
    with pytest.raises(UsageError, match="'native'"):
        db.synthesise("mannequin:4", "shapes", tmp_path / "other", size="large")
    with pytest.raises(UsageError, match="1 or more"):
        db.synthesise("mannequin:4", "shapes", tmp_path / "other", workers=0)


def test_show_paints_the_sample_and_what_was_predicted(few: Path, tmp_path: Path) -> None:
    sample = db.load_dataset(few)[0]
    truth = db.show(sample)
    height, width = sample.size
    assert truth.array.shape == (height, 3 * width + 16, 3)
    assert np.array_equal(truth.array[:, :width], sample.image)
    assert np.array_equal(truth.array[:, -width:], sample.complete)
    assert np.array_equal(db.show(sample, sample.amodal).array, truth.array)
    layer = truth.array[:, width + 8 : 2 * width + 8].astype(int)
    other = db.show(sample, sample.modal).array[:, width + 8 : 2 * width + 8].astype(int)
    assert ((layer != other).any(axis=2) == sample.invisible).mean() > 0.95
    truth.save(tmp_path / "sample.png")
    assert np.array_equal(images.read_rgb(tmp_path / "sample.png"), truth.array)
    assert sample._repr_png_() == truth._repr_png_()
    assert np.array_equal(db.show(sample.load()).array, truth.array)
    with pytest.raises(UsageError, match="predict at its size"):
        db.show(sample, sample.amodal[1:])


def test_a_notebook_shows_a_run_and_nothing_of_it_is_markup(few: Path) -> None:
    class Hostile(Wider):
        name = "<script>alert(1)</script>&\n"

    result = db.evaluate(Hostile(), few, "mask", resamples=20)
    html = result._repr_html_()
    value = result.value("amodal_iou_mean")
    assert f"<th>amodal_iou_mean</th><td>{value:.4f}</td>" in html
    assert "4/4" in html
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert repr(result).startswith("<run of '<script>")
    assert "\n" not in repr(result)


def test_a_notebook_shows_a_board_and_nothing_of_it_is_markup(few: Path, tmp_path: Path) -> None:
    class Hostile(Wider):
        name = "<img src=x onerror=alert(1)>"

    html = db.leaderboard(db.evaluate(Hostile(), few, "mask", tmp_path / "run", resamples=0))._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html


def test_commands_say_where_things_are_and_what_comes_next(few: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    done = run("evaluate", "convex-hull", "--data", few, "--task", "mask", "--out", out, "--json")
    json.loads(done.stdout)
    assert done.stderr == f"the run is in {out}; next: deocc-bench leaderboard '{out}' --data {few} --out DIR\n"
    scored = run("score", out, "--data", few)
    assert scored.stderr.startswith("nothing was written; next: deocc-bench score ")
    assert "next:" not in scored.stdout
    scored = run("score", out, "--data", few, "--out", tmp_path / "again")
    assert scored.stderr.startswith(f"the run is in {tmp_path / 'again'}; next: deocc-bench leaderboard ")
    board = run("leaderboard", out, "--out", tmp_path / "board", "--no-figures", "--json")
    json.loads(board.stdout)
    assert (
        board.stderr.strip()
        .splitlines()[-1]
        .endswith(f"next: open {tmp_path / 'board' / 'leaderboard.html'} in a browser")
    )
    checked = run("validate", few, "--json", "--workers", 1)
    assert checked.stdout == "[]\n"
    assert checked.stderr == (
        f"no findings in {few}; next: deocc-bench evaluate METHOD --data {few} --task mask --out RUN\n"
    )
    assert run("validate", few, "--quiet", "--workers", 1).stderr == ""


def test_errors_are_one_line_for_python_too(tmp_path: Path) -> None:
    with pytest.raises(DeoccError) as caught:
        db.load_dataset(tmp_path / "nowhere")
    assert str(caught.value).count("\n") == 0
    assert "no such dataset folder" in str(caught.value)
