"""Building blocks of both networks: double convolution, residual block, squeeze-and-excitation, patches."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv3x3(inputs: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution that keeps the size, with a bias even before batch normalisation, to match parameter counts."""
    return nn.Conv2d(inputs, outputs, 3, padding=1)


class DoubleConv(nn.Sequential):
    """(3x3 convolution, batch normalisation, ReLU) twice."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            conv3x3(inputs, outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
            conv3x3(outputs, outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )


class SqueezeExcitation(nn.Module):
    """Channel gates from the channel means (Hu et al., CVPR 2018); linear layers without bias."""

    def __init__(self, channels: int, reduction: int) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """N x C x H x W -> the same shape, each channel scaled by its gate in (0, 1)."""
        gate = torch.sigmoid(self.excite(torch.relu(self.squeeze(x.mean(dim=(2, 3))))))
        return x * gate[:, :, None, None]


class ResidualBlock(nn.Module):
    """Pre-activation residual block (He et al.): ReLU, 3x3, ReLU, 3x3, with a 3x3 convolution on the shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = conv3x3(inputs, outputs)
        self.second = conv3x3(outputs, outputs)
        self.shortcut = conv3x3(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """N x inputs x H x W -> N x outputs x H x W."""
        return self.shortcut(x) + self.second(torch.relu(self.first(torch.relu(x))))


def to_patches(x: Tensor, side: int) -> Tensor:
    """N x C x H x W -> N x C side^2 x H/side x W/side: the pixels of each patch as channels."""
    return F.pixel_unshuffle(x, side) if side > 1 else x


def from_patches(x: Tensor, side: int) -> Tensor:
    """The inverse of `to_patches`."""
    return F.pixel_shuffle(x, side) if side > 1 else x


def enlarged(x: Tensor, side: int) -> Tensor:
    """Upsample logits with one value per patch to full resolution, bilinearly."""
    return F.interpolate(x, scale_factor=side, mode="bilinear", align_corners=False) if side > 1 else x
