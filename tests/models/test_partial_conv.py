"""Partial convolution: one-channel windows against sums over all channels, and hand-computed values."""

import pytest
import torch
import torch.nn.functional as F

from deocc_bench.models.content_net import KERNELS, ContentConfig, ContentNet
from deocc_bench.models.partial_conv import PartialConv, window_sums


def test_hand_computed() -> None:
    mask = torch.tensor([[[[1.0, 0.0, 0.0, 0.0, 0.0]]]])
    window = window_sums(mask, (2,), 3, 1)
    # One row of five, 3x3 windows: the valid pixel is under the first two windows, with two channels each.
    assert window.valid.flatten().tolist() == [1, 1, 0, 0, 0]
    assert window.scale.flatten().tolist() == pytest.approx([0.5, 0.5, 0, 0, 0])
    mean = window_sums(mask, (2,), 3, 1, mean=True)
    assert mean.scale.flatten().tolist() == pytest.approx([9.0, 9.0, 0, 0, 0])
    conv = PartialConv(2, 1, 3, bias=True)
    with torch.no_grad():
        conv.weight.fill_(1.0)
        assert conv.bias is not None
        conv.bias.fill_(10.0)
        out = conv(torch.tensor([[[[4.0, 9, 9, 9, 9]], [[2.0, 9, 9, 9, 9]]]]) * mask, window)
    assert out.flatten().tolist() == pytest.approx([13.0, 13.0, 0, 0, 0])


@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (5, 2), (3, 1)])
def test_windows_are_the_full_mask_convolution(kernel: int, stride: int) -> None:
    masks = (torch.rand(2, 2, 16, 16) > 0.7).float()
    masks[:, :, :8, :8] = 0
    channels = (5, 3)
    spread = torch.cat([masks[:, :1].expand(-1, 5, -1, -1), masks[:, 1:].expand(-1, 3, -1, -1)], dim=1)
    sums = F.conv2d(spread, torch.ones(4, 8, kernel, kernel), stride=stride, padding=kernel // 2)
    window = window_sums(masks, channels, kernel, stride)
    assert torch.equal(window.valid.expand_as(sums), (sums > 0).float())
    expected = torch.where(sums > 0, 1 / sums.clamp(min=1), torch.zeros(()))
    assert torch.allclose(window.scale.expand_as(sums), expected)


def test_pyramid_closes_the_hole_and_is_enough() -> None:
    net = ContentNet(ContentConfig(width=8)).eval()
    visible = torch.ones(1, 1, 128, 128)
    visible[:, :, 32:96, 32:96] = 0
    pyramid = net.pyramid(visible)
    assert len(pyramid.encoder) == len(pyramid.decoder) == len(KERNELS)
    share = [float(mask.mean()) for mask in pyramid.masks]
    assert share == sorted(share)
    assert share[-1] == 1
    labels = torch.zeros(1, 128, 128, dtype=torch.long)
    image, amodal = torch.rand(1, 3, 128, 128), 1 - visible
    with torch.no_grad():
        assert torch.equal(
            net(image, visible, amodal, labels, labels).image,
            net(image, visible, amodal, labels, labels, pyramid).image,
        )


def test_everything_hidden_is_finite() -> None:
    net = ContentNet(ContentConfig(width=8)).eval()
    nothing, all_of_it = torch.zeros(1, 1, 128, 128), torch.ones(1, 1, 128, 128)
    labels = torch.ones(1, 128, 128, dtype=torch.long)
    with torch.no_grad():
        out = net(torch.zeros(1, 3, 128, 128), nothing, all_of_it, labels, labels)
    assert torch.isfinite(out.composite).all()
