"""telea: OpenCV's fast marching inpainting, from the visible person inwards."""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.baselines.fills import fill_each
from deocc_bench.core.types import Batch, ContentOutput


class Telea:
    """The hole is painted from its rim by fast marching.

    Occluder and background are unknown to it as the hole is, so that only the person's colours march in.

    Source: Telea, "An image inpainting technique based on the fast marching method" (2004); cv2.inpaint.

    Args:
        radius: pixels around a point that determine its colour.
    """

    name = "telea"
    needs: tuple[str, ...] = ()
    flag = cv2.INPAINT_TELEA

    def __init__(self, radius: float = 5.0) -> None:
        self.radius = float(radius)

    def recover(self, batch: Batch) -> ContentOutput:
        """The images with the holes painted, uint8 N x H x W x 3."""
        return fill_each(self.name, batch, self._fill)

    def _fill(self, image: np.ndarray, visible: np.ndarray, hole: np.ndarray) -> np.ndarray:
        return cv2.inpaint(image, (~visible).astype(np.uint8), self.radius, self.flag)
