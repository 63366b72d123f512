"""How far stage 1 follows the initial mask if the network's working size is smaller than the image.

A true or hand-drawn mask has a more detailed outline than the network can predict at its working size. A detector's
mask is inaccurate, and the network, which sees the image, improves it. Two measures distinguish them: how much the mask
surprises the network, and how detailed its outline is. `benchmarks/initial_mask_trust.py` measures how well this works
and fits the constants.
"""

import numpy as np
from scipy.special import expit

from deocc_bench.core.degrade import through_grid
from deocc_bench.core.masks import mask_iou

FINE, COARSE = 40, 14
"""Cells along each side of the mask's box: one grid is finer, one coarser than a detector's (28 x 28 in Mask R-CNN)."""

DETAIL, SURPRISE, BIAS = 8.3, 15.3, -4.0
"""Trust is the logistic function of DETAIL * detail - SURPRISE * log(surprise) + BIAS.

Fitted with the weights of `tiny` to people that are not part of any reported result."""

WEIGHT = 4.0
"""Absolute log-odds of a pixel of a fully trusted mask."""


def initial_mask_log_odds(mask: np.ndarray, surprise: float) -> np.ndarray:
    """Log-odds that an initial mask adds to the modal margin: bool H x W -> float32 H x W in [-WEIGHT, WEIGHT]."""
    weight = WEIGHT * expit(DETAIL * outline_detail(mask) - SURPRISE * np.log(surprise) + BIAS)
    return np.where(mask, weight, -weight).astype(np.float32)


def outline_detail(mask: np.ndarray) -> float:
    """Ratio of what a mask, bool H x W, loses in a fine grid to what it loses in a coarse grid.

    The ratio does not depend on the length of the outline.
    """
    return _lost(mask, FINE) / (_lost(mask, COARSE) + 1e-3)


def network_surprise(coverage: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """How improbable the modal head finds the initial masks: nats per pixel of their outline, float N.

    Args:
        coverage: float N x h x w in [0, 1], the masks in the network's frame.
        margin: float N x h x w, the modal head's log-odds in that frame.
    """
    # Beyond 8 the head is certain, and a single wrong pixel must not outweigh the whole outline.
    margin = np.clip(margin.astype(np.float64), -8.0, 8.0)
    nats = (np.logaddexp(0.0, margin) - coverage * margin).sum(axis=(1, 2))
    outline = sum(np.abs(np.diff(coverage, axis=axis)).sum(axis=(1, 2), dtype=np.float64) for axis in (1, 2))
    return np.asarray((nats + 1e-3) / (outline + 1.0))


def trusted_masks(amodal: np.ndarray, modal: np.ndarray, odds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Combine the margins of both heads with the log-odds of the initial mask: (amodal, modal) masks, bool N x H x W.

    A pixel is visible human, hidden human or background. The modal head predicts the probability of the first class,
    and the larger probability of both heads is that of the first two together. The initial mask is evidence about the
    first class only. Beyond the outline of a trusted mask, pixels that the heads consider *visible* are therefore
    removed, and pixels that they consider hidden are kept. Log-odds of 0 give the paper's rule, amodal OR modal.

    Args:
        amodal, modal: margins of the two heads, float N x H x W.
        odds: log-odds of the initial mask, float N x H x W.
    """
    # float64, because large margins leave only a small difference to 1.
    seen = expit(modal.astype(np.float64))
    human = np.maximum(expit(amodal.astype(np.float64)), seen)
    hidden, background = human - seen, 1.0 - human
    seen = seen * np.exp(odds)
    return seen + hidden > background, seen > hidden + background


def _lost(mask: np.ndarray, cells: int) -> float:
    """1 - IoU of a mask and its copy that was resized to the grid and back."""
    return 1.0 - (mask_iou(mask, through_grid(mask, cells)) or 0.0)
