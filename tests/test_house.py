"""The house rules: who imports whom, what stays out of start-up, what the wheel holds."""

from __future__ import annotations

import ast
import graphlib
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping
from configparser import ConfigParser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("synth", "benchmark", "baselines", "models", "leaderboard")
# Rooms inside the package folder; the ROOMS stand at the top of the repository.
INNER = ("core", "metrics", "methods", "exchange", "training", "predict")
GROUND = {"core", "metrics", "methods"}
# The floors, from the ground: core; metrics and methods; the rooms; what joins them. A room imports what lies below it.
# Two arrows run along the third floor.
MAY_IMPORT = {
    "core": {"core"},
    "metrics": {"core", "metrics"},
    "methods": {"core", "methods"},
    "synth": {"core", "synth"},
    "exchange": {"core", "exchange", "synth"},
    "models": {*GROUND, "models"},
    "baselines": {*GROUND, "models", "baselines"},
    "benchmark": {*GROUND, "benchmark"},
    "leaderboard": {*GROUND, "leaderboard"},
    "training": {*GROUND, *ROOMS, "training"},
    "predict": {*GROUND, "baselines", "predict"},
}


def modules(room: str) -> list[Path]:
    return sorted((ROOT / (f"deocc_bench/{room}" if room in INNER else room)).rglob("*.py"))


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_whom_they_may(room: str) -> None:
    files = modules(room)
    assert files
    for path in files:
        for name in imports(path):
            if name.startswith("deocc_bench.") and name != "deocc_bench.__version__":
                assert name.split(".")[1] in MAY_IMPORT[room], f"{path.relative_to(ROOT)} imports {name}"
            assert name.split(".")[0] not in ROOMS, f"{path}: imports {name} without deocc_bench"


def test_no_file_imports_itself_through_others() -> None:
    names = {dotted(path): path for room in (*INNER, *ROOMS) for path in modules(room)}
    graph = {name: {owner(found, names) for found in imports(path)} - {None, name} for name, path in names.items()}
    order = list(graphlib.TopologicalSorter(graph).static_order())
    assert len(order) == len(names)


def dotted(path: Path) -> str:
    """The name a file is imported by."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "deocc_bench" else ("deocc_bench", *parts)).removesuffix(".__init__")


def owner(name: str, files: Mapping[str, Path]) -> str | None:
    """The file that an imported name stands in; None where it is not one of ours."""
    while name and name not in files:
        name = name.rpartition(".")[0]
    return name or None


@pytest.mark.parametrize("room", ["core", "methods", "synth", "exchange", "benchmark", "leaderboard", "predict"])
def test_torch_is_not_imported_at_module_level(room: str) -> None:
    for path in modules(room):
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not any(n.split(".")[0] == "torch" for n in names), path


def test_setup_cfg_lists_every_package() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    found = {"deocc_bench", *(f"deocc_bench.{room}" for room in INNER)}
    for init in (ROOT / "deocc_bench").rglob("__init__.py"):
        found.add(".".join(init.parent.relative_to(ROOT).parts))
    for room in ROOMS:
        for init in (ROOT / room).rglob("__init__.py"):
            found.add("deocc_bench." + ".".join(init.parent.relative_to(ROOT).parts))
    assert listed == found


@pytest.mark.slow
def test_wheel_holds_what_the_folders_hold(tmp_path: Path) -> None:
    # A copy: setuptools keeps what it once built in build/, and would pack files that are no longer there.
    source = tmp_path / "source"
    for name in ("deocc_bench", *ROOMS):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(tmp_path / "dist"), str(source)],
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as z:
        inside = {n for n in z.namelist() if n.endswith(".py")}
        z.extractall(tmp_path / "site")
    expected = {f"deocc_bench/{p.relative_to(ROOT / 'deocc_bench')}" for p in (ROOT / "deocc_bench").rglob("*.py")}
    for room in ROOMS:
        expected |= {f"deocc_bench/{p.relative_to(ROOT)}" for p in (ROOT / room).rglob("*.py")}
    assert inside == expected
    # Installed elsewhere, it runs without the checkout.
    code = "import deocc_bench.synth.spec as m; print(m.__file__)"
    out = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
    )
    assert str(tmp_path) in out.stdout


def test_help_answers_at_once() -> None:
    times = []
    for _ in range(5):
        start = time.perf_counter()
        out = subprocess.run([sys.executable, "-m", "deocc_bench.cli", "--help"], capture_output=True, text=True)
        times.append(time.perf_counter() - start)
        assert out.returncode == 0
    assert "synth" in out.stdout
    assert min(times) < 0.3, times


def test_nothing_heavy_is_imported_for_help() -> None:
    code = "import sys, deocc_bench.cli; print([m for m in ('torch','cv2','numpy','pandas') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


# Files from strangers are opened in one place for each kind. The others named here read what they have just written
# themselves, or options of the command line.
DOORS = {
    r"\bImage\.open\(": {"deocc_bench/core/pixels.py"},
    r"\bcv2\.im(read|decode)\(": {"deocc_bench/core/images.py", "synth/augment.py"},
    r"\bnp\.load\(": {"benchmark/extractors.py"},
    r"import mask as|from pycocotools|import pycocotools": {"deocc_bench/core/masks.py"},
    r"\bjson\.loads?\(": {
        *("deocc_bench/core/json_files.py", "deocc_bench/core/dataset_writer.py", "deocc_bench/core/options.py"),
        *("synth/run.py", "benchmark/evaluate.py", "benchmark/journal.py", "models/training/checkpoints.py"),
    },
    r"\bmsgspec\.json\.decode\(": {"deocc_bench/core/json_files.py", "deocc_bench/core/coco_file.py"},
    r"\b(loadmat|pickle\.loads?)\(": set(),
}


@pytest.mark.parametrize("call", DOORS)
def test_files_from_strangers_are_opened_in_one_place(call: str) -> None:
    folders = ("deocc_bench", "synth", "benchmark", "baselines", "models", "leaderboard")
    sources = {str(p.relative_to(ROOT)): p.read_text() for f in folders for p in (ROOT / f).rglob("*.py")}
    found = {name for name, text in sources.items() if re.search(call, text)}
    assert found == DOORS[call]
