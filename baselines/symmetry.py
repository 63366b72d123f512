"""symmetry: what one half of the body shows, the other half has too."""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.baselines.shapes import visible_or_raise
from deocc_bench.core.types import Batch, MaskOutput

_TILTS = np.arange(-12.0, 12.1, 4.0)


class Symmetry:
    """Amodal mask = initial mask united with its mirror image about the body axis.

    The axis is the line, upright within 12 degrees, about which the mask overlaps its own mirror image most: the
    mirrored overlap of all columns at once is the convolution of each row with itself.

    Source: own; bilateral symmetry as a completion prior.
    """

    name = "symmetry"
    needs = ("initial",)

    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal masks, bool N x H x W."""
        return MaskOutput(np.stack([_mirrored(m) | m for m in visible_or_raise(self.name, batch.initial)]))


def _mirrored(mask: np.ndarray) -> np.ndarray:
    height, width = mask.shape
    if not mask.any():
        return mask
    ys, xs = np.nonzero(mask)
    centre = (float(xs.mean()), float(ys.mean()))
    best, matrix = -1.0, np.zeros((2, 3))
    for tilt in _TILTS:
        turn = cv2.getRotationMatrix2D(centre, float(tilt), 1.0)
        upright = cv2.warpAffine(mask.astype(np.uint8), turn, (width, height), flags=cv2.INTER_NEAREST)
        overlap, twice_axis = _best_axis(upright)
        # An upright axis wins ties: most people stand.
        overlap -= 1e-3 * abs(float(tilt)) * float(mask.sum()) / 12
        if overlap > best:
            flip = np.array([[-1.0, 0.0, twice_axis], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
            whole = np.vstack([turn, [0.0, 0.0, 1.0]])
            best, matrix = overlap, (np.linalg.inv(whole) @ flip @ whole)[:2]
    return cv2.warpAffine(mask.astype(np.uint8), matrix, (width, height), flags=cv2.INTER_NEAREST).astype(bool)


def _best_axis(upright: np.ndarray) -> tuple[float, float]:
    """(overlapping pixels, twice the axis' x) of the best vertical mirror axis."""
    length = 2 * upright.shape[1]
    spectrum = np.fft.rfft(upright.astype(np.float64), n=length, axis=1)
    overlap = np.fft.irfft((spectrum**2).sum(axis=0), n=length)
    twice_axis = int(overlap.argmax())
    return float(overlap[twice_axis]), float(twice_axis)
