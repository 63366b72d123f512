"""A model of the mask that an instance-segmentation network predicts for the visible person.

It follows how such masks are made: a box that is slightly off, a soft mask on a 28 x 28 grid within it, then enlarged
and thresholded at one half. On that grid the mask leaks into the occluder, stops short of its boundary, or misses a
body part.
"""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.core import degrade as damage
from deocc_bench.core.masks import tight_box

DEFAULT_STRENGTH = 0.5
_HEAD = 28  # cells at the default strength, as Mask R-CNN's mask head has


def detector_mask(
    modal: np.ndarray,
    strength: float,
    rng: np.random.Generator,
    *,
    amodal: np.ndarray,
    occluder: np.ndarray,
    parsing: np.ndarray | None = None,
) -> np.ndarray:
    """A detector's mask of the visible person.

    Args:
        modal: bool H x W, the true visible mask.
        strength: 0 returns the modal mask, 0.5 models a usual detector, 1 a bad one.
        rng: the only source of randomness.
        amodal: bool H x W.
        occluder: bool H x W, union of the occluders in front.
        parsing: uint8 H x W, LIP ids; without it a missed part is a band of the box.

    Returns:
        bool H x W; empty only if `modal` is.
    """
    box = tight_box(modal)
    if box is None or strength <= 0:
        return modal.copy()
    x0, y0, x1, y1 = _jittered(box, modal.shape, strength, rng)
    n = min(112, max(14, round(_HEAD * DEFAULT_STRENGTH / max(strength, 0.01))))
    view = (slice(y0, y1), slice(x0, x1))
    seen = _grid(modal[view], n)
    cover = _grid(occluder[view], n)
    logits = cv2.GaussianBlur(seen, (3, 3), 0, borderType=cv2.BORDER_CONSTANT).astype(np.float32)
    lumpy = _noise(n, 6, rng)  # slow in space, -1..1
    logits += strength * (55 * lumpy + 50 * _noise(n, 14, rng) + np.float32(35 * rng.standard_normal()))
    if cv2.hasNonZero(cover):
        logits += _at_occluder(seen, cover, _grid(amodal[view], n), lumpy, strength=strength, rng=rng)
    if rng.random() < 0.35 * strength:
        logits[_missed(seen, None if parsing is None else parsing[view], n, rng)] -= 200
    head = np.clip(np.rint(logits), 0, 255).astype(np.uint8)
    whole = cv2.resize(head, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
    out = np.zeros(modal.shape, bool)
    out[view] = whole >= 128
    if rng.random() < 0.4 * strength:
        out = damage.polygon(out, 0.006 * max(x1 - x0, y1 - y0) * (1 + 2 * strength), rng)
    return out if out.any() else damage.lowres(modal, n, rng)


def _jittered(
    box: tuple[int, int, int, int], shape: tuple[int, ...], strength: float, rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """The tight box with each side off by a few per cent, rather outwards; within the frame."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    left, top, right, bottom = (float(v) for v in 0.03 * strength * rng.standard_normal(4) + 0.01)
    height, width = shape[:2]
    x0, x1 = max(0, round(x0 - left * w)), min(width, round(x1 + right * w))
    y0, y1 = max(0, round(y0 - top * h)), min(height, round(y1 + bottom * h))
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else box


def _grid(mask: np.ndarray, n: int) -> np.ndarray:
    """How full each of n x n cells is, uint8 0..255."""
    pixels = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    return cv2.resize(pixels, (n, n), interpolation=cv2.INTER_AREA)


def _noise(n: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in [-1, 1], float32 n x n. Drawn and enlarged in bytes, which all processors do alike."""
    coarse = rng.integers(0, 256, (cells, cells), np.uint8)
    return (cv2.resize(coarse, (n, n), interpolation=cv2.INTER_LINEAR).astype(np.float32) - 127.5) / np.float32(127.5)


def _at_occluder(
    seen: np.ndarray,
    cover: np.ndarray,
    whole: np.ndarray,
    lumpy: np.ndarray,
    *,
    strength: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """What the occluder does to the logits: a gap along its boundary in some places, a leak into it in others.

    The leak is stronger where the hidden person goes on behind the occluder: a detector guesses.
    """
    near_person = cv2.blur(seen, (5, 5)).astype(np.float32) / np.float32(255)
    near_cover = cv2.blur(cover, (5, 5)).astype(np.float32) / np.float32(255)
    behind = cv2.min(cover, whole).astype(np.float32) / np.float32(255)
    leak, gap = (float(v) for v in rng.random(2))
    into = cover.astype(np.float32) / np.float32(255) * near_person * (1 + behind)
    return np.float32(strength) * (
        np.float32(240 * leak) * into * np.maximum(lumpy + np.float32(0.3), 0)
        - np.float32(220 * gap) * near_cover * np.maximum(np.float32(0.2) - lumpy, 0)
    )


def _missed(seen: np.ndarray, parsing: np.ndarray | None, n: int, rng: np.random.Generator) -> np.ndarray:
    """bool n x n: a visible body part of at most a third of the person, or a band of the box, that is not found."""
    if parsing is not None:
        labels = cv2.resize(parsing, (n, n), interpolation=cv2.INTER_NEAREST_EXACT)
        sizes = np.bincount(labels[seen > 127], minlength=20)[1:20]
        small = np.flatnonzero((sizes > 0) & (3 * sizes < sizes.sum()))
        if small.size:
            return labels == small[int(rng.integers(small.size))] + 1
    band = max(1, n // 6)
    out = np.zeros((n, n), bool)
    side = int(rng.integers(4))
    out[
        (slice(0, band), slice(n - band, n), slice(None), slice(None))[side],
        (slice(None), slice(None), slice(0, band), slice(n - band, n))[side],
    ] = True
    return out
