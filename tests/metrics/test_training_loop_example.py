"""The example of a torch training loop runs, learns, and logs the numbers that `evaluate` prints for its network."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from tiny_dataset import write_dataset

import deocc_bench as db
from deocc_bench.core.types import Batch

LOOP = Path(__file__).resolve().parent.parent.parent / "examples" / "torch_loop.py"


class Trained:
    """The example's network as a method."""

    name = "trained"
    needs = ("initial",)

    def __init__(self, net: torch.nn.Module) -> None:
        self.net = net

    def complete(self, batch: Batch) -> object:
        image = torch.from_numpy(batch.images).permute(0, 3, 1, 2).float() / 255
        assert batch.initial is not None
        with torch.no_grad():
            logits = self.net(torch.cat([image, torch.from_numpy(batch.initial)[:, None].float()], dim=1))
        return (logits[:, 0] > 0).numpy()


@pytest.mark.slow
def test_the_loop_learns_and_logs_what_evaluate_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_dataset(tmp_path / "small", {"train": 6, "test": 6}, odd_sizes=False)
    net, log = runpy.run_path(str(LOOP))["train"](str(folder), epochs=6)
    assert [set(line) for line in log] == [{"AmodalIoU", "InvisibleIoU", "BoundaryIoU"}] * 6
    assert log[-1]["AmodalIoU"] > max(log[0]["AmodalIoU"], 0.7)
    assert "epoch 5: AmodalIoU" in capsys.readouterr().out
    run = db.evaluate(Trained(net), str(folder), "mask", resamples=0)
    assert log[-1]["AmodalIoU"] == run.value("amodal_iou_mean")
    assert log[-1]["InvisibleIoU"] == run.value("invisible_iou_mean")
    assert log[-1]["BoundaryIoU"] == run.value("amodal_boundary_iou_mean")
