"""dilate: the visible part, grown evenly."""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.baselines.shapes import visible_or_raise
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch, MaskOutput


class Dilate:
    """Amodal mask = every pixel within a radius of the initial mask; the radius follows the size of that mask.

    Source: own; morphological dilation, the weakest completion that claims anything.

    Args:
        radius: in square roots of the initial mask's area; `dilate:0.1` on the command line.

    Raises:
        UsageError: a negative radius, or none at all.
    """

    name = "dilate"
    needs = ("initial",)

    def __init__(self, radius: float | str = 0.06, preset: str | None = None) -> None:
        given = radius if preset is None else preset
        try:
            self.radius = float(given)
        except ValueError:
            raise UsageError(f"dilate takes a radius such as 0.06, got {given!r}") from None
        if not 0 <= self.radius <= 10:
            raise UsageError(f"dilate takes a radius between 0 and 10, got {given}")

    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal masks, bool N x H x W."""
        return MaskOutput(np.stack([self._grow(m) for m in visible_or_raise(self.name, batch.initial)]))

    def _grow(self, mask: np.ndarray) -> np.ndarray:
        if not mask.any():
            return mask.copy()
        distance = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return distance <= self.radius * np.sqrt(mask.sum())
