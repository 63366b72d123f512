"""A plain U-Net from image and initial mask to the amodal mask: what the two-stage network has to beat."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn

from deocc_bench.core.errors import InputError, one_line
from deocc_bench.core.files import atomic_write
from deocc_bench.core.types import Batch, MaskOutput
from deocc_bench.models.hourglass import Hourglass
from deocc_bench.models.mask_net import MaskLogits
from deocc_bench.models.safetensors_file import misfits, read_safetensors
from deocc_bench.models.weights import stored
from deocc_bench.models.working_frame import WorkingFrame

FORMAT = "deocc-bench unet 1"
WIDTH, SIZE = 16, 128


class UNet(nn.Module):
    """Four levels down and up, one convolution to two logits; trained with cross-entropy alone."""

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        self.hourglass = Hourglass(4, width)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, image: Tensor, initial: Tensor) -> MaskLogits:
        """Image N x 3 x H x W in [-1, 1] and mask N x 1 x H x W; H and W multiples of 16."""
        return MaskLogits(self.head(self.hourglass(torch.cat([image, initial], dim=1))))


class UNetMethod:
    """Completes masks with trained weights, or with random ones, with a notice, where none are given.

    Args:
        weights: a file of `deocc-bench train mask --preset unet`, or the folder of that run.
        size: longer side at which the network works, pixels.

    The amodal mask is united with the initial one: the plain network does not refine what it is given.
    """

    name = "unet"
    needs: tuple[str, ...] = ("initial",)

    def __init__(self, weights: str | Path | None = None, size: int = SIZE) -> None:
        self.size = size
        if weights is None:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                self.net = UNet()
            print("unet: no trained weights, running with random ones; give weights=FILE", file=sys.stderr)
            self.weights_used = "none: random initialisation, seed 0"
        else:
            self.net = load_unet(weights)
            self.weights_used = Path(weights).name
        self.net.eval()

    @torch.inference_mode()
    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal masks at the images' size."""
        if batch.initial is None:
            raise InputError(self.name, "needs initial masks", "give a dataset that has them")
        frame = WorkingFrame.fit(batch.images.shape[1], batch.images.shape[2], self.size)
        logits = self.net(frame.images(batch.images), frame.coverage(batch.initial)).amodal
        amodal = frame.back((logits[:, 1] - logits[:, 0]).numpy()) > 0
        return MaskOutput(amodal | batch.initial)


def save_unet(net: UNet, path: str | Path) -> None:
    """Write the weights, in half precision, in one piece."""
    metadata = {"format": FORMAT, "width": str(net.width)}
    atomic_write(path, save(stored(path, net, half=True), metadata))


def load_unet(path: str | Path) -> UNet:
    """The network of a weights file or of a run's folder.

    Raises:
        InputError: missing, broken, or weights of another network.
    """
    path = Path(path)
    path = path / "weights.safetensors" if path.is_dir() else path
    metadata, tensors = read_safetensors(
        path,
        FORMAT,
        missing="train it with `deocc-bench train mask --preset unet`",
        broken="train it again",
        other="give weights of the U-Net",
    )
    width = metadata.get("width", "")
    if not width.isdecimal() or not 0 < len(width) <= 4 or int(width) == 0:
        raise InputError(path, f"its width is {one_line(width, 20)!r}", "train it again")
    # The shapes are compared before memory is allocated for them: the width comes from the file.
    with torch.device("meta"):
        wrong = misfits(tensors, UNet(int(width)).state_dict())
    if wrong:
        raise InputError(path, f"its tensors are not those of the U-Net ({wrong[0]})", "train it again")
    net = UNet(int(width))
    expected = net.state_dict()
    net.load_state_dict({k: v.to(expected[k].dtype) for k, v in tensors.items()})
    return net.eval()
