"""Predicted masks that fit the truth better after one change of all of them: inverted, or shifted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import fft

from deocc_bench.core.masks import mask_iou

MOST = 64  # samples that are compared
_SIDE = 256  # larger masks are reduced
_REACH = 16  # pixels of the (reduced) masks
_LEAST = 8  # samples, unless the shifted masks fit nearly perfectly
_NEARLY = 0.95


class Pair(NamedTuple):
    """A predicted mask and the true one, bool H x W of the same size."""

    mask: np.ndarray
    truth: np.ndarray


class Shift(NamedTuple):
    """A translation of all masks that makes them fit.

    Args:
        down, right: in pixels; negative is up, left.
        before, after: mean IoU.
    """

    down: int
    right: int
    before: float
    after: float


def inverted(pairs: Sequence[Pair]) -> float | None:
    """The mean IoU of the complements if they are predictions and the masks are not, otherwise None.

    That is so if the complement is clearly better than the mask for nearly all samples. A mask that is empty or full is
    no evidence.
    """
    told = [p for p in pairs if p.mask.any() and not p.mask.all() and p.truth.any()]
    if not told:
        return None
    own = np.array([mask_iou(p.mask, p.truth) or 0 for p in told])
    other = np.array([mask_iou(~p.mask, p.truth) or 0 for p in told])
    clearly = float((other > own + 0.25).mean()) >= 0.8 and float(np.median(other)) >= 0.5
    return float(other.mean()) if clearly else None


def shifted(pairs: Sequence[Pair]) -> Shift | None:
    """The translation that makes the masks clearly better, or None.

    It must raise the IoU of nine samples in ten, and remove a fifth of the mean error. One pixel is within what initial
    masks and resizing may be off.
    """
    told = [p for p in pairs if p.mask.any() and p.truth.any()]
    if len(told) < 2:
        return None
    step = max(1, -(-max(max(p.mask.shape) for p in told) // _SIDE))
    ious = np.stack([_ious(p.mask[::step, ::step], p.truth[::step, ::step]) for p in told])
    means = ious.mean(axis=0)
    row, column = np.unravel_index(int(means.argmax()), means.shape)
    unmoved = ious[:, _REACH, _REACH]
    before, after = float(unmoved.mean()), float(means[row, column])
    clearly = after - before >= 0.02 and 1 - after <= 0.8 * (1 - before)
    down, right = (int(row) - _REACH) * step, (int(column) - _REACH) * step
    clearly = clearly and max(abs(down), abs(right)) >= 2
    of_most = float((ious[:, row, column] > unmoved).mean()) >= 0.9
    if not clearly or not of_most or (len(told) < _LEAST and after < _NEARLY):
        return None
    return Shift(down, right, before, after)


def _ious(mask: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """IoU for each translation of the mask by up to `_REACH` pixels, as [down, right], by cross-correlation."""
    shape = [fft.next_fast_len(n + _REACH, real=True) for n in mask.shape]
    spectrum = np.conj(fft.rfft2(mask.astype(np.float32), shape)) * fft.rfft2(truth.astype(np.float32), shape)
    shared = np.rint(fft.irfft2(spectrum, shape))
    reach = np.arange(-_REACH, _REACH + 1)
    shared = shared[np.ix_(reach % shape[0], reach % shape[1])]
    # What leaves the image is counted as a part of the mask: this makes shifts look worse, not better.
    return shared / np.maximum(int(mask.sum()) + int(truth.sum()) - shared, 1)
