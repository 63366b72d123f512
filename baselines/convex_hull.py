"""convex-hull: the smallest convex shape around the visible part."""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.baselines.shapes import visible_or_raise
from deocc_bench.core.types import Batch, MaskOutput


class ConvexHull:
    """Amodal mask = convex hull of the initial mask's pixels.

    Source: the "Convex" baseline of "Self-Supervised Scene De-occlusion" (CVPR 2020).
    """

    name = "convex-hull"
    needs = ("initial",)

    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal masks, bool N x H x W; an empty initial mask stays empty."""
        return MaskOutput(np.stack([convex_hull(m) for m in visible_or_raise(self.name, batch.initial)]))


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """The filled convex hull of a mask, bool H x W."""
    outline, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = mask.astype(np.uint8)
    if outline:
        cv2.fillConvexPoly(filled, cv2.convexHull(np.concatenate(outline)), 1)
    return filled.astype(bool)
