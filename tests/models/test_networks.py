"""Both networks against their description: parameter counts, every shape, the switches, what is detached."""

import dataclasses
from types import ModuleType

import pytest
import torch
from torch import nn

from deocc_bench.core.errors import UsageError
from deocc_bench.models.adversaries import ContentAdversary, MaskAdversary
from deocc_bench.models.blocks import from_patches, to_patches
from deocc_bench.models.config import PRESETS, ContentConfig, MaskConfig, preset
from deocc_bench.models.content_net import ContentNet, ContentResult, content_input
from deocc_bench.models.cpu import CpuMaskNet
from deocc_bench.models.mask_net import MaskLogits, MaskNet, final_masks

NARROW_MASK = MaskConfig(width=4, branch_width=8, modal_width=4, amodal_width=4, template_width=4, template_count=5)
NARROW = ContentConfig(width=8)


def trainable(net: nn.Module) -> int:
    return sum(value.numel() for value in net.parameters() if value.requires_grad)


def meta(kind: type, config: object) -> nn.Module:
    with torch.device("meta"):
        return kind(config)


def content_inputs(literal: ModuleType, side: int = 128, count: int = 1) -> tuple[torch.Tensor, ...]:
    visible, amodal, modal = literal.human_masks(count, side, side)
    image = torch.rand(count, 3, side, side) * 2 - 1
    erased, found = content_input(image, modal, amodal)
    assert torch.equal(found, visible)
    parsing = torch.randint(0, 20, (count, side, side)) * amodal[:, 0].long()
    return erased, visible, amodal, parsing * modal[:, 0].long(), parsing


@pytest.mark.slow
def test_parameter_counts_of_the_paper() -> None:
    assert trainable(meta(MaskNet, MaskConfig())) == 27_002_972
    assert trainable(meta(ContentNet, ContentConfig(fuse_kernel=3))) == 55_608_994
    assert trainable(meta(ContentNet, ContentConfig())) == 35_782_306
    assert trainable(meta(ContentNet, ContentConfig(pga="none"))) == 25_786_122


def test_tiny_fits_the_package() -> None:
    tiny = preset("tiny")
    mask, content = MaskNet(tiny.mask), ContentNet(tiny.content)
    assert trainable(mask) < 3_500_000
    assert trainable(content) < 2_500_000
    stored = sum(value.numel() * 2 for net in (mask, content) for value in net.state_dict().values())
    assert stored < 12e6


def test_patches_keep_the_interface_and_the_fast_form() -> None:
    config = dataclasses.replace(NARROW_MASK, patch=2, refinement_width=8)
    net = MaskNet(config).eval()
    assert net.modal_hourglass.down[0][0].weight.shape[:2] == (8, 4 * 4)
    assert net.amodal_hourglass.down[0][0].weight.shape[:2] == (4, 3 * 4 + 8)
    image, initial = torch.rand(2, 3, 64, 96) * 2 - 1, (torch.rand(2, 1, 64, 96) > 0.5).float()
    with torch.no_grad():
        ours, fast = net(image, initial), CpuMaskNet(net)(image, initial)
    assert ours.modal is not None
    assert ours.modal.shape == ours.amodal.shape == (2, 2, 64, 96)
    for name in ("amodal", "modal", "parsing_amodal", "parsing_modal"):
        torch.testing.assert_close(getattr(fast, name), getattr(ours, name), atol=1e-5, rtol=1e-5)


def test_a_pixel_of_a_patch_reaches_its_own_logits() -> None:
    torch.manual_seed(0)
    grid = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).view(2, 3, 8, 8)
    assert torch.equal(from_patches(to_patches(grid, 2), 2), grid)
    assert torch.equal(to_patches(grid, 2)[0, :4, 1, 2], grid[0, 0, 2:4, 4:6].flatten())


def test_unknown_preset_is_told_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'paper'"):
        preset("papper")
    assert all(name == value.name for name, value in PRESETS.items())


def shapes_of(net: nn.Module, *inputs: torch.Tensor) -> dict[str, list[tuple[int, ...]]]:
    seen: dict[str, list[tuple[int, ...]]] = {}

    def note(name: str) -> object:
        def hook(_m: nn.Module, _i: object, out: object) -> None:
            if isinstance(out, torch.Tensor):
                seen.setdefault(name, []).append(tuple(out.shape[1:]))

        return hook

    for name, part in net.named_modules():
        part.register_forward_hook(note(name))  # type: ignore[arg-type]
    with torch.no_grad():
        net.eval()(*inputs)
    return seen


