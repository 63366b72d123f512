"""The learning rate over a run, and the moving average of the weights."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn

from deocc_bench.models.training.config import OptimConfig


def progress(optim: OptimConfig, step: int, seconds: float) -> float:
    """The finished share of the run, in [0, 1]: by steps or by time, whichever is larger."""
    by_steps = step / optim.steps if optim.steps else 0.0
    by_time = seconds / (60 * optim.minutes) if optim.minutes else 0.0
    return min(1.0, max(by_steps, by_time))


def factor(optim: OptimConfig, step: int, done: float) -> float:
    """The factor of the learning rate: linear warm-up by steps times a cosine over the progress of the run."""
    warm = min(1.0, (step + 1) / (optim.warmup + 1))
    return warm * (optim.final + (1 - optim.final) * 0.5 * (1 + math.cos(math.pi * done)))


class MovingAverage:
    """Exponential moving average of a network's parameters and buffers, in `net`.

    The decay at step t is min(decay, (1 + t) / (20 + t)), so the average quickly forgets the random initialisation.
    """

    def __init__(self, source: nn.Module, decay: float) -> None:
        self.net = copy.deepcopy(source).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, source: nn.Module, step: int) -> None:
        """Update the average with the network after step `step` (1 for the first)."""
        share = 1 - min(self.decay, (1 + step) / (20 + step))
        averaged = self.net.state_dict()
        for name, value in source.state_dict().items():
            if value.is_floating_point():
                averaged[name].lerp_(value, share)
            else:
                averaged[name].copy_(value)
