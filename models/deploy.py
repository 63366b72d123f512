"""The deployed form of a network: its fastest form for a device and a precision, with the network's call signature."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from torch import nn

from deocc_bench.core.errors import InputError
from deocc_bench.models.content_net import ContentNet
from deocc_bench.models.cpu import CpuContentNet, CpuMaskNet
from deocc_bench.models.fold import fold
from deocc_bench.models.mask_net import MaskNet

Precision = Literal["float32", "tf32", "bfloat16", "float16"]


class FoldedForm:
    """A folded copy for any device: channels-last, autocast, and if compiled one CUDA graph per input shape."""

    def __init__(self, net: MaskNet | ContentNet, device: torch.device, precision: Precision, compile: bool) -> None:
        self.device, self.precision = device, precision
        folded: Any = fold(net).to(device)
        folded = folded.to(memory_format=torch.channels_last)
        if compile:
            # "reduce-overhead" captures CUDA graphs, which a CPU does not have.
            folded = torch.compile(folded, mode="reduce-overhead" if device.type == "cuda" else "default")
        self.net = folded

    @torch.inference_mode()
    def __call__(self, *inputs: torch.Tensor) -> Any:
        """Run the forward pass. Inputs are moved to the device; results stay there, in float32 or a lower precision."""
        laid_out = [
            value.to(self.device, memory_format=torch.channels_last) if value.dim() == 4 else value.to(self.device)
            for value in inputs
        ]
        with _numerics(self.device, self.precision):
            return self.net(*laid_out)


@contextlib.contextmanager
def _numerics(device: torch.device, precision: Precision) -> Iterator[None]:
    """Use autocast for the half precisions, and TF32 only if requested. Restores the global settings afterwards."""
    with contextlib.ExitStack() as stack:
        if precision in ("bfloat16", "float16"):
            stack.enter_context(torch.autocast(device.type, getattr(torch, precision)))
        if device.type == "cuda":
            stack.enter_context(torch.backends.cudnn.flags(enabled=True, allow_tf32=precision == "tf32"))
            before = torch.backends.cuda.matmul.allow_tf32
            stack.callback(setattr, torch.backends.cuda.matmul, "allow_tf32", before)
            torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        yield


def fast_form(
    net: nn.Module, device: torch.device | str = "cpu", precision: Precision = "float32", compile: bool = False
) -> Callable[..., Any]:
    """Return the deployed form of a `MaskNet` or `ContentNet`; `net` itself is not changed.

    ``float32`` on a CPU returns the hand-optimised `CpuMaskNet` or `CpuContentNet`. All other cases return the folded
    network in channels-last, under autocast for ``bfloat16`` and ``float16``, through `torch.compile` on request.

    Raises:
        InputError: unknown precision.
    """
    device = torch.device(device)
    if precision not in get_args(Precision):
        raise InputError(f"precision '{precision}'", "is unknown", f"choose one of {', '.join(get_args(Precision))}")
    if not isinstance(net, MaskNet | ContentNet):
        raise TypeError(f"expected a MaskNet or a ContentNet, got {type(net).__name__}")
    if device.type == "cpu" and precision in ("float32", "tf32") and not compile:
        return CpuMaskNet(net) if isinstance(net, MaskNet) else CpuContentNet(net)
    return FoldedForm(net, device, precision, compile)
