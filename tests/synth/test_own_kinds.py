"""Kinds of humans and occluders that an installed package brings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.synth.humans import HUMANS, open_humans
from deocc_bench.synth.occluders import open_occluders

CODE = '''
from pathlib import Path

import numpy as np

from deocc_bench.core.types import Human, Occluder
from deocc_bench.synth.humans import HumanInfo


class Sticks:
    """A bar of a head and a body; one a line of a text file."""

    kind = "sticks"

    def __init__(self, path: Path) -> None:
        self.names = path.read_text().split()

    def ids(self):
        return sorted(f"sticks-{n}" for n in self.names)

    def group_of(self, human_id):
        return human_id

    def peek(self, human_id):
        return HumanInfo(human_id, human_id, (200, 150), (60, 30, 90, 180), 30 * 150)

    def load(self, human_id):
        parsing = np.zeros((200, 150), np.uint8)
        parsing[30:60, 60:90] = 13
        parsing[60:180, 60:90] = 5
        photo = np.random.default_rng(len(human_id)).integers(0, 256, (200, 150, 3), dtype=np.uint8)
        return Human(human_id, human_id, photo, parsing > 0, parsing, "own", "sticks")

    def describe(self):
        return {"kind": "sticks", "count": len(self.names)}


class Boards:
    kind = "boards"

    def __init__(self, count):
        self.count = count

    def ids(self):
        return [f"boards-{i:03d}" for i in range(self.count)]

    def group_of(self, occluder_id):
        return occluder_id

    def category_of(self, occluder_id):
        return "board"

    def load(self, occluder_id):
        image = np.full((60, 40, 3), 20 + int(occluder_id[-3:]), np.uint8)
        return Occluder(occluder_id, occluder_id, image, np.ones((60, 40), np.float32), "board", "own", "boards")

    def rejected(self):
        return []

    def describe(self):
        return {"kind": "boards", "count": self.count}


def open_boards(argument, **_):
    return Boards(int(argument))
'''
POINTS = """\
[deocc_bench.humans]
sticks = sticks_and_boards:Sticks
broken = sticks_and_boards:NotThere
[deocc_bench.occluders]
boards = sticks_and_boards:open_boards
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of installed packages with one that brings a kind of each."""
    site = tmp_path / "site"
    about = site / "sticks_and_boards-1.0.dist-info"
    about.mkdir(parents=True)
    (site / "sticks_and_boards.py").write_text(CODE)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: sticks-and-boards\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(POINTS)
    return site


@pytest.mark.slow
def test_a_package_brings_humans_and_occluders_to_the_command_line(site: Path, tmp_path: Path) -> None:
    people, out = tmp_path / "people.txt", tmp_path / "data"
    people.write_text(" ".join(f"p{i:02d}" for i in range(30)))
    command = [sys.executable, "-m", "deocc_bench.cli", "synth", "--humans", f"sticks:{people}", "--occluders"]
    # Two workers: their processes have to find the package too.
    command += ["boards:20", "--size", "64", "--variants", "1", "--workers", "2", "--quiet", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(site)})
    assert done.returncode == 0, done.stderr
    reader = DatasetReader(out)
    records = [r for split in reader.splits for r in reader.records(split)]
    assert len(records) >= 25
    assert {r.human_id.partition("-")[0] for r in records} == {"sticks"}
    assert {o["category"] for r in records for o in r.occluders} == {"board"}


def test_help_lists_all_kinds(site: Path) -> None:
    command = [sys.executable, "-m", "deocc_bench.cli", "synth", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(site)})
    listed = set(re.split(r"[,.]?\s+", done.stdout))
    assert {*HUMANS.names(), "sticks"} - {"mannequin"} <= listed
    assert {"mannequin[:N]", "shapes[:N]", "rgba:DIR", "boards"} <= listed


def test_a_broken_package_is_named_and_is_in_nobody_elses_way(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(site)
    with pytest.raises(DeoccError, match=r"kind of humans 'broken' .*fix or uninstall"):
        open_humans("broken:x")
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(InputError, match="elsewhere"):
        open_humans(f"folder:{tmp_path / 'elsewhere'}")
    assert open_occluders("boards:3").ids() == ["boards-000", "boards-001", "boards-002"]
