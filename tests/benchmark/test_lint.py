"""The command `lint`: what it says about whole folders, and that it is silent about the predictions of baselines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from deocc_bench.benchmark.benchmark_commands import evaluate
from deocc_bench.benchmark.benchmark_commands import lint as lint_command
from deocc_bench.benchmark.lint import Finding, lint, lint_ids, summary
from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.predictions import PredictionFolder
from deocc_bench.core.types import Prediction
from deocc_bench.synth.synth_commands import synth


@pytest.fixture
def records(tiny: Path) -> list[SampleRecord]:
    return list(DatasetReader(tiny).records("test"))


def predictions(root: Path, records: list[SampleRecord], of: Callable[[np.ndarray], np.ndarray]) -> Path:
    """A folder with a mask of each sample: `of` of its true amodal mask."""
    (root / "masks").mkdir(parents=True)
    for r in records:
        Image.fromarray(of(masks.decode(r.amodal))).save(root / "masks" / f"{r.id}.png")
    return root


def call(folder: Path, data: Path, *arguments: str) -> Any:
    return CliRunner().invoke(lint_command, [str(folder), "--data", str(data), "--task", "mask", *arguments])


def told(run: Any) -> list[str]:
    """The lines without those about samples of the tiny dataset that have the same mask."""
    return [line for line in run.stdout.splitlines() if not line.startswith("duplicate") and "warnings" not in line]


def test_ids() -> None:
    kinds = [(f.kind, f.sample) for f in lint_ids(["a", "b"], ["b", "b", "c"])]
    assert kinds == [("missing", "a"), ("extra", "c"), ("twice", "b")]


def test_findings_of_a_kind_are_one_line() -> None:
    size = [Finding("size", f"masks/s{k}.png", f"is {k} x 9", True) for k in range(5)]
    soft = [Finding("soft", f"masks/s{k}.png", "is soft", False) for k in range(2)]
    other = [Finding("soft", "modal/s\x1b.png", "is soft", False), Finding("unknown", "notes", "is not", False)]
    assert summary([*size, *soft, *other]) == [
        "size: 5 in masks (s0.png, s1.png, s2.png, ...): the first is 0 x 9",
        "soft: 2 in masks (s0.png, s1.png): is soft",
        "soft: modal/s\\x1b.png: is soft",
        "unknown: notes: is not",
    ]


def test_the_command_counts(tiny: Path, tmp_path: Path, records: list[SampleRecord]) -> None:
    folder = predictions(tmp_path / "a", records, lambda m: m[::2, ::2])
    short = call(folder, tiny)
    n = len(records)
    assert short.exit_code == 1
    assert told(short) == [
        f"size: {n} in masks ({records[0].id}.png, {records[1].id}.png, {records[2].id}.png, ...): "
        "the first is half-size: 32 x 24, but the image is 64 x 48; predict at its size"
    ]
    assert short.stdout.splitlines()[-1].startswith(f"{n} errors, ")
    assert len(told(call(folder, tiny, "--all"))) == n
    assert sum(f["kind"] == "size" for f in json.loads(call(folder, tiny, "--json").stdout)) == n


def shades(mask: np.ndarray) -> np.ndarray:
    """A matte: the edge is softer than the rest."""
    return np.where(mask, 255, np.where(np.roll(mask, 1, 0), 90, 0)).astype(np.uint8)


@pytest.mark.parametrize(
    ("of", "says"),
    [
        (lambda m: ~m, "inverted: masks: the masks look inverted: the IoU of their complements with the true amodal"),
        (lambda m: np.roll(m, (2, -3), (0, 1)), "shifted: masks: the masks look shifted: moved 2 px up and 3 px right"),
        (lambda m: m.repeat(2, 0).repeat(2, 1), "is double-size: 128 x 96, but the image is 64 x 48"),
        (lambda m: m.T.copy(), "is turned: 48 x 64, but the image is 64 x 48"),
        (shades, "is soft, read at half of white"),
    ],
)
def test_what_holds_for_all_masks(
    tiny: Path, tmp_path: Path, records: list[SampleRecord], of: Callable[[np.ndarray], np.ndarray], says: str
) -> None:
    run = call(predictions(tmp_path / "a", records, of), tiny)
    assert run.exit_code == 1
    (line,) = told(run)
    assert says in line


def test_inverted_visible_masks_are_found(tiny: Path, tmp_path: Path, records: list[SampleRecord]) -> None:
    folder = PredictionFolder(tmp_path)
    for r in records:
        folder.write(Prediction(r.id, ~masks.decode(r.modal), ~masks.decode(r.modal)))
    found = lint(tmp_path, records, "mask")
    assert [(f.kind, f.sample, f.error) for f in found] == [("inverted", k, False) for k in ("masks", "modal")]


@pytest.mark.parametrize("of", [lambda m: m, lambda m: m.astype(np.uint8), lambda m: m * np.uint8(255)])
def test_binary_masks_have_no_findings(
    tmp_path: Path, records: list[SampleRecord], of: Callable[[np.ndarray], np.ndarray]
) -> None:
    assert [f for f in lint(predictions(tmp_path / "a", records, of), records, "mask") if f.kind != "duplicate"] == []


def test_predictions_of_another_split(tiny: Path, tmp_path: Path, records: list[SampleRecord]) -> None:
    train = list(DatasetReader(tiny).records("train"))
    folder = predictions(tmp_path / "a", train, lambda m: m)
    missing, other = told(call(folder, tiny))
    assert missing.startswith(f"missing: {len(records)} in masks (")
    assert other.startswith(f"split: {len(train)} in masks (")
    assert other.endswith("is a sample of split train, not test; check --split")
    assert [line for line in told(call(folder, tiny, "--split", "train")) if line != "no findings"] == []


BASELINES = ("modal", "initial", "convex-hull", "dilate", "symmetry", "mean-shape", "nearest-template", "oracle")


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("people") / "data"
    arguments = ["--humans", "mannequin:40", "--occluders", "shapes", "--variants", "1", "--size", "96"]
    arguments += ["--splits", "train=0.5,test=0.5", "--seed", "5", "--workers", "1", "--quiet", "--out", str(root)]
    assert CliRunner().invoke(synth, arguments, catch_exceptions=False).exit_code == 0
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_baselines_raise_no_alarm(people: Path, tmp_path: Path, name: str) -> None:
    arguments = [name, "--task", "mask", "--data", str(people), "--no-fid", "--resamples", "0"]
    arguments += ["--fit-data", str(people)] if name in ("mean-shape", "nearest-template") else []
    done = CliRunner().invoke(evaluate, [*arguments, "--out", str(tmp_path / "run")], catch_exceptions=False)
    assert done.exit_code == 0
    assert call(tmp_path / "run", people).stdout == "no findings\n"