def test_every_shape_of_stage_one() -> None:
    net = meta(MaskNet, MaskConfig())
    with torch.device("meta"):
        seen = shapes_of(net, torch.zeros(1, 3, 256, 256), torch.zeros(1, 1, 256, 256))
    for hourglass in ("modal_hourglass", "amodal_hourglass"):
        downs = [seen[f"{hourglass}.down.{level}"][0] for level in range(5)]
        assert downs == [(64, 256, 256), (128, 128, 128), (256, 64, 64), (512, 32, 32), (512, 16, 16)]
        ups = [seen[f"{hourglass}.up.{level}"][0] for level in range(4)]
        assert ups == [(256, 32, 32), (128, 64, 64), (64, 128, 128), (64, 256, 256)]
        assert seen[hourglass] == [(64, 256, 256)]
    for branch in ("modal_parsing", "amodal_parsing"):
        assert seen[f"{branch}.residual"] == [(32, 256, 256)]
        assert seen[f"{branch}.gate"] == [(32, 256, 256)]
        assert seen[f"{branch}.logits"] == [(20, 256, 256)]
    assert seen["reweighting"] == [(32, 256, 256)]
    assert seen["modal_head.0"] == [(16, 256, 256)]
    assert seen["amodal_head.0"] == [(32, 256, 256)]
    assert seen["modal_head"] == seen["amodal_head"] == [(2, 256, 256)]
    widths = {name: part.in_channels for name, part in net.named_modules() if isinstance(part, nn.Conv2d)}
    assert widths["amodal_hourglass.down.0.0"] == 67
    assert widths["modal_head.0"] == 96
    assert widths["amodal_head.0"] == 128


@pytest.mark.slow
def test_every_shape_of_stage_two() -> None:
    net = meta(ContentNet, ContentConfig())
    with torch.device("meta"):
        plane, labels = torch.zeros(1, 1, 256, 256), torch.zeros(1, 256, 256, dtype=torch.long)
        for block in net.attention.values():  # type: ignore[union-attr, operator]
            block.implementation = "fused"
        seen = shapes_of(net, torch.zeros(1, 3, 256, 256), plane, plane, labels, labels)
    encoder = [seen[f"encoder.{level}"][0] for level in range(7)]
    assert [shape[0] for shape in encoder] == [64, 128, 256, 512, 512, 512, 512]
    assert [shape[1] for shape in encoder] == [128, 64, 32, 16, 8, 4, 2]
    decoder = [seen[f"decoder.{level}"][0] for level in range(7)]
    assert [shape[0] for shape in decoder] == [512, 512, 512, 256, 128, 64, 3]
    assert [shape[1] for shape in decoder] == [4, 8, 16, 32, 64, 128, 256]
    blocks = {name: seen[f"attention.{name}"][0] for name in ("encoder3", "encoder5", "decoder5", "decoder3")}
    assert blocks == {
        "encoder3": (256, 32, 32),
        "encoder5": (512, 8, 8),
        "decoder5": (512, 16, 16),
        "decoder3": (128, 64, 64),
    }
    assert seen["attention.encoder3.query"] == seen["attention.encoder3.key"] == [(32, 32, 32)]
    assert seen["attention.encoder3.modal_parts"] == [(19, 32, 32)]


@pytest.mark.parametrize(
    ("change", "modal", "parsing"),
    [
        ({}, True, True),
        ({"branches": False}, True, False),
        ({"templates": False}, True, True),
        ({"refinement": False}, False, True),
        ({"refinement": False, "branches": False}, False, False),
        ({"align_templates": True, "template_temperature": 10.0}, True, True),
    ],
)
def test_mask_switches(change: dict[str, object], modal: bool, parsing: bool) -> None:
    net = MaskNet(dataclasses.replace(NARROW_MASK, **change))  # type: ignore[arg-type]
    out = net(torch.rand(2, 3, 128, 256), torch.ones(2, 1, 128, 256))
    assert out.amodal.shape == (2, 2, 128, 256)
    assert (out.modal is not None) == modal
    assert (out.parsing_amodal is not None) == parsing
    assert (out.parsing_modal is not None) == (parsing and modal)
    names = {name.split(".")[0] for name, _ in net.named_parameters()}
    assert ("reweighting" in names) == (parsing and change.get("templates", True))
    assert ("modal_hourglass" in names) == modal


@pytest.mark.parametrize("streams", ["both", "body", "mutual", "none"])
def test_content_switches(streams: str, literal: ModuleType) -> None:
    net = ContentNet(dataclasses.replace(NARROW, pga=streams))  # type: ignore[arg-type]
    names = {name for name, _ in net.named_parameters()}
    assert any("query" in name for name in names) == (streams in ("both", "mutual"))
    assert any("fuse_parts" in name for name in names) == (streams in ("both", "body"))
    inputs = content_inputs(literal, count=2)
    out = net(*inputs)
    assert out.image.shape == out.composite.shape == (2, 3, 128, 128)
    assert out.image.abs().max() <= 1


def test_final_masks_join_the_two() -> None:
    amodal = torch.tensor([[[[0.0, 1.0]], [[1.0, 0.0]]]])
    modal = torch.tensor([[[[1.0, 0.0]], [[0.0, 1.0]]]])
    joined, own = final_masks(MaskLogits(amodal, modal))
    assert joined.tolist() == [[[True, True]]]
    assert own is not None
    assert own.tolist() == [[[False, True]]]
    alone, nothing = final_masks(MaskLogits(amodal))
    assert nothing is None
    assert alone.tolist() == [[[True, False]]]


