"""Equality with the literal reference: forward at paper width, gradients narrow, the deployed forms as well."""

import dataclasses
from types import ModuleType

import pytest
import torch

from deocc_bench.core.errors import InputError
from deocc_bench.models.config import ContentConfig, MaskConfig
from deocc_bench.models.content_net import ContentNet, content_input
from deocc_bench.models.cpu import CpuContentNet, CpuMaskNet
from deocc_bench.models.deploy import FoldedForm, fast_form
from deocc_bench.models.fold import fold
from deocc_bench.models.mask_net import MaskNet

TOLERANCE = 1e-4
NARROW_MASK = MaskConfig(width=8, branch_width=8, modal_width=4, amodal_width=4, template_width=4, template_count=6)


def one_hot(parsing: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(parsing, 20).permute(0, 3, 1, 2)[:, 1:].float()


def content_case(literal: ModuleType, height: int, width: int, count: int = 1) -> tuple[torch.Tensor, ...]:
    visible, amodal, modal = literal.human_masks(count, height, width)
    erased, _ = content_input(torch.rand(count, 3, height, width) * 2 - 1, modal, amodal)
    parsing = torch.randint(0, 20, (count, height, width)) * amodal[:, 0].long()
    return erased, visible, amodal, parsing * modal[:, 0].long(), parsing


def mask_case(literal: ModuleType, height: int, width: int, count: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(count, 3, height, width) * 2 - 1, literal.human_masks(count, height, width)[2]


def differentiable_state(net: torch.nn.Module) -> dict[str, torch.Tensor]:
    learned = {name for name, _ in net.named_parameters()}
    return {name: v.detach().clone().requires_grad_(name in learned) for name, v in net.state_dict().items()}


def assert_equal(expected: dict[str, torch.Tensor], found: object) -> None:
    for name, value in expected.items():
        other = getattr(found, name)
        # A bound on numbers of order one: an output that has collapsed to a constant would prove nothing.
        assert value.std() > 0.1, name
        assert (value - other).abs().max() < TOLERANCE, name


@pytest.mark.slow
@torch.no_grad()
def test_mask_network_at_paper_width(literal: ModuleType) -> None:
    net = literal.randomise(MaskNet()).eval()
    image, initial = mask_case(literal, 256, 256)
    expected = literal.LiteralMaskNet(net.state_dict())(image, initial)
    assert_equal(expected, net(image, initial))
    assert_equal(expected, CpuMaskNet(net)(image, initial))


@pytest.mark.slow
@pytest.mark.parametrize("fuse_kernel", [1, 3])
@torch.no_grad()
def test_content_network_at_paper_width(fuse_kernel: int, literal: ModuleType) -> None:
    net = literal.randomise(ContentNet(ContentConfig(fuse_kernel=fuse_kernel))).eval()
    erased, visible, amodal, modal_parsing, parsing = case = content_case(literal, 256, 256)
    reference = literal.LiteralContentNet(net.state_dict())
    expected = reference(erased, visible, amodal, one_hot(modal_parsing), one_hot(parsing))
    assert_equal(expected, net(*case))
    assert_equal(expected, CpuContentNet(net)(*case))


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
def test_mask_gradients(training: bool, literal: ModuleType) -> None:
    net = literal.randomise(MaskNet(NARROW_MASK)).train(training)
    image, initial = mask_case(literal, 128, 128, 2)
    state = differentiable_state(net)
    expected = literal.LiteralMaskNet(state, training)(image, initial)
    found = net(image, initial)
    weights = {name: torch.randn_like(value) / value[0].numel() for name, value in expected.items()}
    sum((weights[name] * value).sum() for name, value in expected.items()).backward()  # type: ignore[union-attr]
    sum((weights[name] * getattr(found, name)).sum() for name in expected).backward()  # type: ignore[union-attr]
    assert_equal(expected, found)
    _assert_same_gradients(net, state, TOLERANCE)


@pytest.mark.slow
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pga", ["both", "none"])
def test_content_gradients(training: bool, pga: str, literal: ModuleType) -> None:
    net = literal.randomise(ContentNet(ContentConfig(width=8, pga=pga))).train(training)  # type: ignore[arg-type]
    erased, visible, amodal, modal_parsing, parsing = case = content_case(literal, 128, 256, 2)
    state = differentiable_state(net)
    reference = literal.LiteralContentNet(state, training)
    expected = reference(erased, visible, amodal, one_hot(modal_parsing), one_hot(parsing))
    found = net(*case)
    assert_equal(expected, found)
    weight = torch.randn_like(erased) / erased[0].numel()
    (expected["image"] * weight + expected["composite"] * weight).sum().backward()
    (found.image * weight + found.composite * weight).sum().backward()
    # Batch statistics of the few values at the deepest levels magnify rounding: in training the literal form differs
    # from itself in float64 by up to 0.3 % of the largest gradient.
    _assert_same_gradients(net, state, 1e-2 if training else TOLERANCE)


def _assert_same_gradients(net: torch.nn.Module, state: dict[str, torch.Tensor], tolerance: float) -> None:
    """To `tolerance` of the largest gradient: they are far below one, and an absolute bound would let all pass."""
    expected = {name: state[name].grad for name, _ in net.named_parameters()}
    scale = max(float(value.abs().max()) for value in expected.values() if value is not None)
    assert scale > 1e-3
    for name, parameter in net.named_parameters():
        wanted = expected[name]
        assert wanted is not None, name
        assert parameter.grad is not None, name
        off = float((parameter.grad - wanted).abs().max())
        assert off < tolerance * scale, name
        if not net.training:
            # None is so small that its own error could hide. (Before batch statistics a bias has next to none.)
            assert off <= 1e-2 * float(wanted.abs().max()) + 1e-7 * scale, name


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize(
    "change",
    [
        {},
        {"branches": False},
        {"templates": False},
        {"refinement": False},
        {"align_templates": True, "template_temperature": 5.0},
    ],
)
def test_deployed_mask_forms_are_the_network(change: dict[str, object], literal: ModuleType) -> None:
    net = literal.randomise(MaskNet(dataclasses.replace(NARROW_MASK, **change))).eval()  # type: ignore[arg-type]
    form = fast_form(net)
    assert isinstance(form, CpuMaskNet)
    folded = fold(net)
    # Two shapes one after the other, and a batch: kept buffers must not leak from call to call.
    for height, width, count in ((128, 256, 2), (256, 128, 1), (128, 256, 2)):
        image, initial = mask_case(literal, height, width, count)
        expected = {k: v for k, v in vars(net(image, initial)).items() if v is not None}
        assert_equal(expected, form(image, initial))
        assert_equal(expected, folded(image, initial))


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize("streams", ["both", "body", "mutual", "none"])
@pytest.mark.parametrize("mean", [False, True])
def test_deployed_content_forms_are_the_network(streams: str, mean: bool, literal: ModuleType) -> None:
    config = ContentConfig(width=8, pga=streams, window_mean=mean)  # type: ignore[arg-type]
    net = literal.randomise(ContentNet(config)).eval()
    form = fast_form(net)
    assert isinstance(form, CpuContentNet)
    folded = fold(net)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in folded.modules())
    assert any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())
    for height, width, count in ((128, 256, 2), (256, 256, 1)):
        case = content_case(literal, height, width, count)
        expected = vars(net(*case))
        for value in (form(*case), folded(*case)):
            for name, wanted in expected.items():
                assert (wanted - getattr(value, name)).abs().max() < TOLERANCE, name


