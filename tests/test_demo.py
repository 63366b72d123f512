"""`deocc-bench demo` from end to end at its smallest, and without a network connection."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from deocc_bench.core.results import read_result
from deocc_bench.demo import METHODS, demo, steps
from deocc_bench.models import weights
from deocc_bench.models.config import preset
from deocc_bench.models.weights import build, save_weights


def refuse(*_: Any, **__: Any) -> None:
    raise AssertionError("the demo asked for the network")


@pytest.mark.slow
@pytest.mark.parametrize("shipped", [False, True])
def test_the_whole_road(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: bool) -> None:
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.delenv("DEOCC_OFFLINE", raising=False)
    monkeypatch.setenv("DEOCC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(weights, "SHIPPED", tmp_path / "weights")
    if shipped:
        for kind in ("mask", "content"):
            save_weights(tmp_path / f"weights/tiny-{kind}.safetensors", build(getattr(preset("tiny"), kind)), "tiny")
    out = tmp_path / "demo"
    done = CliRunner().invoke(demo, ["--out", str(out), "--humans", "10"])
    assert done.exception is None, done.output
    assert done.stdout.count("\n$ deocc-bench ") == len(steps(out))
    for task in METHODS:
        assert f"task {task}\n" in done.stdout, "the table is printed"
    for path in ("board/leaderboard.html", "board/leaderboard.tex", "data/preview.png"):
        assert (out / path).stat().st_size > 1000
        assert str(out / path) in done.stdout or path.endswith(".tex")
    records = [read_result(path) for path in sorted(out.glob("runs/*/result.json"))]
    assert len(records) == sum(map(len, METHODS.values()))
    assert not any(r.problems for r in records)
    assert ("random weights" in done.stdout) != shipped
    assert not (tmp_path / "cache").exists()


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("")
    done = CliRunner().invoke(demo, ["--out", str(tmp_path)])
    assert "not empty" in str(done.exception)
