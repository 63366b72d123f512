"""How far a given mask is followed: detailed outlines fully, what came out of a coarse grid hardly."""

import numpy as np

from deocc_bench.core.degrade import through_grid
from deocc_bench.core.types import Batch
from deocc_bench.models.given_mask import WEIGHT, log_odds
from deocc_bench.models.methods import TwoStage


def _ragged() -> np.ndarray:
    """A tall box with teeth of three pixels: an outline that no mask head gives."""
    mask = np.zeros((256, 256), bool)
    mask[20:236, 90:160] = True
    for y in range(20, 236, 6):
        mask[y : y + 3, 84:90] = mask[y : y + 3, 160:166] = True
    return mask


def test_a_detailed_outline_is_trusted_and_a_coarse_one_is_not() -> None:
    fine = _ragged()
    coarse = through_grid(fine, 28)
    assert log_odds(fine)[fine].min() > 0.9 * WEIGHT
    assert abs(log_odds(coarse)).max() < 0.1 * WEIGHT


def test_signs_and_shape() -> None:
    mask = _ragged()
    found = log_odds(mask)
    assert found.shape == mask.shape
    assert found.dtype == np.float32
    assert (found[mask] > 0).all()
    assert (found[~mask] < 0).all()
    assert np.isfinite(log_odds(np.zeros((64, 64), bool))).all()


def test_the_modal_mask_keeps_a_trusted_outline_at_full_size() -> None:
    fine = _ragged()
    image = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), dtype=np.uint8)
    method = TwoStage("tiny")
    out = method.complete(Batch(("a",), image, initial=fine[None]))
    assert out.modal is not None
    teeth = fine & ~through_grid(fine, 28)
    assert out.modal[0][teeth].mean() > 0.9
