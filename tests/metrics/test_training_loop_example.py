"""The example of a torch training loop runs, learns, and logs the numbers that scoring gives for the same masks."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from tiny_dataset import write_dataset

LOOP = Path(__file__).resolve().parent.parent.parent / "examples" / "torch_loop.py"


@pytest.mark.slow
def test_the_loop_learns_and_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(tmp_path / "small", {"train": 6, "test": 6}, odd_sizes=False)
    log = runpy.run_path(str(LOOP))["train"](str(folder), epochs=6)
    assert [set(line) for line in log] == [{"AmodalIoU", "InvisibleIoU", "BoundaryIoU"}] * 6
    assert log[-1]["AmodalIoU"] > log[0]["AmodalIoU"]
    assert log[-1]["AmodalIoU"] > 0.7
    assert "epoch 5: AmodalIoU" in capsys.readouterr().out
