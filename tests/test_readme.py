"""The README's code runs as it stands there, in order, in one folder."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from deocc_bench.cli import cli
from deocc_bench.core.results import read_result

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_code_blocks_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEOCC_OFFLINE", "1")
    commands = 0
    for language, block in re.findall(r"^```(python|bash)\n(.*?)^```", README, flags=re.M | re.S):
        if language == "python" and "class Mine" in block:
            (tmp_path / "mine.py").write_text(block)
            continue
        if language == "python":
            exec(compile(block, "README.md", "exec"), {})
            continue
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "deocc-bench", line
            done = CliRunner().invoke(cli, words[1:])
            assert done.exit_code == 0, f"{line}\n{done.output}\n{done.exception!r}"
            commands += 1
    assert commands >= 9
    mine, hull = (read_result(tmp_path / "runs" / name) for name in ("mine", "hull"))
    assert mine.method["name"] == "mine"
    assert mine.dataset["fingerprint"] == hull.dataset["fingerprint"]
    assert (tmp_path / "board" / "leaderboard.html").stat().st_size > 1000