def test_mask_heads_do_not_train_the_parsing_feature_nor_templates_the_modal_head() -> None:
    net = MaskNet(NARROW_MASK)
    net.reweighting.templates.uniform_()
    out = net(torch.rand(1, 3, 128, 128), torch.ones(1, 1, 128, 128))
    assert out.modal is not None
    out.modal.square().sum().backward(retain_graph=True)
    assert net.modal_parsing.residual.first.weight.grad is None
    assert net.modal_parsing.gate.squeeze.weight.grad is not None
    net.zero_grad(set_to_none=True)
    out.amodal.square().sum().backward()
    # The amodal head reaches the first hourglass through its feature, never the modal head through the templates.
    assert net.modal_hourglass.down[0][0].weight.grad is not None
    assert net.modal_head[0].weight.grad is None


def test_hole_pixels_do_not_leak(literal: ModuleType) -> None:
    net = literal.randomise(ContentNet(NARROW)).eval()
    visible, amodal, modal = literal.human_masks(1, 128, 128)
    image = torch.rand(1, 3, 128, 128) * 2 - 1
    other = torch.where(visible.bool(), image, torch.rand(1, 3, 128, 128) * 2 - 1)
    assert not torch.equal(image, other)
    labels = torch.ones(1, 128, 128, dtype=torch.long)
    with torch.no_grad():
        first: ContentResult = net(*content_input(image, modal, amodal), amodal, labels, labels)
        second: ContentResult = net(*content_input(other, modal, amodal), amodal, labels, labels)
        # Even fed with an image that was not erased, the partial convolutions and the composite see no hole pixel.
        dimmed = other * (0.3 + 0.7 * amodal)
        third: ContentResult = net(dimmed, visible, amodal, labels, labels)
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.image, third.image)
    assert torch.equal(first.composite, third.composite)
    untouched = visible.bool().expand_as(image)
    assert torch.equal(first.composite[untouched], dimmed[untouched])


def test_background_is_dimmed() -> None:
    amodal = torch.tensor([[[[1.0, 0.0, 1.0]]]])
    modal = torch.tensor([[[[1.0, 0.0, 0.0]]]])
    erased, visible = content_input(torch.ones(1, 3, 1, 3), modal, amodal)
    assert visible.flatten().tolist() == [1, 1, 0]
    assert erased[0, 0, 0].tolist() == pytest.approx([1.0, 0.3, 0.0])


@pytest.mark.slow
def test_batch_members_do_not_meet(literal: ModuleType) -> None:
    mask_net = literal.randomise(MaskNet(NARROW_MASK)).eval()
    image, initial = torch.rand(3, 3, 128, 128), torch.rand(3, 1, 128, 128).round()
    order = torch.tensor([2, 0, 1])
    with torch.no_grad():
        assert torch.allclose(
            mask_net(image, initial).amodal[order], mask_net(image[order], initial[order]).amodal, atol=1e-5
        )
        net = literal.randomise(ContentNet(NARROW)).eval()
        inputs = content_inputs(literal, count=3)
        permuted = tuple(value[order] for value in inputs)
        assert torch.allclose(net(*inputs).image[order], net(*permuted).image, atol=1e-5)


def test_hourglass_moves_with_its_input(literal: ModuleType) -> None:
    # 16 pixels are one cell at the deepest level: away from the border the convolutions and pools move along. The
    # aligned-corner upsampling does not (it depends on the place), so the way down is what must.
    net = literal.randomise(MaskNet(NARROW_MASK)).eval()
    image = torch.zeros(1, 4, 256, 256)
    image[:, :, 96:144, 96:144] = torch.rand(1, 4, 48, 48)
    x, y = image, image.roll((16, 32), dims=(2, 3))
    with torch.no_grad():
        for level, block in enumerate(net.modal_hourglass.down):
            x = block(x if level == 0 else nn.functional.max_pool2d(x, 2))
            y = block(y if level == 0 else nn.functional.max_pool2d(y, 2))
            rows, columns = 16 >> level, 32 >> level
            inner = 3 * x.shape[2] // 8
            moved = x.roll((rows, columns), dims=(2, 3))
            assert torch.allclose(moved[..., inner:-inner, inner:-inner], y[..., inner:-inner, inner:-inner], atol=1e-5)


def test_adversaries_give_patches_and_gradients() -> None:
    image, mask = torch.rand(1, 3, 64, 64), torch.rand(1, 1, 64, 64, requires_grad=True)
    out = MaskAdversary()(image, mask)
    assert out.shape == (1, 256, 8, 8)
    out.sum().backward()
    assert mask.grad is not None
    assert mask.grad.abs().sum() > 0
    assert ContentAdversary()(image, mask).shape == (1, 256, 14, 14)
    names = [name for name, _ in ContentAdversary().named_parameters()]
    assert len(names) == 4
    assert all("original" in name for name in names)
