"""The hourglass of stage 1: a four-level encoder-decoder with skips."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.blocks import DoubleConv


class Hourglass(nn.Module):
    """Widths ``w, 2w, 4w, 8w, 8w`` down and ``4w, 2w, w, w`` up; the output has ``w`` channels at full resolution.

    Max-pooling halves the size, bilinear upsampling (aligned corners) doubles it, skips are concatenated (skip first).
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        downs = (width, 2 * width, 4 * width, 8 * width, 8 * width)
        ups = (4 * width, 2 * width, width, width)
        self.down = nn.ModuleList(
            DoubleConv(before, after) for before, after in zip((inputs, *downs[:-1]), downs, strict=True)
        )
        self.up = nn.ModuleList(
            DoubleConv(skip + below, after)
            for skip, below, after in zip(downs[-2::-1], (downs[-1], *ups[:-1]), ups, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        """N x inputs x H x W -> N x width x H x W; H and W multiples of 16."""
        skips = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
            x = block(torch.cat([skips.pop(), x], dim=1))
        return x
