"""The two adversaries: spectrally normalised patch critics, used in training only."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm


def _critic(layers: tuple[tuple[int, int, int, int], ...]) -> nn.ModuleList:
    return nn.ModuleList(
        spectral_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding=(kernel - 1) // 2, bias=False))
        for inputs, outputs, kernel, stride in layers
    )


class MaskAdversary(nn.Module):
    """``D_m``: judges a mask together with its image; five convolutions that output patch logits."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _critic(((4, 64, 5, 2), (64, 128, 5, 2), (128, 256, 5, 2), (256, 256, 3, 1), (256, 256, 3, 1)))

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        """Image N x 3 x H x W in [-1, 1], mask probability N x 1 x H x W -> patch logits N x 256 x H/8 x W/8."""
        return _run(self.layers, torch.cat([image, mask], dim=1))


class ContentAdversary(nn.Module):
    """``D_c``: judges the human in a composite, given the invisible region; four convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = _critic(((4, 64, 4, 2), (64, 128, 4, 2), (128, 256, 4, 1), (256, 256, 4, 1)))

    def forward(self, human: Tensor, invisible: Tensor) -> Tensor:
        """``composite * M_a`` N x 3 x H x W, invisible mask N x 1 x H x W -> patch logits N x 256, about H/4 x W/4."""
        return _run(self.layers, torch.cat([human, invisible], dim=1))


def _run(layers: nn.ModuleList, x: Tensor) -> Tensor:
    for layer in layers:
        x = F.leaky_relu(layer(x), 0.2)
    return x
