"""VGG-16 features for the perceptual, style and correlation terms, from a weights file provided by the user."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deocc_bench.core.errors import InputError

# Returns pool1..3 of an image N x 3 x H x W in [-1, 1].
Features: TypeAlias = Callable[[Tensor], list[Tensor]]

# Position in the usual `features` list -> (input channels, output channels), and the blocks that end with a pooling.
_LAYERS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
_BLOCKS = ((0, 2), (5, 7), (10, 12, 14))
# Means and standard deviations of ImageNet, used to train the network, for images in [0, 1].
_MEAN = (0.485, 0.456, 0.406)
_DEVIATION = (0.229, 0.224, 0.225)


class Vgg16(nn.Module):
    """The first seven convolutions of VGG-16 (Simonyan & Zisserman, ICLR 2015), frozen; returns pool1, pool2, pool3."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleDict({str(i): nn.Conv2d(a, b, 3, padding=1) for i, (a, b) in _LAYERS.items()})
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(1, 3, 1, 1))
        self.requires_grad_(False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """N x 3 x H x W in [-1, 1] -> three features, at one half, one quarter and one eighth of the size."""
        x = ((picture.float() + 1) / 2 - self.mean) / self.deviation
        found = []
        for block in _BLOCKS:
            for i in block:
                x = F.relu(self.convs[str(i)](x))
            x = F.max_pool2d(x, 2)
            found.append(x)
        return found


def load_vgg(path: str | Path) -> Vgg16:
    """Load VGG-16 from a safetensors file or a torch state dict (`features.0.weight`, ...) without pickled code.

    Raises:
        InputError: no such file, not a state dict, or tensors are missing or have wrong shapes.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file", "give VGG-16 weights, or leave loss.vgg empty")
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    # For a broken file, torch raises whatever its zip or pickle reader raises.
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, f"can't be read as weights ({first})", "give a safetensors file") from error
    net = Vgg16()
    if not isinstance(state, dict):
        raise InputError(path, "contains no state dict", "save the network's state_dict()")
    wanted = {}
    for i in _LAYERS:
        for kind in ("weight", "bias"):
            name = f"features.{i}.{kind}"
            value = state.get(name, state.get(f"{i}.{kind}"))
            expected = net.state_dict()[f"convs.{i}.{kind}"]
            if not isinstance(value, Tensor) or value.shape != expected.shape:
                raise InputError(path, f"has no {name} of shape {tuple(expected.shape)}", "give weights of VGG-16")
            wanted[f"convs.{i}.{kind}"] = value.float()
    net.load_state_dict(wanted, strict=False)
    return net.eval()


def gram(feature: Tensor) -> Tensor:
    """Channel Gram matrix, N x C x H x W -> N x C x C, divided by C H W."""
    flat = feature.flatten(2)
    return flat @ flat.transpose(1, 2) / (feature.shape[1] * flat.shape[2])


def correlation_matrix(feature: Tensor) -> Tensor:
    """Spatial Gram matrix, N x C x H x W -> N x HW x HW, divided by C H W."""
    flat = feature.flatten(2)
    return flat.transpose(1, 2) @ flat / (feature.shape[1] * flat.shape[2])
