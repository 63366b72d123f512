"""Partial convolution with one-channel mask windows.

A partial convolution (Liu et al., ECCV 2018) reads ``x * mask`` and divides by the sum of the mask under its window.
The mask is the same for all channels of one source, so the sum needs one channel per source (two after a skip
concatenation). It depends only on the mask, so a network computes it once for all its layers.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Window:
    """The values that a partial convolution needs from its masks."""

    scale: Tensor
    """float32 N x 1 x h x w at the output's size: one over the window's sum (or mean), zero if the window is empty."""
    valid: Tensor
    """float32 N x 1 x h x w in {0, 1}: 1 if the window contains at least one valid pixel; the mask of the output."""


def window_sums(masks: Tensor, channels: tuple[int, ...], kernel: int, stride: int, mean: bool = False) -> Window:
    """Compute the window of a partial convolution with padding ``kernel // 2``.

    `masks` is float N x S x H x W in {0, 1}, one channel per source; ``channels[s]`` is the number of feature channels
    of source `s`. Without `mean` the scale is one over the sum over window *and channels*, i.e. the convolution
    of the mask with an all-ones kernel. With `mean` that sum is divided by its value for an all-ones mask.
    """
    # A pooling layer instead of a convolution, because autocast keeps it in float32.
    weighted = sum(count * masks[:, index : index + 1].float() for index, count in enumerate(channels))
    sums = F.avg_pool2d(torch.as_tensor(weighted), kernel, stride, kernel // 2) * (kernel * kernel)
    valid = (sums > 0.5).float()
    whole = float(sum(channels) * kernel * kernel) if mean else 1.0
    return Window(whole * valid / sums.clamp(min=1.0), valid)


class PartialConv(nn.Conv2d):
    """Convolution of masked features, scaled by its `Window`: ``valid * (W x * scale + bias)``.

    He initialisation, zero biases. The caller multiplies the features by their masks (it knows which are all ones).
    `shift` holds a folded batch normalisation and is added at every position, including holes.
    """

    shift: Tensor | None

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, bias=bias)
        nn.init.kaiming_normal_(self.weight, a=0.0, mode="fan_in")
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.register_buffer("shift", None, persistent=False)

    def forward(self, x: Tensor, window: Window) -> Tensor:  # type: ignore[override]
        """N x inputs x H x W, already masked -> N x outputs x h x w."""
        out = F.conv2d(x, self.weight, None, self.stride, self.padding) * window.scale.to(x.dtype)
        if self.bias is not None:
            out = out + self.bias.view(1, -1, 1, 1) * window.valid.to(x.dtype)
        if self.shift is not None:
            out = out + self.shift.view(1, -1, 1, 1).to(x.dtype)
        return out
