"""How far stage 1's answer follows the mask that it was given, where the network works at less than the image's size.

The truth, or a mask by hand, has an outline of more detail than the shrunken network can give; a detector's is off,
and the network, which sees the image, knows better. Two numbers tell them apart: how much the mask surprises the
network, and how much detail its outline has. `benchmarks/initial_mask_trust.py` measures how well, and fits the
constants.
"""

import numpy as np
from scipy.special import expit

from deocc_bench.core.degrade import through_grid
from deocc_bench.core.masks import mask_iou

FINE, COARSE = 40, 14
"""Cells along each side of the mask's box: finer and coarser than a detector's grid (28 x 28 in Mask R-CNN)."""

DETAIL, SURPRISE, BIAS = 8.3, 15.3, -4.0
"""Trust is the logistic function of DETAIL * detail - SURPRISE * log(surprise) + BIAS.

Fitted with the weights of `tiny` to people whom no reported number is of."""

WEIGHT = 4.0
"""Log-odds of a pixel of a fully trusted mask."""


def given_mask_log_odds(given: np.ndarray, surprise: float) -> np.ndarray:
    """What a given mask adds to the margin of the modal mask: bool H x W -> float32 H x W in [-WEIGHT, WEIGHT]."""
    weight = WEIGHT * expit(DETAIL * outline_detail(given) - SURPRISE * np.log(surprise) + BIAS)
    return np.where(given, weight, -weight).astype(np.float32)


def outline_detail(given: np.ndarray) -> float:
    """The loss of a mask, bool H x W, in a fine grid in proportion to that in a coarse one.

    The proportion does not depend on how long the outline is.
    """
    return _lost(given, FINE) / (_lost(given, COARSE) + 1e-3)


def network_surprise(coverage: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """How improbable given masks are to the modal head: nats per pixel of their outline, float N.

    Args:
        coverage: float N x h x w in [0, 1], the masks in the network's frame.
        margin: float N x h x w, the modal head's log-odds there.
    """
    # Beyond 8 a head is sure, and one wrong pixel must not outweigh an outline.
    margin = np.clip(margin.astype(np.float64), -8.0, 8.0)
    nats = (np.logaddexp(0.0, margin) - coverage * margin).sum(axis=(1, 2))
    outline = sum(np.abs(np.diff(coverage, axis=axis)).sum(axis=(1, 2), dtype=np.float64) for axis in (1, 2))
    return np.asarray((nats + 1e-3) / (outline + 1.0))


def trusted_masks(amodal: np.ndarray, modal: np.ndarray, odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(amodal, modal) masks, bool, from the margins of both heads and the log-odds of the given mask; all N x H x W.

    A pixel is visible human, hidden human or background. The modal head gives the chance of the first, the larger of
    both heads that of the first two together, and the given mask is evidence about the first alone. So where a trusted
    mask says that a person's outline ends, what the amodal head holds to be *visible* there is not drawn, and what it
    holds to be hidden is. With odds of 0 this is the paper's rule, amodal OR modal.
    """
    # In float64, for what is left of large margins beside 1.
    seen = expit(modal.astype(np.float64))
    human = np.maximum(expit(amodal.astype(np.float64)), seen)
    hidden, background = human - seen, 1.0 - human
    seen = seen * np.exp(odds)
    return seen + hidden > background, seen > hidden + background


def _lost(mask: np.ndarray, cells: int) -> float:
    """1 - IoU of a mask with itself through the grid."""
    return 1.0 - (mask_iou(mask, through_grid(mask, cells)) or 0.0)
