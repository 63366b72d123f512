"""Importers and exporters that an installed package brings: the example of docs/extending.md."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.images import write_png
from deocc_bench.exchange import options
from deocc_bench.exchange.import_export import export, import_

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "extending.md").read_text()


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages with the page's own importer and exporter."""
    section = PAGE.split("## A format of your own")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, flags=re.S)
    (points,) = re.findall(r"```toml\n(.*?)```", section, flags=re.S)
    site = tmp_path / "site"
    about = site / "my_formats-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "my_formats.py").write_text(code)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my-formats\nVersion: 1.0\n")
    written = points.replace('project.entry-points."', "").replace('"]', "]").replace('"', "")
    (about / "entry_points.txt").write_text(written)
    return site


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    amodal = np.zeros((40, 30), bool)
    amodal[5:35, 5:25] = True
    modal = amodal.copy()
    modal[20:] = False
    for name in ("a", "b"):
        cv2.imwrite(str(folder / f"{name}.jpg"), np.full((40, 30, 3), 90, np.uint8))
        write_png(folder / f"{name}.amodal.mask.png", amodal)
        write_png(folder / f"{name}.modal.mask.png", modal)
    return folder


def run(site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deocc_bench.cli", *map(str, arguments)]
    paths = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})


def test_a_package_brings_an_importer_and_an_exporter(site: Path, photos: Path, tmp_path: Path) -> None:
    bring = ["import", f"beside:{photos}", "--quiet", "--out", tmp_path / "data"]
    done = run(site, *bring, "--licence", "CC0", "-O", "suffix=.mask.png")
    assert done.returncode == 0, done.stderr
    reader = DatasetReader(tmp_path / "data")
    assert reader.ids("test") == ["a", "b"]
    assert {r.photo.licence for r in reader.records("test")} == {"CC0"}
    assert reader.info["imported"]["options"] == {"suffix": ".mask.png"}
    done = run(site, "export", reader.root, "--format", "ratios", "-O", "digits=1", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out" / "test.json").read_text()) == {"a": 0.5, "b": 0.5}


def test_help_lists_the_kinds_of_packages(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for command, name in (("import", "beside"), ("export", "ratios")):
        assert re.search(rf"\b{name}\b", run(site, command, "--help").stdout), command


def test_options_are_those_of_the_kind(site: Path, photos: Path, tmp_path: Path) -> None:
    bring = ("import", f"beside:{photos}", "--out", tmp_path / "data")
    for extra, says in (
        (("--images", photos), "unknown option of beside 'images'; (known: split, licence, suffix)"),
        (("-O", "sufix=.png"), "unknown option of beside 'sufix'; did you mean 'suffix'?"),
        (("-O", "split=val"), "write --split val"),
    ):
        failed = run(site, *bring, *extra)
        assert failed.returncode == 2
        assert says in failed.stderr
        assert failed.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("command", "arguments", "says"),
    [
        (import_, ["folder:.", "--out", "x", "--regions", "all"], "unknown option of folder 'regions'"),
        (import_, ["ahp:.", "--out", "x", "--images", "."], "unknown option of ahp 'images'"),
        (import_, ["kins:a.json", "--out", "x", "--annotators", "all"], "unknown option of kins 'annotators'"),
    ],
)
def test_a_built_in_importer_refuses_what_it_does_not_take(command: Any, arguments: list[str], says: str) -> None:
    failed = CliRunner().invoke(command, arguments)
    assert isinstance(failed.exception, UsageError)
    assert says in str(failed.exception)


def test_a_built_in_exporter_refuses_what_it_does_not_take(site: Path, photos: Path, tmp_path: Path) -> None:
    run(site, "import", f"beside:{photos}", "--out", tmp_path / "data", "-O", "suffix=.mask.png", "--quiet")
    arguments = [str(tmp_path / "data"), "--format", "coco", "--shard-size", "3", "--out", str(tmp_path / "x.json")]
    failed = CliRunner().invoke(export, arguments)
    assert isinstance(failed.exception, UsageError)
    assert "unknown option of coco 'shard_size'" in str(failed.exception)


def test_values_of_options() -> None:
    assert options.parse(["a=3", "b=true", "c=text", "d=x=y"], ()) == {"a": 3, "b": True, "c": "text", "d": "x=y"}
    for pairs, says in ((["a"], "must be NAME=VALUE"), (["a=1", "a=2"], "given twice"), (["k=1"], "write --k 1")):
        with pytest.raises(UsageError, match=says):
            options.parse(pairs, ("k",))


def test_an_option_without_a_default_is_needed() -> None:
    def read(path: Path, *, level: int) -> None: ...

    with pytest.raises(UsageError, match=r"mine needs the option level; give it with -O level=VALUE"):
        options.check("mine", read, {})
    options.check("mine", read, {"level": 3})
