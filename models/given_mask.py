"""How far stage 1's answer follows the mask that it was given, where the network works at less than the image's size.

The truth, or a mask by hand, has an outline of more detail than the shrunken network can give. A detector's mask comes
out of a coarse grid (28 x 28 cells in Mask R-CNN), and the network, which sees the image, knows better. What tells them
apart is the loss in a grid finer than a detector's in proportion to that in a coarser one: this does not depend on how
long the outline is.
"""

import numpy as np

from deocc_bench.core.degrade import through_grid
from deocc_bench.core.masks import mask_iou

FINE, COARSE = 40, 14
"""Cells along each side of the mask's box."""

TURN, WIDTH = 0.21, 0.008
"""Proportion of the two losses where half the weight is given, and how fast the weight rises about it."""

WEIGHT = 4.0
"""Log-odds of a pixel of a fully trusted mask. All were chosen on people that no reported number is of."""


def log_odds(given: np.ndarray) -> np.ndarray:
    """What a given mask adds to the margin of the modal mask: bool H x W -> float32 H x W in [-WEIGHT, WEIGHT]."""
    detail = _lost(given, FINE) / (_lost(given, COARSE) + 1e-3)
    trust = 1.0 / (1.0 + np.exp(np.clip((TURN - detail) / WIDTH, -50.0, 50.0)))
    return np.where(given, WEIGHT * trust, -WEIGHT * trust).astype(np.float32)


def _lost(mask: np.ndarray, cells: int) -> float:
    """1 - IoU of a mask with itself through the grid."""
    return 1.0 - (mask_iou(mask, through_grid(mask, cells)) or 0.0)
