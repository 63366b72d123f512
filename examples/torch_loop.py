"""A plain torch training loop that logs the benchmark's own numbers after each epoch.

    python examples/torch_loop.py DATASET

`deocc-bench evaluate` prints the same digits for the same masks.
"""

from __future__ import annotations

import sys

import torch
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

import deocc_bench as db
from deocc_bench.metrics import AmodalIoU, BoundaryIoU, InvisibleIoU


def train(folder: str, epochs: int = 3) -> tuple[torch.nn.Module, list[dict[str, float]]]:
    """Train a small network to complete masks; returns it and the logged numbers of each epoch."""
    torch.manual_seed(0)
    data = {split: db.load_dataset(folder, split=split).as_torch() for split in ("train", "test")}
    net = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 5, padding=2))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    metrics = MetricCollection([AmodalIoU(), InvisibleIoU(), BoundaryIoU()])
    log = []
    for epoch in range(epochs):
        for batch in DataLoader(data["train"], batch_size=4, shuffle=True):
            logits = net(torch.cat([batch["image"], batch["initial"].float()], dim=1))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["amodal"].float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        metrics.reset()
        for batch in DataLoader(data["test"], batch_size=4):
            with torch.no_grad():
                logits = net(torch.cat([batch["image"], batch["initial"].float()], dim=1))
            metrics.update(predicted=logits > 0, amodal=batch["amodal"], modal=batch["modal"])
        log.append({name: value.item() for name, value in metrics.compute().items()})
        print(f"epoch {epoch}: " + ", ".join(f"{name} {value:.4f}" for name, value in log[-1].items()))
    return net, log


if __name__ == "__main__":
    train(sys.argv[1])
