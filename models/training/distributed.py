"""Several processes under `torchrun`, one per GPU or core: rank, number of processes, and averages over all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from deocc_bench.core.errors import UsageError


@dataclass(frozen=True)
class World:
    """The rank of this process, the number of processes, and the device of this process."""

    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this process writes files and prints progress."""
        return self.rank == 0

    def mean(self, values: dict[str, float]) -> dict[str, float]:
        """Average the values over all processes; every process must call this with the same names."""
        if self.size == 1 or not values:
            return values
        tensor = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        dist.all_reduce(tensor)
        return dict(zip(values, (tensor / self.size).tolist(), strict=True))

    def agree(self, value: float) -> float:
        """Return the first process's value in all processes, because clocks differ but schedules must not."""
        if self.size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return float(tensor.item())

    def average_gradients(self, net: nn.Module) -> None:
        """Replace the gradients by their mean over all processes, in one exchange; a missing gradient counts as 0.

        This does not use `DistributedDataParallel`, which would need to know the parameters that stay unused if the
        data has no parsing.
        """
        parameters = [p for p in net.parameters() if p.requires_grad]
        if self.size > 1 and parameters:
            flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
            dist.all_reduce(flat)
            for p, part in zip(parameters, (flat / self.size).split([p.numel() for p in parameters]), strict=True):
                p.grad = part.view_as(p).clone(memory_format=torch.preserve_format)

    def average_buffers(self, net: nn.Module) -> None:
        """Average the running statistics, which every process collects from its own samples."""
        buffers = [b for b in net.buffers() if b.is_floating_point()]
        if self.size > 1 and buffers:
            flat = torch.cat([b.flatten() for b in buffers])
            dist.all_reduce(flat)
            for b, part in zip(buffers, (flat / self.size).split([b.numel() for b in buffers]), strict=True):
                b.copy_(part.view_as(b))

    def wait(self) -> None:
        """Wait until all processes have reached this call."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def world(device: str = "auto", batch: int = 1) -> Iterator[World]:
    """Join the process group that `torchrun` started, or return a world of one process.

    Uses gloo on CPUs and NCCL on GPUs, with one GPU per local rank. The group is destroyed at the end.

    Args:
        device: "auto", "cpu" or "cuda".
        batch: samples per step over all processes.

    Raises:
        UsageError: no such device, or a batch that can't be divided evenly among the processes.
    """
    size, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    if batch % size:
        raise UsageError(f"optim.batch {batch} can't be divided evenly among {size} processes; choose a multiple")
    gpus = torch.cuda.is_available()
    if device == "cuda" and not gpus:
        raise UsageError("run.device is cuda, but torch sees no GPU; set run.device=cpu or install a CUDA torch")
    on_gpu = device == "cuda" or (device == "auto" and gpus)
    here = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if size == 1:
        yield World(0, 1, here)
        return
    if on_gpu:
        torch.cuda.set_device(here)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield World(rank, size, here)
    finally:
        dist.destroy_process_group()
