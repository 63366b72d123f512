"""The commands from end to end, with the benchmark's own definitions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from deocc_bench.leaderboard.leaderboard_commands import figures, leaderboard


def test_writes_all_and_prints_the_table(make_run: Any, tmp_path: Path) -> None:
    runs = [str(make_run("a")), str(make_run("b", 0.1))]
    done = CliRunner().invoke(leaderboard, [*runs, "--out", str(tmp_path / "out"), "--no-figures", "--json"])
    assert done.exception is None, done.output
    report = json.loads(done.stdout)
    names = {Path(f).name for f in report["files"]}
    assert names == {"leaderboard.csv", "breakdowns.csv", "leaderboard.md", "leaderboard.tex", "leaderboard.html"}


def test_a_single_run_and_wrong_paths(make_run: Any, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    done = CliRunner().invoke(leaderboard, [str(make_run("a")), "--out", out, "--no-figures"])
    assert "leaderboard.html" in done.stdout
    missing = CliRunner().invoke(leaderboard, [str(tmp_path / "nothing"), "--out", out])
    assert "no such run" in str(missing.exception)


def test_figures_with_nothing_to_draw(make_run: Any, tmp_path: Path) -> None:
    done = CliRunner().invoke(figures, [str(make_run("a")), "--out", str(tmp_path / "f"), "--columns", "mask_l1"])
    assert "no figures were drawn" in str(done.exception)
