"""The Winograd convolution of middle resolutions, and which convolution runs when."""

import pytest
import torch
import torch.nn.functional as F

from deocc_bench.models.cpu import FastConv
from deocc_bench.models.winograd import WinogradConv, fits


@pytest.mark.parametrize("shape", [(1, 24, 32, 32), (3, 7, 8, 20), (2, 5, 4, 4)])
@pytest.mark.parametrize("with_bias", [True, False])
def test_equals_the_plain_convolution(shape: tuple[int, ...], with_bias: bool) -> None:
    x, weight = torch.randn(shape), torch.randn(11, shape[1], 3, 3) / (3 * shape[1] ** 0.5)
    bias = torch.randn(11) if with_bias else None
    found = WinogradConv(weight, bias)(x)
    expected = F.conv2d(x.double(), weight.double(), None if bias is None else bias.double(), padding=1)
    assert found.shape == expected.shape
    assert found.is_contiguous()
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_reads_views_and_channels_last_alike() -> None:
    x, weight = torch.randn(2, 16, 12, 16), torch.randn(8, 10, 3, 3)
    conv, part = WinogradConv(weight, None), x[:, 3:13]
    expected = conv(part.contiguous())
    assert torch.equal(conv(part), expected)
    assert torch.equal(conv(part.contiguous(memory_format=torch.channels_last)), expected)


def test_error_of_a_wide_sum_is_that_of_float32() -> None:
    x = torch.randn(1, 512, 32, 32).relu()
    weight = torch.randn(16, 512, 3, 3) * (2 / (9 * 512)) ** 0.5
    expected = F.conv2d(x.double(), weight.double(), padding=1)
    error = (WinogradConv(weight, None)(x) - expected).abs().max()
    plain = (F.conv2d(x, weight, padding=1) - expected).abs().max()
    assert error < 2e-5
    assert error < 12 * plain


def test_tiles_must_cover_the_input() -> None:
    assert fits(torch.empty(1, 1, 8, 12))
    assert not fits(torch.empty(1, 1, 8, 10))
    assert not fits(torch.empty(1, 1, 6, 8))


@pytest.mark.parametrize(
    ("inputs", "outputs", "side", "winograd"),
    [(256, 128, 32, True), (128, 192, 64, True), (256, 128, 16, False), (64, 64, 32, False), (256, 128, 34, False)],
)
def test_runs_where_it_is_the_fastest(inputs: int, outputs: int, side: int, winograd: bool) -> None:
    weight = torch.randn(outputs, inputs, 3, 3) / (3 * inputs**0.5)
    bias, x = torch.randn(outputs), torch.randn(1, inputs, side, side)
    conv = FastConv(weight, bias, act="leaky")
    found = conv(x)
    assert (conv.winograd is not None) == winograd
    torch.testing.assert_close(found, F.leaky_relu(F.conv2d(x, weight, bias, padding=1), 0.2), rtol=0, atol=1e-4)


def test_strided_and_large_kernels_are_left_to_others() -> None:
    for kernel, stride in ((5, 1), (3, 2)):
        weight, x = torch.randn(256, 128, kernel, kernel) / 60, torch.randn(1, 128, 32, 32)
        conv = FastConv(weight, None, stride)
        expected = F.conv2d(x, weight, stride=stride, padding=kernel // 2)
        torch.testing.assert_close(conv(x), expected, rtol=0, atol=1e-4)
        assert conv.winograd is None