@torch.no_grad()
def test_nothing_hidden_leaves_the_image_alone(literal: ModuleType) -> None:
    net = literal.randomise(ContentNet(ContentConfig(width=8))).eval()
    image, full = torch.rand(1, 3, 128, 128), torch.ones(1, 1, 128, 128)
    labels = torch.zeros(1, 128, 128, dtype=torch.long)
    for form in (net, CpuContentNet(net)):
        out = form(image, full, full, labels, labels)
        assert torch.equal(out.composite, image)
        assert torch.isfinite(out.image).all()


@torch.no_grad()
def test_half_precision_form_is_close(literal: ModuleType) -> None:
    net = literal.randomise(MaskNet(NARROW_MASK)).eval()
    image, initial = mask_case(literal, 128, 128)
    form = fast_form(net, "cpu", "bfloat16")
    assert isinstance(form, FoldedForm)
    expected, found = net(image, initial).modal, form(image, initial).modal.float()
    assert 0 < (expected - found).abs().max() < 0.15 * expected.abs().max()


def test_wrong_device_or_precision_is_one_line() -> None:
    with pytest.raises(InputError, match="precision 'int3'"):
        fast_form(MaskNet(NARROW_MASK), "cpu", "int3")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="MaskNet or a ContentNet"):
        fast_form(torch.nn.Identity())
