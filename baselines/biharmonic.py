"""biharmonic: the smoothest surface through the person's colours."""

from __future__ import annotations

import cv2
import numpy as np
from skimage.restoration import inpaint_biharmonic

from deocc_bench.baselines.fills import extend, fill_each
from deocc_bench.core.types import Batch, ContentOutput


class Biharmonic:
    """The hole solves the biharmonic equation with the colours around it.

    The linear system is as large as the hole: it is solved in the person's window alone, and at a lower resolution when
    the hole has more than `unknowns` pixels, which a surface this smooth hardly shows. Around the hole, occluder and
    background are first replaced by the nearest visible person.

    Source: Damelin & Hoang, "On surface completion and image inpainting by biharmonic functions" (2018); scikit-image.

    Args:
        unknowns: size of the largest system solved.
    """

    name = "biharmonic"
    needs: tuple[str, ...] = ()

    def __init__(self, unknowns: int = 1500) -> None:
        self.unknowns = int(unknowns)

    def recover(self, batch: Batch) -> ContentOutput:
        """The images with the holes painted, uint8 N x H x W x 3."""
        return fill_each(self.name, batch, self._fill)

    def _fill(self, image: np.ndarray, visible: np.ndarray, hole: np.ndarray) -> np.ndarray:
        height, width = hole.shape
        backdrop = extend(image, visible)
        shrink = min(1.0, float(np.sqrt(self.unknowns / hole.sum())))
        size = (max(4, round(width * shrink)), max(4, round(height * shrink)))
        small = cv2.resize(backdrop, size, interpolation=cv2.INTER_AREA)
        # Any share of hole makes a small pixel unknown, else the hole's rim would keep the nearest colour.
        share = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        unknown = share > 0
        if unknown.all():
            return backdrop
        solved = inpaint_biharmonic(small.astype(np.float64) / 255, unknown, channel_axis=-1)
        large = cv2.resize(solved, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.rint(np.clip(large, 0, 1) * 255).astype(np.uint8)
