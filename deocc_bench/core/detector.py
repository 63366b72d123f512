"""A model of the mask that an instance-segmentation network predicts for the visible person.

It imitates a mask head: a slightly wrong box and a soft mask on a 28 x 28 grid inside it, which is upsampled and
thresholded at 0.5. On that grid the mask leaks into the occluder, stops short of its boundary, or misses a body part.
"""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.core import degrade as damage
from deocc_bench.core.masks import tight_box

DEFAULT_STRENGTH = 0.5
_HEAD = 28  # grid cells at the default strength, the size of the mask head of Mask R-CNN


def detector_mask(
    modal: np.ndarray,
    strength: float,
    rng: np.random.Generator,
    *,
    amodal: np.ndarray,
    occluder: np.ndarray,
    parsing: np.ndarray | None = None,
) -> np.ndarray:
    """Simulate the mask of the visible person that a detector predicts.

    Args:
        modal: bool H x W, the true visible mask.
        strength: 0 returns the modal mask, 0.5 models a typical detector, 1 a bad one.
        rng: the only source of randomness.
        amodal: bool H x W.
        occluder: bool H x W, union of the occluders in front.
        parsing: uint8 H x W, LIP ids; without it, a missed part is a strip along one side of the box.

    Returns:
        bool H x W; empty only if `modal` is empty.
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
    lumpy = _noise(n, 6, rng)  # low spatial frequency, -1..1
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
    """The tight box with each side moved by a few per cent, outwards on average; clipped to the frame."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    left, top, right, bottom = (float(v) for v in 0.03 * strength * rng.standard_normal(4) + 0.01)
    height, width = shape[:2]
    x0, x1 = max(0, round(x0 - left * w)), min(width, round(x1 + right * w))
    y0, y1 = max(0, round(y0 - top * h)), min(height, round(y1 + bottom * h))
    return (x0, y0, x1, y1) if x1 - x0 > 1 and y1 - y0 > 1 else box


def _grid(mask: np.ndarray, n: int) -> np.ndarray:
    """Average the mask over n x n cells, uint8 0..255."""
    pixels = np.ascontiguousarray(mask).view(np.uint8) * np.uint8(255)
    return cv2.resize(pixels, (n, n), interpolation=cv2.INTER_AREA)


def _noise(n: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise in [-1, 1], float32 n x n. Drawn and upsampled as bytes, so it is identical on all processors."""
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
    """Change of the logits near the occluder: a gap along its boundary in some places, a leak into it in others.

    The leak is stronger where the occluder hides the person, because a detector guesses there.
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
    """bool n x n: the missed region, a visible body part of less than a third of the person or a strip of the box."""
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
