"""How far stage 1's answer follows the mask that it was given, where the network works at less than the image's size.

The truth, or a mask by hand, has an outline of more detail than the shrunken network can give. A detector's mask comes
out of a coarse grid (28 x 28 cells in Mask R-CNN), and the network, which sees the image, knows better. What a mask
loses in a grid tells the two apart.
"""

import numpy as np

from deocc_bench.core.degrade import through_grid

CELLS = 40
"""Cells along each side of the mask's box: finer than a detector's grid, coarser than an outline by hand."""

TURN, WIDTH = 0.978, 0.002
"""IoU of a mask with itself through the grid where half the weight is given, and how fast the weight falls about it."""

WEIGHT = 4.0
"""Log-odds of a pixel of a fully trusted mask. All four were chosen on people that no reported number is of."""


def log_odds(given: np.ndarray) -> np.ndarray:
    """What a given mask adds to the margin of the modal mask: bool H x W -> float32 H x W in [-WEIGHT, WEIGHT]."""
    coarse = through_grid(given, CELLS)
    kept = int((given & coarse).sum()) / max(1, int((given | coarse).sum()))
    trust = 1.0 / (1.0 + np.exp(np.clip((kept - TURN) / WIDTH, -50.0, 50.0)))
    return np.where(given, WEIGHT * trust, -WEIGHT * trust).astype(np.float32)
