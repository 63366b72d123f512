"""The square window around a person: its position in the photo, and cropping to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Window:
    """A square of the photo in pixels: left, top, side. It may extend beyond the photo."""

    x: int
    y: int
    side: int


def window(box: tuple[int, int, int, int], shift: tuple[float, float] = (0.0, 0.0), scale: float = 1.0) -> Window:
    """The square around a tight box (x0, y0, x1, y1): side max(sqrt(3 w h), 1.1 w, 1.1 h), times `scale`.

    `shift` moves its centre by a share of the side. Source: the proxy in the parent code of the paper's authors.
    """
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    side = max(math.sqrt(3 * w * h), 1.1 * w, 1.1 * h) * scale
    cx = (x0 + x1) / 2 + shift[0] * side
    cy = (y0 + y1) / 2 + shift[1] * side
    whole = max(1, math.ceil(side - 1e-6))
    return Window(round(cx - whole / 2), round(cy - whole / 2), whole)


def cut(array: np.ndarray, where: Window) -> np.ndarray:
    """Crop an H x W or H x W x C array to the window at its own resolution; 0 outside the photo."""
    out = np.zeros((where.side, where.side, *array.shape[2:]), array.dtype)
    h, w = array.shape[:2]
    x0, y0 = max(0, where.x), max(0, where.y)
    x1, y1 = min(w, where.x + where.side), min(h, where.y + where.side)
    if x1 > x0 and y1 > y0:
        out[y0 - where.y : y1 - where.y, x0 - where.x : x1 - where.x] = array[y0:y1, x0:x1]
    return out
