"""How far a given mask is followed: detailed outlines fully, what came out of a coarse grid hardly."""

from pathlib import Path

import numpy as np
import pytest

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.degrade import through_grid
from deocc_bench.core.masks import mask_iou
from deocc_bench.core.types import Batch, Sample
from deocc_bench.models.initial_mask_trust import (
    WEIGHT,
    initial_mask_log_odds,
    network_surprise,
    outline_detail,
    trusted_masks,
)
from deocc_bench.models.two_stage import TwoStage
from deocc_bench.synth.run import synthesise
from deocc_bench.synth.spec import SynthSpec


def _ragged() -> np.ndarray:
    """A tall box with teeth of three pixels: an outline that no mask head gives."""
    mask = np.zeros((256, 256), bool)
    mask[20:236, 90:160] = True
    for y in range(20, 236, 6):
        mask[y : y + 3, 84:90] = mask[y : y + 3, 160:166] = True
    return mask


def _people(folder: Path) -> list[Sample]:
    # The shipped weights were trained without the people whose number 5 divides.
    synthesise(SynthSpec(("mannequin:20",), ("shapes:24",), variants=2, holdout=5), folder, quiet=True)
    return [record.load() for record in DatasetReader(folder).records("test")]


def test_trust_rises_with_detail_and_falls_with_surprise() -> None:
    fine = _ragged()
    coarse = through_grid(fine, 28)
    assert outline_detail(fine) > outline_detail(coarse)
    weights = [
        initial_mask_log_odds(mask, nats)[mask].min()
        for mask, nats in ((fine, 0.8), (fine, 3.0), (coarse, 0.8), (coarse, 3.0))
    ]
    assert weights[0] > 0.9 * WEIGHT
    assert weights[0] > max(weights[1:])
    assert weights[3] < 0.01 * WEIGHT


def test_signs_and_shape() -> None:
    mask = _ragged()
    found = initial_mask_log_odds(mask, 1.0)
    assert found.shape == mask.shape
    assert found.dtype == np.float32
    assert (found[mask] > 0).all()
    assert (found[~mask] < 0).all()
    assert np.isfinite(initial_mask_log_odds(np.zeros((64, 64), bool), 1.0)).all()


def test_surprise_is_the_cross_entropy_per_pixel_of_the_outline() -> None:
    coverage = np.zeros((2, 32, 32), np.float32)
    coverage[:, 8:24, 8:24] = 1
    margin = np.where(coverage > 0, 8.0, -8.0).astype(np.float32)
    margin[1, 8:24, 24:26] = 8.0  # the head sees two columns more than it was given
    sure, off = network_surprise(coverage, margin)
    assert sure < 0.01
    # 32 pixels of 8 nats, an outline of 4 x 16, and one pixel that keeps an empty mask from dividing by 0.
    assert off == pytest.approx(32 * 8 / 65, rel=0.01)
    assert np.isfinite(network_surprise(0 * coverage, margin)).all()


@pytest.mark.slow
def test_true_masks_are_followed_and_a_detectors_are_not(tmp_path: Path) -> None:
    """Through the method, on drawn people: the modal mask is nearly the given one if that is true, in detail too."""
    method = TwoStage("tiny")
    same: dict[str, list[float]] = {"true": [], "detector": []}
    kept = []
    for sample in _people(tmp_path / "d"):
        for name, given in (("true", sample.modal), ("detector", sample.initial)):
            assert given is not None
            out = method.complete(Batch((sample.id,), sample.image[None], initial=given[None]))
            assert out.modal is not None
            same[name].append(mask_iou(out.modal[0], given) or 0.0)
            if name == "true":
                kept.append(out.modal[0][given & ~through_grid(given, 28)].mean())
    assert np.mean(same["true"]) > 0.97
    assert np.mean(kept) > 0.9
    assert np.mean(same["detector"]) < 0.95


def test_without_trust_the_masks_are_the_papers() -> None:
    amodal, modal = np.random.default_rng(0).normal(scale=8, size=(2, 1, 64, 64)).astype(np.float32)
    whole, seen = trusted_masks(amodal, modal, np.zeros(()))
    assert np.array_equal(seen, modal > 0)
    assert np.array_equal(whole, (amodal > 0) | (modal > 0))


def test_a_trusted_mask_ends_the_visible_part_and_leaves_the_hidden_one() -> None:
    # Visible outline, hidden part, background, inside: margins of the two heads there.
    amodal, modal = np.float32([[[0.5, 0.5, -4, 6]]]), np.float32([[[0.4, -5, -5, 6]]])
    outside, inside = np.full((1, 1, 4), -4, np.float32), np.full((1, 1, 4), 4, np.float32)
    assert trusted_masks(amodal, modal, outside)[0].tolist() == [[[False, True, False, True]]]
    assert trusted_masks(amodal, modal, outside)[1].tolist() == [[[False, False, False, True]]]
    assert trusted_masks(amodal, modal, inside)[1].tolist() == [[[True, False, False, True]]]


@pytest.mark.parametrize("odds", [-4.0, 0.0, 4.0])
def test_the_modal_mask_lies_within_the_amodal_one(odds: float) -> None:
    amodal, modal = np.random.default_rng(1).normal(scale=30, size=(2, 1, 64, 64)).astype(np.float32)
    whole, seen = trusted_masks(amodal, modal, np.full((), odds))
    assert (seen <= whole).all()
