"""The parsing branch of stage 1 and the one-hot form of a parsing that stage 2 reads."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from deocc_bench.models.blocks import ResidualBlock, SqueezeExcitation, conv3x3
from deocc_bench.models.config import PARTS


class ParsingBranch(nn.Module):
    """A residual block and two convolutions output the parsing logits; the block's feature also feeds the mask head.

    The feature is detached and passes through squeeze-and-excitation (reduction 4), so the mask loss does not train the
    parsing feature.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.residual = ResidualBlock(inputs, width)
        self.gate = SqueezeExcitation(width, reduction=4)
        self.logits = conv3x3(width, PARTS + 1)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """N x inputs x H x W -> (parsing logits N x 20 x H x W, auxiliary feature N x width x H x W)."""
        parts = torch.relu(self.residual(feature))
        return self.logits(parts), self.gate(parts.detach())


def one_hot_parts(parsing: Tensor, size: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Resize a parsing to the size of a feature (nearest) and return its foreground one-hot.

    `parsing` is either N x H x W labels (0..19, background 0) or N x 19 x H x W one-hot. Labels are resized before
    one-hot encoding, so no tensor with 19 channels exists at full resolution.
    """
    if parsing.dim() == 4:
        return F.interpolate(parsing.to(dtype), size=size, mode="nearest")
    labels = F.interpolate(parsing[:, None].to(dtype), size=size, mode="nearest")
    ids = torch.arange(1, PARTS + 1, device=parsing.device, dtype=dtype)
    return (labels == ids.view(1, -1, 1, 1)).to(dtype)
