"""The documents agree with the code: metric ids, conventions, record fields, code blocks, links."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import fields
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

import deocc_bench
from deocc_bench import __version__
from deocc_bench.benchmark.inference import Settings, load_batch
from deocc_bench.cli import COMMANDS
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.images import read_rgb
from deocc_bench.core.results import RunResult
from deocc_bench.core.types import Batch, PlacedOccluder, Sample
from deocc_bench.exchange.exporters import EXPORTERS
from deocc_bench.exchange.importers import IMPORTERS
from deocc_bench.methods.calling import predict
from deocc_bench.methods.contract import NEEDS
from deocc_bench.methods.loading import load_method
from deocc_bench.methods.names import METHODS
from deocc_bench.metrics import breakdown, conventions, spec
from deocc_bench.synth.humans import HUMANS, open_humans
from deocc_bench.synth.occluders import SOURCES
from deocc_bench.synth.validate import validate

ROOT = Path(__file__).resolve().parent.parent
METRICS = (ROOT / "docs" / "metrics.md").read_text()
PYTHON = (ROOT / "docs" / "python.md").read_text()
TUTORIAL = ROOT / "examples" / "tutorial.ipynb"
EXTENDING = (ROOT / "docs" / "extending.md").read_text()
PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("*.md")), *sorted((ROOT / "examples").rglob("*.md"))]


def in_code(page: str) -> set[str]:
    """What stands between single backticks."""
    return set(re.findall(r"`([^`\n]+)`", page))


def family(metric_id: str) -> str:
    return metric_id.partition("[")[0]


def test_every_metric_is_on_the_page() -> None:
    named = {family(name) for name in in_code(METRICS)}
    wanted = {family(name) for name in (*spec.METRICS, *spec.FAMILIES)}
    assert not wanted - named


def test_every_torch_class_is_on_the_page_with_its_arrays() -> None:
    page = METRICS.split("## In a training loop")[1]
    lines = [line for line in page.splitlines() if line.startswith("| `")]
    rows = {name: in_code(line.split("|")[2]) for line in lines for name in in_code(line)}
    for metric in spec.METRICS.values():
        name = metric.torch_class.replace("PSNR", "L1").replace("SSIM", "L1")
        if name and name != "GarmentDeltaE":
            assert ", ".join(metric.inputs) in rows[name], name
    assert {"GarmentDeltaE", 'PartRecall("arms")'} <= set(rows)


def test_every_convention_is_on_the_page_with_its_ids() -> None:
    named = in_code(METRICS)
    for convention in conventions.CONVENTIONS.values():
        assert convention.name in named
        for metric in convention.specs:
            if not metric.id.startswith("iou_visible_"):
                assert metric.id in named, metric.id
    assert "iou_visible_0.0_0.1[ahp]" in named


def test_no_metric_on_the_page_is_made_up() -> None:
    known = {family(m) for m in (*spec.METRICS, *spec.FAMILIES)}
    known |= {family(m.id) for c in conventions.CONVENTIONS.values() for m in c.specs}
    tables = [line.split("|")[1] for line in METRICS.splitlines() if line.startswith("| `")]
    named = {family(name) for cell in tables for name in in_code(cell)}
    shaped = {
        n for n in named if re.match(r"(amodal|invisible|modal|parsing|part|l1|psnr|ssim|lpips|fid|kid|fd|kd)_", n)
    }
    assert shaped
    assert not shaped - known


def test_directions_on_the_page_are_those_of_the_code() -> None:
    section = METRICS.split("## Content")[1].split("##")[0]
    rows = [line.split("|") for line in section.splitlines() if line.startswith("| `")]
    assert len(rows) >= 8
    for row in rows:
        for name in in_code(row[1]):
            metric = spec.get_spec(name.replace("NET", "net@12345678"))
            assert row[3].strip() == ("higher" if metric.higher_is_better else "lower"), name


def test_every_breakdown_and_record_field_is_on_the_page() -> None:
    named = in_code(METRICS)
    assert set(breakdown.KINDS) <= named
    assert {f.name for f in fields(RunResult)} - {"path", "problems"} <= named


def test_every_input_need_and_entry_point_group_is_told() -> None:
    named = in_code(EXTENDING)
    assert {f.name for f in fields(Batch)} <= named
    assert {f'"{need}"' for need in NEEDS} <= named
    for registry in (METHODS, HUMANS, SOURCES, IMPORTERS, EXPORTERS, spec.PACKAGES):
        assert registry.entry_point_group is None or registry.entry_point_group in EXTENDING


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.S)


def drawn(name: str) -> Sample:
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (64, 48, 3), dtype=np.uint8)
    amodal = np.zeros((64, 48), bool)
    amodal[8:60, 14:30] = True
    modal = amodal.copy()
    modal[30:40] = False
    complete = photo.copy()
    complete[30:40] = 7
    parsing = amodal.astype(np.uint8) * 5
    board = np.zeros((64, 48), bool)
    board[30:40] = True
    front = PlacedOccluder(f"board-{name}", "board", 1, board, "own", group_id=f"board-{name}")
    return Sample(name, "test", name, name, 0, photo, complete, amodal, modal, modal, parsing, (front,))


def test_the_code_of_extending_runs(tmp_path: Path) -> None:
    # The others, an importer and a metric, are installed as packages by tests of their rooms.
    method, export, write, *_ = blocks(EXTENDING, "python")
    assert len([line for line in method.splitlines() if line.strip()]) <= 10
    (tmp_path / "mine.py").write_text(method)
    space: dict[str, object] = {}
    exec(write, space)  # the page's own code
    space["write"](tmp_path / "data", [drawn("one"), drawn("two")])  # type: ignore[operator]
    dataset = DatasetReader(tmp_path / "data")
    assert dataset.splits == ("test",)
    assert validate(tmp_path / "data", 1) == []
    mine = load_method(f"{tmp_path}/mine.py:Mine")
    batch = load_batch(list(dataset.records("test")), mine, Settings("joint"))
    first = predict(mine, batch, "joint")[0]
    assert first.image is not None
    assert first.amodal is not None
    assert np.all(first.image[first.amodal & ~batch.initial[0]] == 128)  # type: ignore[index]
    exec(export, space)
    sample = drawn("one")
    space["export"]([("anna", sample.image, sample.parsing)], tmp_path / "people")  # type: ignore[operator]
    human = open_humans(f"folder:{tmp_path / 'people'}").load("folder-anna")
    assert np.array_equal(human.image, read_rgb(tmp_path / "people" / "images" / "anna.png"))
    assert np.array_equal(human.mask, sample.amodal)


@pytest.mark.slow
def test_the_code_of_python_runs_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks(PYTHON, "python")
    assert len(code) >= 9
    space: dict[str, object] = {}
    for number, block in enumerate(code):
        exec(compile(block, f"python.md, block {number}", "exec"), space)  # the page's own code
    assert (tmp_path / "sample.png").stat().st_size > 1000


def test_python_lists_every_public_name() -> None:
    named = {name.partition("(")[0] for name in in_code(PYTHON.split("## ")[0])}
    assert set(deocc_bench.__all__) <= named


@pytest.mark.slow
def test_the_tutorial_runs_and_shows_what_it_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    stored = nbformat.read(TUTORIAL, as_version=4)
    nbformat.validate(stored)
    fresh = nbformat.read(TUTORIAL, as_version=4)
    NotebookClient(fresh, timeout=600, record_timing=False, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = 0
    for old, new in zip(stored.cells, fresh.cells, strict=True):
        assert [o.output_type for o in old.get("outputs", ())] == [o.output_type for o in new.get("outputs", ())]
        for before, after in zip(old.get("outputs", ()), new.get("outputs", ()), strict=True):
            assert before.data.keys() == after.data.keys()
            assert before.data["text/plain"] == after.data["text/plain"]
            assert before.data.get("text/html") == after.data.get("text/html")
            if "image/png" in before.data:
                first, second = (picture(output.data["image/png"]) for output in (before, after))
                assert first.shape == second.shape
                assert np.abs(first - second).mean() < 1
                pictures += 1
    assert pictures == 3


def test_the_tutorial_is_small_and_names_no_machine() -> None:
    text = TUTORIAL.read_text()
    assert len(text) < 300_000
    notebook = nbformat.reads(text, as_version=4)
    assert notebook.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(cell.metadata == {} for cell in notebook.cells)
    assert not any("/tmp" in json.dumps(cell) for cell in notebook.cells)


def picture(data: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"), dtype=float)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages_name_only_what_is_there(page: Path) -> None:
    text = page.read_text()
    assert not re.search(r"(?<![\w.])/(home|work|tmp|root|mnt|Users)/", text), "a path of some machine"
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if "://" not in target:
            assert (page.parent / target).exists(), target
    for path in re.findall(
        r"`((?:docs|synth|benchmark|baselines|models|leaderboard|examples|tests|deocc_bench)/[\w./-]+)`", text
    ):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"^(?:\$ )?deocc-bench ([a-z]+)", "\n".join(blocks(text, "bash")), flags=re.M):
        assert name in COMMANDS, name


def test_the_version_is_the_same_everywhere() -> None:
    assert f"version: {__version__}" in (ROOT / "CITATION.cff").read_text()
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text()
