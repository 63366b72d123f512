"""Checks polygons from annotation files and clips those that reach far beyond their image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deocc_bench.core.errors import DeoccError

_MOST_NUMBERS = 2_000_000  # coordinates of one segmentation
# The rasteriser walks along every outline in steps of a fifth of a pixel and stores each step.
_LONGEST_OUTLINE = 20_000_000  # pixels
_FAR = 16  # image sides; an outline within this distance is drawn as it is
_MARGIN = 8  # pixels around the image that clipping keeps


def polygons_of(segmentation: list[Any]) -> list[Any]:
    """The polygons of three points or more in a COCO segmentation; a flat list of numbers is one polygon.

    Raises:
        DeoccError: something else than lists is among the polygons.
    """
    polygons = segmentation if segmentation and isinstance(segmentation[0], list | tuple) else [segmentation]
    if any(not isinstance(p, list | tuple) for p in polygons):
        raise DeoccError("a polygon is a list of numbers [x, y, x, y, ...]")
    return [p for p in polygons if len(p) >= 6]


def bounded(polygons: Sequence[Any], height: int, width: int) -> list[list[float]]:
    """Return the polygons as lists of floats that can be rasterised at once.

    Args:
        polygons: flat lists [x, y, x, y, ...] in pixels. Those that are clipped away are dropped.

    Raises:
        DeoccError: a polygon has an odd number of coordinates, fewer than six, or one that is not a finite number.
    """
    if sum(len(p) for p in polygons) > _MOST_NUMBERS:
        raise DeoccError(f"an outline with more than {_MOST_NUMBERS:,} coordinates")
    limit = _FAR * max(height, width, 64)
    drawn: list[list[float]] = []
    longest = 0.0
    for polygon in polygons:
        points = _points(polygon)
        reach = float(np.abs(points).max())
        if reach > limit:
            points = _clipped(points, height, width)
        if len(points) < 3:
            continue
        longest += len(points) * 2 * reach
        drawn.append(points.ravel().tolist())
    # The exact length takes longer than all other checks, and ordinary outlines are far from the limit.
    if longest > _LONGEST_OUTLINE:
        length = sum(_length(outline) for outline in drawn)
        if length > _LONGEST_OUTLINE:
            raise DeoccError(f"an outline {length:,.0f} pixels long in an image of {height} x {width}")
    return drawn


def _length(outline: Sequence[float]) -> float:
    """Steps of the rasteriser: the larger of the horizontal and the vertical distance, summed over the edges."""
    points = np.array(outline).reshape(-1, 2)
    return float(np.abs(np.diff(points, axis=0, append=points[:1])).max(axis=1).sum())


def _points(polygon: Sequence[Any]) -> np.ndarray:
    """float64 N x 2."""
    if len(polygon) % 2:
        raise DeoccError(f"a polygon has {len(polygon)} numbers, not pairs")
    if len(polygon) < 6:
        raise DeoccError("a polygon has fewer than three points")
    try:
        points = np.array(polygon)
        if points.dtype.kind not in "if":
            # Annotation tools write numbers as text; true, null and lists are no coordinates.
            if any(not isinstance(v, int | float | str) or isinstance(v, bool) for v in polygon):
                raise DeoccError("a polygon is a list of numbers [x, y, x, y, ...]")
            points = np.array([float(v) for v in polygon])
    except (ValueError, OverflowError) as error:
        raise DeoccError(f"a polygon has a coordinate that is not a number ({str(error)[:60]})") from error
    points = points.astype(np.float64).reshape(-1, 2)
    if not np.isfinite(points).all():
        raise DeoccError("a polygon contains NaN or infinity")
    return points


def _clipped(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Clip to the image and a margin: Sutherland and Hodgman 1974, one side after the other."""
    for axis, bound, sign in ((0, -_MARGIN, 1), (0, width + _MARGIN, -1), (1, -_MARGIN, 1), (1, height + _MARGIN, -1)):
        if not len(points):
            break
        # Signed distance to the side; positive is inside. Halved, so that a difference can't overflow.
        depth = sign * (points[:, axis] / 2 - bound / 2)
        following, next_depth = np.roll(points, -1, axis=0), np.roll(depth, -1)
        kept: list[np.ndarray] = []
        for a, b, da, db in zip(points, following, depth, next_depth, strict=True):
            if da >= 0:
                kept.append(a)
            if (da >= 0) != (db >= 0):
                share = da / (da - db)
                crossing = a * (1 - share) + b * share
                crossing[axis] = bound
                kept.append(crossing)
        points = np.array(kept, np.float64).reshape(-1, 2)
    return points
