"""Inference copies of the networks with batch normalisation folded into the convolutions."""

import copy
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from deocc_bench.models.blocks import DoubleConv
from deocc_bench.models.content_net import ContentNet
from deocc_bench.models.partial_conv import PartialConv

Net = TypeVar("Net", bound=nn.Module)


def fold(net: Net) -> Net:
    """Copy a network in evaluation mode, with batch normalisation (running statistics) folded into the convolutions.

    The copy computes the same function, and none of its tensors requires a gradient. `net` is not changed.
    """
    net = copy.deepcopy(net).eval().requires_grad_(False)
    for block in [part for part in net.modules() if isinstance(part, DoubleConv)]:
        layers: Any = block
        for place in (0, 3):
            _fold_conv(layers[place], layers[place + 1])
            layers[place + 1] = nn.Identity()
    if isinstance(net, ContentNet):
        pairs: Any = ((list(net.encoder)[1:], net.encoder_norm), (list(net.decoder)[:-1], net.decoder_norm))
        for convs, norms in pairs:
            for index, conv in enumerate(convs):
                _fold_partial(conv, norms[index])
                norms[index] = nn.Identity()
    return net


def _gain_and_shift(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    gain = norm.weight * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
    return gain, norm.bias - norm.get_buffer("running_mean") * gain


def _fold_conv(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    gain, shift = _gain_and_shift(norm)
    conv.weight.mul_(gain.view(-1, 1, 1, 1))
    conv.get_parameter("bias").mul_(gain).add_(shift)


def _fold_partial(conv: PartialConv, norm: nn.BatchNorm2d) -> None:
    """Fold into a partial convolution. The window scale is applied after the weight, so the shift is kept separate."""
    gain, shift = _gain_and_shift(norm)
    conv.weight.mul_(gain.view(-1, 1, 1, 1))
    conv.shift = shift
