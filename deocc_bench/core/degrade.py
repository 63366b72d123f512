"""Ways to damage a mask by a known amount: for robustness sweeps and for modelled detector errors.

Each is a function (mask bool H x W, amount, rng) -> new mask, and a row of `DEGRADATIONS`; `core.initial_masks` reads
specs such as "lowres:28+shift:4".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core.masks import tight_box


def dilate(mask: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Grow by `radius` pixels (a disk)."""
    return cv2.dilate(_pixels(mask), _disk(radius)) > 0


def erode(mask: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Shrink by `radius` pixels (a disk). The picture's edge does not shrink it."""
    return cv2.erode(_pixels(mask), _disk(radius)) > 0


def shift(mask: np.ndarray, distance: float, rng: np.random.Generator) -> np.ndarray:
    """Move by `distance` pixels in a random direction."""
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
    """Through a grid of `resolution` x `resolution` cells over the tight box, as a mask head predicts it."""
    return through_grid(mask, max(1, round(resolution)))


def through_grid(mask: np.ndarray, cells: int) -> np.ndarray:
    """bool H x W -> what is left of it after averaging over cells x cells of its tight box and enlarging again."""
    box = tight_box(mask)
    if box is None:
        return mask.copy()
    x0, y0, x1, y1 = box
    grid = cv2.resize(_pixels(mask)[y0:y1, x0:x1] * 255, (cells, cells), interpolation=cv2.INTER_AREA)
    out = np.zeros_like(mask)
    out[y0:y1, x0:x1] = cv2.resize(grid, (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR) >= 128
    return out


def polygon(mask: np.ndarray, tolerance: float, rng: np.random.Generator) -> np.ndarray:
    """The outline as straight lines that stay within `tolerance` pixels (Douglas-Peucker). Holes are filled."""
    contours, _ = cv2.findContours(_pixels(mask), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    simple = [cv2.approxPolyDP(c, tolerance, True) for c in contours]
    return cv2.fillPoly(np.zeros(mask.shape, np.uint8), simple, 1) > 0 if simple else mask.copy()


def drop(mask: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Take away `share` of the area: the pixels nearest to a random one, as a missed hand or foot."""
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
    """The mask as it is."""
    return mask.copy()


def _pixels(mask: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(mask).view(np.uint8)


def _disk(radius: float) -> np.ndarray:
    n = int(np.ceil(radius))
    y, x = np.mgrid[-n : n + 1, -n : n + 1]
    return (x * x + y * y <= radius * radius + 0.25).astype(np.uint8)


@dataclass(frozen=True)
class Degradation:
    """One row: the function, the amount it has unless given, and the range of amounts."""

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
