"""ONNX export of the two stages, for programs without torch."""

import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deocc_bench.core.files import atomic_write
from deocc_bench.models.content_net import ContentNet
from deocc_bench.models.fold import fold
from deocc_bench.models.mask_net import MaskNet
from deocc_bench.models.pga import ParsingGuidedAttention

OPSET = 17

MASK_INPUTS = ("image", "initial")
"""float32 N x 3 x H x W in [-1, 1]; float32 N x 1 x H x W in {0, 1}."""

CONTENT_INPUTS = ("erased", "visible", "amodal", "modal_parsing", "amodal_parsing")
"""As `ContentNet.forward` takes them; the parsings int64 N x H x W."""


class _MaskGraph(nn.Module):
    def __init__(self, net: MaskNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor, initial: Tensor) -> tuple[Tensor, ...]:
        out = self.net(image, initial)
        every = (out.amodal, out.modal, out.parsing_modal, out.parsing_amodal)
        return tuple(value for value in every if value is not None)


class _ContentGraph(nn.Module):
    def __init__(self, net: ContentNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, erased: Tensor, visible: Tensor, amodal: Tensor, modal_parsing: Tensor, amodal_parsing: Tensor
    ) -> tuple[Tensor, Tensor]:
        out = self.net(erased, visible, amodal, modal_parsing, amodal_parsing)
        return out.image, out.composite


def export_onnx(net: MaskNet | ContentNet, path: str | Path, size: int | None = None, batch: int = 1) -> None:
    """Write a network as an ONNX file for one batch size and image size (side in pixels; default: the configuration's).

    Batch normalisation is folded. The outputs are named after the fields of `MaskLogits` or `ContentResult`; absent
    ones are omitted. Needs the package ``onnx``. Raises `DeoccError` if the file can't be written.
    """
    folded, side = fold(net), size or net.config.size
    for part in folded.modules():
        if isinstance(part, ParsingGuidedAttention):
            part.implementation = "chunked"
    image, mask = torch.zeros(batch, 3, side, side), torch.ones(batch, 1, side, side)
    graph: nn.Module
    example: tuple[Tensor, ...]
    names: tuple[str, ...]
    if isinstance(folded, MaskNet):
        graph, example, names = _MaskGraph(folded), (image, mask), MASK_INPUTS
        fields = {"amodal": True, "modal": folded.config.refinement}
        fields["parsing_modal"] = folded.config.refinement and folded.config.branches
        fields["parsing_amodal"] = folded.config.branches
        outputs = [name for name, there in fields.items() if there]
    else:
        labels = torch.zeros(batch, side, side, dtype=torch.int64)
        graph, example, names = _ContentGraph(folded), (image, mask, mask, labels, labels), CONTENT_INPUTS
        outputs = ["image", "composite"]
    model: Any = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        # The tracer warns that sizes become constants, which is intended.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph.eval(),
            example,
            model,
            input_names=list(names),
            output_names=outputs,
            opset_version=OPSET,
            dynamo=False,
        )
    atomic_write(path, model.getvalue())
