"""A plain torch training loop that logs the benchmark's own numbers after each epoch.

    python examples/torch_loop.py DATASET

The numbers are those that `deocc-bench evaluate` would print of the same masks, to the last bit.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch
from torchmetrics import MetricCollection

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.metrics import AmodalIoU, BoundaryIoU, InvisibleIoU


def batches(folder: str, split: str, size: int = 4) -> Iterator[dict[str, torch.Tensor]]:
    """`image` float32 (N, 3, H, W) in [0, 1] and bool masks (N, H, W), in the order of the sample ids."""
    samples = [record.load() for record in DatasetReader(folder).records(split)]
    for start in range(0, len(samples), size):
        some = samples[start : start + size]
        image = torch.from_numpy(np.stack([s.image for s in some])).permute(0, 3, 1, 2).float() / 255
        masks = {name: np.stack([getattr(s, name) for s in some]) for name in ("initial", "amodal", "modal")}
        yield {"image": image, **{name: torch.from_numpy(mask) for name, mask in masks.items()}}


def train(folder: str, epochs: int = 3) -> list[dict[str, float]]:
    """Train a small network to complete masks; returns what was logged, an epoch each."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 5, padding=2), torch.nn.ReLU(), torch.nn.Conv2d(8, 1, 5, padding=2))
    optimiser = torch.optim.Adam(net.parameters(), lr=0.01)
    metrics = MetricCollection([AmodalIoU(), InvisibleIoU(), BoundaryIoU()])
    log = []
    for epoch in range(epochs):
        for batch in batches(folder, "train"):
            logits = net(torch.cat([batch["image"], batch["initial"][:, None].float()], dim=1))[:, 0]
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch["amodal"].float())
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        metrics.reset()
        with torch.no_grad():
            for batch in batches(folder, "test"):
                logits = net(torch.cat([batch["image"], batch["initial"][:, None].float()], dim=1))[:, 0]
                metrics.update(predicted=logits > 0, amodal=batch["amodal"], modal=batch["modal"])
        log.append({name: value.item() for name, value in metrics.compute().items()})
        print(f"epoch {epoch}: " + ", ".join(f"{name} {value:.4f}" for name, value in log[-1].items()))
    return log


if __name__ == "__main__":
    train(sys.argv[1])
