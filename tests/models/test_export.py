"""ONNX files of both stages on onnxruntime against torch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from deocc_bench.models.config import ContentConfig, MaskConfig, preset
from deocc_bench.models.content_net import ContentNet, content_input
from deocc_bench.models.export import CONTENT_INPUTS, MASK_INPUTS, export_onnx
from deocc_bench.models.mask_net import MaskNet

SIDE = 128


def run(path: Path, names: tuple[str, ...], values: tuple[torch.Tensor, ...]) -> dict[str, np.ndarray]:
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs = session.run(None, {name: value.numpy() for name, value in zip(names, values, strict=True)})
    return dict(zip([out.name for out in session.get_outputs()], outputs, strict=True))


# `tiny` is what ships; the narrow ones have the form of `paper`: whole-frame templates, window sums, no prior.
NARROW_MASK = MaskConfig(width=8, branch_width=8, modal_width=4, amodal_width=4, template_width=4, template_count=6)


@pytest.mark.slow
@pytest.mark.parametrize("config", [preset("tiny").mask, NARROW_MASK], ids=["tiny", "narrow"])
def test_mask_network_on_onnxruntime(config: MaskConfig, tmp_path: Path, literal: object) -> None:
    pytest.importorskip("onnx")
    net = literal.randomise(MaskNet(config)).eval()  # type: ignore[attr-defined]
    export_onnx(net, tmp_path / "mask.onnx", SIDE)
    inputs = torch.rand(1, 3, SIDE, SIDE) * 2 - 1, literal.human_masks(1, SIDE, SIDE)[2]  # type: ignore[attr-defined]
    with torch.no_grad():
        expected = vars(net(*inputs))
    found = run(tmp_path / "mask.onnx", MASK_INPUTS, inputs)
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert value.std() > 0.1
        assert np.abs(value.numpy() - found[name]).max() < 1e-4, name


@pytest.mark.slow
@pytest.mark.parametrize("config", [preset("tiny").content, ContentConfig(width=8)], ids=["tiny", "narrow"])
def test_content_network_on_onnxruntime(config: ContentConfig, tmp_path: Path, literal: object) -> None:
    pytest.importorskip("onnx")
    net = literal.randomise(ContentNet(config)).eval()  # type: ignore[attr-defined]
    export_onnx(net, tmp_path / "content.onnx", SIDE)
    _, amodal, modal = literal.human_masks(1, SIDE, SIDE)  # type: ignore[attr-defined]
    erased, visible = content_input(torch.rand(1, 3, SIDE, SIDE) * 2 - 1, modal, amodal)
    parsing = torch.randint(0, 20, (1, SIDE, SIDE)) * amodal[:, 0].long()
    inputs = erased, visible, amodal, parsing * modal[:, 0].long(), parsing
    with torch.no_grad():
        expected = vars(net(*inputs))
    found = run(tmp_path / "content.onnx", CONTENT_INPUTS, inputs)
    assert set(found) == {"image", "composite"}
    for name, value in expected.items():
        assert value.std() > 0.1
        assert np.abs(value.numpy() - found[name]).max() < 1e-4, name
