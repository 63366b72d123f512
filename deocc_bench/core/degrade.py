"""Degrade a mask by a known amount, for robustness sweeps and simulated detector errors.

Each degradation is a function (mask bool H x W, amount, rng) -> new mask and an entry of `DEGRADATIONS`;
`core.initial_masks` parses specs such as "lowres:28+shift:4".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core.masks import tight_box


def dilate(mask: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Dilate by a disk of `radius` pixels."""
    return cv2.dilate(_pixels(mask), _disk(radius)) > 0


def erode(mask: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Erode by a disk of `radius` pixels. The image border does not erode the mask."""
    return cv2.erode(_pixels(mask), _disk(radius)) > 0


def shift(mask: np.ndarray, distance: float, rng: np.random.Generator) -> np.ndarray:
    """Shift by `distance` pixels in a random direction."""
    angle = float(rng.random()) * 2 * np.pi
    dx, dy = round(distance * float(np.cos(angle))), round(distance * float(np.sin(angle)))
    h, w = mask.shape
    out = np.zeros_like(mask)
    if abs(dx) < w and abs(dy) < h:
        out[max(0, dy) : h + min(0, dy), max(0, dx) : w + min(0, dx)] = mask[
            max(0, -dy) : h - max(0, dy), max(0, -dx) : w - max(0, dx)
        ]
    return out


def lowres(mask: np.ndarray, resolution: float, rng: np.random.Generator) -> np.ndarray:
    """Resample through a grid of `resolution` x `resolution` cells over the tight box, as a mask head does."""
    return through_grid(mask, max(1, round(resolution)))


def through_grid(mask: np.ndarray, cells: int) -> np.ndarray:
    """Downsample the tight box of a bool H x W mask to cells x cells, then upsample and threshold it again."""
    box = tight_box(mask)
    if box is None:
        return mask.copy()
    x0, y0, x1, y1 = box
    grid = cv2.resize(_pixels(mask)[y0:y1, x0:x1] * 255, (cells, cells), interpolation=cv2.INTER_AREA)
    out = np.zeros_like(mask)
    out[y0:y1, x0:x1] = cv2.resize(grid, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) >= 128
    return out


def polygon(mask: np.ndarray, tolerance: float, rng: np.random.Generator) -> np.ndarray:
    """Simplify the outline to a polygon within `tolerance` pixels (Douglas-Peucker). Holes are filled."""
    contours, _ = cv2.findContours(_pixels(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(c, tolerance, True) for c in contours]
    return cv2.fillPoly(np.zeros(mask.shape, np.uint8), simple, 1) > 0 if simple else mask.copy()


def drop(mask: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Remove `share` of the area: the pixels nearest to a random one, like a missed hand or foot."""
    ys, xs = np.nonzero(mask)
    count = round(share * ys.size)
    if count == 0:
        return mask.copy()
    seed = int(rng.integers(ys.size))
    away = (ys - ys[seed]) ** 2 + (xs - xs[seed]) ** 2
    gone = np.argsort(away, kind="stable")[:count]
    out = mask.copy()
    out[ys[gone], xs[gone]] = False
    return out


def perfect(mask: np.ndarray, _: float, rng: np.random.Generator) -> np.ndarray:
    """Return an unchanged copy."""
    return mask.copy()


def _pixels(mask: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(mask).view(np.uint8)


def _disk(radius: float) -> np.ndarray:
    n = int(np.ceil(radius))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    return (x * x + y * y <= radius * radius + 0.25).astype(np.uint8)


@dataclass(frozen=True)
class Degradation:
    """A degradation: its function, the default amount, and the range of amounts."""

    function: Callable[[np.ndarray, float, np.random.Generator], np.ndarray]
    default: float
    low: float
    high: float


DEGRADATIONS: dict[str, Degradation] = {
    "perfect": Degradation(perfect, 0, 0, 0),
    "dilate": Degradation(dilate, 3, 0, 128),
    "erode": Degradation(erode, 3, 0, 128),
    "shift": Degradation(shift, 4, 0, 1024),
    "lowres": Degradation(lowres, 28, 2, 1024),
    "polygon": Degradation(polygon, 2, 0, 128),
    "drop": Degradation(drop, 0.1, 0, 1),
}
