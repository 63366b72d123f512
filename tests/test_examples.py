"""The examples work as their READMEs say: a method in a package of its own, and a prediction folder from a script."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from deocc_bench.core import mask_files, masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.synth.synth_commands import synth

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("examples") / "data"
    arguments = "--humans mannequin:4 --occluders shapes:20 --variants 1 --size 96 --splits test=1 --workers 1 --quiet"
    done = CliRunner().invoke(synth, [*arguments.split(), "--out", str(out)])
    assert done.exit_code == 0, done.exception
    return out


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package, installed from a copy: a build leaves files in its source."""
    folder = tmp_path_factory.mktemp("installed")
    shutil.copytree(EXAMPLES / "own_method", folder / "source", ignore=shutil.ignore_patterns("__pycache__", "build"))
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--target", str(folder / "site"), str(folder / "source")], check=True, capture_output=True)
    return folder / "site"


def bench(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    env = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join([*([str(path)] if path else []), str(ROOT)]),
    }
    command = [sys.executable, "-m", "deocc_bench.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=env)


@pytest.mark.slow
def test_the_package_is_listed_with_what_it_can(installed: Path) -> None:
    done = bench("methods", "--json", path=installed)
    assert done.returncode == 0, done.stderr
    row = next(r for r in json.loads(done.stdout) if r["name"] == "ellipse")
    assert row["tasks"] == ["mask", "content", "joint"]
    assert row["needs"] == ["initial"]
    assert row["source"] == "deocc_ellipse:Ellipse"
    assert row["problem"] is None


@pytest.mark.slow
def test_the_package_is_evaluated_by_its_name(installed: Path, data: Path, tmp_path: Path) -> None:
    common = ["--data", str(data), "--task", "joint", "--no-fid", "--resamples", "20", "-O", "grow=2.5"]
    done = bench("evaluate", "ellipse", *common, "--out", str(tmp_path / "run"), path=installed)
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "run" / "result.json").read_text())
    assert record["method"]["name"] == "ellipse"
    assert record["method"]["version"] == "1.0"
    assert record["method"]["options"] == {"grow": 2.5}
    assert 0.2 < record["metrics"]["amodal_iou_mean"]["value"] < 1
    assert record["metrics"]["l1_human"]["n_defined"] == 4


@pytest.mark.slow
def test_the_method_needs_no_install_while_it_is_written(data: Path, tmp_path: Path) -> None:
    file = EXAMPLES / "own_method" / "deocc_ellipse" / "__init__.py"
    common = ["--data", str(data), "--task", "mask", "--resamples", "0", "--out", str(tmp_path / "run")]
    done = bench("evaluate", f"{file}:Ellipse", *common)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_the_script_writes_a_folder_that_is_scored(data: Path, tmp_path: Path) -> None:
    script = EXAMPLES / "prediction_folder" / "predict.sh"
    answers = tmp_path / "answers"
    env = {"PATH": os.environ["PATH"], "PYTHON": sys.executable}
    done = subprocess.run(
        ["bash", str(script), str(data), "test", str(answers)], capture_output=True, text=True, env=env, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "4 masks" in done.stdout
    assert bench("lint", str(answers), "--data", str(data), "--task", "mask").stdout.strip() == "no findings"
    common = ["--data", str(data), "--task", "mask", "--resamples", "0", "--out", str(tmp_path / "run")]
    scored = bench("evaluate", f"predictions:{answers}", *common)
    assert scored.returncode == 0, scored.stderr
    value = json.loads((tmp_path / "run" / "result.json").read_text())["metrics"]["amodal_iou_mean"]["value"]
    # By hand: the box of the initial mask against the true mask.
    ious = []
    for record in DatasetReader(data).records("test"):
        assert record.initial is not None
        box = masks.tight_box(masks.decode(record.initial))
        assert box is not None
        answer = np.zeros(record.size, bool)
        answer[box[1] : box[3], box[0] : box[2]] = True
        assert np.array_equal(mask_files.read_mask(answers / "masks" / f"{record.id}.png"), answer)
        ious.append(masks.mask_iou(answer, masks.decode(record.amodal)))
    assert value == pytest.approx(np.mean(ious), abs=1e-12)


def test_the_script_tells_its_usage() -> None:
    done = subprocess.run(["bash", str(EXAMPLES / "prediction_folder" / "predict.sh")], capture_output=True, text=True)
    assert done.returncode == 2
    assert "DATASET SPLIT OUT" in done.stderr


def test_the_script_does_not_lean_on_deocc_bench() -> None:
    code = (EXAMPLES / "prediction_folder" / "predict.sh").read_text()
    assert "import deocc_bench" not in code
    assert "from deocc_bench" not in code
