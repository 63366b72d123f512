"""Templates: k-means, cropping, reweighting in its three forms."""

import numpy as np
import pytest
import torch

from deocc_bench.core.errors import InputError
from deocc_bench.models.templates import TemplateReweighting, crop_to_template, fit_templates


def test_crop_is_the_tight_box() -> None:
    mask = np.zeros((100, 80), bool)
    mask[10:74, 5:69] = True
    mask[10:42, 5:37] = False
    crop = crop_to_template(mask)
    assert crop.shape == (32, 32)
    assert crop[:16, :16].max() == 0
    assert crop[16:].min() == 1
    moved = np.roll(mask, (20, 7), axis=(0, 1))
    assert np.array_equal(crop, crop_to_template(moved))
    with pytest.raises(InputError, match="a mask is empty"):
        crop_to_template(np.zeros((5, 5), bool))


def test_too_few_masks_for_the_templates() -> None:
    with pytest.raises(InputError, match="1 masks for 4 templates"):
        fit_templates([np.ones((9, 9), bool)], 4)
    assert fit_templates([np.ones((9, 9), bool)] * 4, 4).shape == (4, 32, 32)


def test_templates_come_most_populous_first_and_repeat_where_masks_do() -> None:
    full, triangle = np.ones((32, 32), bool), np.tri(32, dtype=bool)
    found = fit_templates([triangle, full, triangle, full, triangle], 4)
    assert np.array_equal(found[0], triangle)
    assert np.array_equal(found[1], full)
    assert np.array_equal(found[2:], found[:2])


def stretched_form(block: TemplateReweighting, modal: torch.Tensor) -> torch.Tensor:
    """The description, step by step."""
    templates = torch.nn.functional.interpolate(block.templates[None], size=modal.shape[2:], mode="nearest")
    affinity = (modal * templates).sum(dim=(2, 3))
    if block.temperature is not None:
        affinity = block.temperature * affinity / modal.sum(dim=(1, 2, 3)).clamp(min=1)[:, None]
    return block.mix(templates * torch.softmax(affinity, dim=1)[:, :, None, None])


@pytest.mark.parametrize("size", [(96, 128), (256, 256), (64, 64), (100, 60)])
@pytest.mark.parametrize("temperature", [None, 20.0])
def test_cells_are_the_stretched_form(size: tuple[int, int], temperature: float | None) -> None:
    block = TemplateReweighting(6, 3, temperature=temperature)
    block.templates.uniform_()
    modal = torch.rand(2, 1, *size)
    with torch.no_grad():
        assert (block(modal) - stretched_form(block, modal)).abs().max() < 1e-4


def test_aligned_templates_move_with_the_mask() -> None:
    block = TemplateReweighting(4, 2, align=True, temperature=10.0)
    block.templates.copy_((torch.rand(4, 32, 32) > 0.5).float())
    modal = torch.zeros(1, 1, 128, 128)
    modal[:, :, 30:70, 40:60] = 1
    with torch.no_grad():
        here, there = block(modal), block(modal.roll((20, -10), dims=(2, 3)))
    assert torch.allclose(here.roll((20, -10), dims=(2, 3))[..., 1:-1, 1:-1], there[..., 1:-1, 1:-1], atol=1e-6)
    assert not torch.allclose(here, there)


def test_aligned_templates_cover_the_grown_box() -> None:
    block = TemplateReweighting(1, 1, align=True)
    block.templates.fill_(1.0)
    modal = torch.zeros(1, 1, 128, 128)
    modal[:, :, 20:60, 40:60] = 1
    covered = block._aligned(modal)[0, 0] > 0
    rows, columns = covered.any(1).nonzero().flatten(), covered.any(0).nonzero().flatten()
    assert (int(rows[0]), int(rows[-1])) == (16, 63)
    assert (int(columns[0]), int(columns[-1])) == (38, 61)
    assert bool((block._aligned(torch.zeros(1, 1, 128, 128)) > 0).all())


def test_likest_template_weighs_most() -> None:
    block = TemplateReweighting(2, 1, temperature=50.0)
    block.templates.zero_()
    block.templates[0, :, :16] = 1
    block.templates[1, :, 16:] = 1
    modal = torch.zeros(1, 1, 128, 128)
    modal[..., :64] = 1
    with torch.no_grad():
        block.mix.weight.zero_()
        block.mix.bias.zero_()  # type: ignore[union-attr]
        block.mix.weight[0, :, 1, 1] = torch.tensor([1.0, -1.0])
        out = block(modal)
    assert out[..., :64].min() > 0.99
    assert out[..., 64:].abs().max() < 0.01
