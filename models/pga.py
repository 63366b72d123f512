"""Parsing guided attention (listing 1 of the supplementary material)."""

import torch
from torch import Tensor, nn

from deocc_bench.models.attention import Implementation, mutual_attention
from deocc_bench.models.blocks import SqueezeExcitation, conv3x3
from deocc_bench.models.config import PARTS, PgaStreams
from deocc_bench.models.parsing import one_hot_parts


class ParsingGuidedAttention(nn.Module):
    """Attention B distributes the feature over body parts, attention T relates positions; a convolution fuses them.

    `streams` selects both, ``body`` (B) or ``mutual`` (T). `fuse_kernel` is the kernel size of the fusing convolutions
    (1 in listing 1). q and k have an eighth of the channels.
    """

    def __init__(self, channels: int, fuse_kernel: int = 1, reduction: int = 8, streams: PgaStreams = "both") -> None:
        super().__init__()
        self.streams = streams
        self.implementation: Implementation = "auto"
        padding = fuse_kernel // 2
        fused = 0
        if streams in ("both", "body"):
            self.modal_parts = conv3x3(channels, PARTS)
            self.amodal_parts = conv3x3(channels, PARTS)
            self.fuse_parts = nn.Conv2d(channels + 2 * PARTS, channels, fuse_kernel, padding=padding)
            self.gate = SqueezeExcitation(channels, reduction)
            fused += channels
        if streams in ("both", "mutual"):
            depth = max(1, channels // 8)
            self.query = conv3x3(channels + PARTS, depth)
            self.key = conv3x3(channels + PARTS, depth)
            self.value = conv3x3(channels, channels)
            fused += 2 * channels
        self.fuse = nn.Conv2d(fused, channels, fuse_kernel, padding=padding)

    def forward(self, x: Tensor, modal_parsing: Tensor, amodal_parsing: Tensor) -> Tensor:
        """N x C x H x W -> the same; parsings as labels N x h x w or one-hot N x 19 x h x w, resized (nearest)."""
        size = (x.shape[2], x.shape[3])
        modal = one_hot_parts(modal_parsing, size, x.dtype)
        amodal = one_hot_parts(amodal_parsing, size, x.dtype)
        streams = []
        if self.streams in ("both", "body"):
            spread = torch.cat([x, self.modal_parts(x) * modal, self.amodal_parts(x) * amodal], dim=1)
            streams.append(self.gate(self.fuse_parts(spread)))
        if self.streams in ("both", "mutual"):
            q = self.query(torch.cat([x, modal], dim=1)).flatten(2)
            k = self.key(torch.cat([x, amodal], dim=1)).flatten(2)
            pair = mutual_attention(q, k, self.value(x).flatten(2), self.implementation)
            streams.extend(stream.reshape(x.shape) for stream in pair)
        return self.fuse(torch.cat(streams, dim=1))
