"""An occluder at its place in the frame, fixed or still to be moved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from deocc_bench.synth import overlap
from deocc_bench.synth.crop import Crop
from deocc_bench.synth.occluders.cutout import Pose, PreparedOccluder, edge, fade, warp, with_alpha

MIN_VISIBLE = 24  # pixels of an occluder that must be seen


@dataclass(frozen=True, eq=False)
class PlacedCutout:
    """An occluder, warped, at its place.

    Args:
        occluder: what it is.
        pose: how it is drawn.
        patch: uint8 h x w x 4, RGBA premultiplied: the part of it within the photo.
        x, y: pixel of the frame where the patch's top left goes.
        box: the whole of it, (x0, y0, x1, y1) in the frame; it may stick out.
        behind: it stands behind the person.
    """

    occluder: PreparedOccluder
    pose: Pose
    patch: np.ndarray
    x: int
    y: int
    box: tuple[int, int, int, int]
    behind: bool = False

    @cached_property
    def hard(self) -> np.ndarray:
        """uint8 0 / 255 h x w: alpha of at least 0.5."""
        return _hard(cv2.extractChannel(self.patch, 3))


@dataclass(frozen=True)
class MovableCutout:
    """An occluder warped about its place, with enough beyond the photo's edge to be moved by `reach` pixels.

    `x`, `y` is the patch's place; `box` that of the whole occluder.
    """

    occluder: PreparedOccluder
    pose: Pose
    patch: np.ndarray
    alpha: np.ndarray
    hard: np.ndarray
    x: int
    y: int
    box: tuple[int, int, int, int]
    reach: int

    @classmethod
    def warped(
        cls, occluder: PreparedOccluder, pose: Pose, x: int, y: int, *, scene: Crop, feather: float
    ) -> MovableCutout | None:
        """The part that lies in the photo, or near it, at (x, y); None where nothing does."""
        height, width = pose.extent(occluder)
        left, top, right, bottom = scene.frame
        reach = scene.cell + 2
        spare = reach + 4  # the edge of the warped region must not be taken for the occluder's own
        x0, y0 = max(0, left - x - spare), max(0, top - y - spare)
        x1, y1 = min(width, right - x + spare), min(height, bottom - y + spare)
        if x1 <= x0 or y1 <= y0:
            return None
        patch = warp(occluder, pose, (x0, y0, x1, y1))
        alpha = edge(patch, feather)
        return cls(occluder, pose, patch, alpha, _hard(alpha), x + x0, y + y0, (x, y, x + width, y + height), reach)

    def placed(self, dx: int, dy: int, scene: Crop, *, behind: bool) -> PlacedCutout:
        """It after a last move, cut to the photo."""
        left, top, right, bottom = scene.frame
        x, y = self.x + dx, self.y + dy
        h, w = self.alpha.shape
        x0, y0 = min(w - 1, max(0, left - x)), min(h - 1, max(0, top - y))
        part = (slice(y0, max(y0 + 1, min(h, bottom - y))), slice(x0, max(x0 + 1, min(w, right - x))))
        # After the cut: a rim whose mask is out of the photo has nothing to be the rim of.
        patch = with_alpha(self.patch[part], fade(self.alpha[part]))
        bx0, by0, bx1, by1 = self.box
        box = (bx0 + dx, by0 + dy, bx1 + dx, by1 + dy)
        return PlacedCutout(self.occluder, self.pose, patch, x + x0, y + y0, box, behind)


def subtract(pixels: np.ndarray, placed: PlacedCutout) -> None:
    """Take the placed occluder's pixels out of a uint8 0 / 255 H x W mask, in place."""
    h, w = placed.hard.shape
    view = pixels[placed.y : placed.y + h, placed.x : placed.x + w]
    cv2.subtract(view, placed.hard, dst=view)


def lowest_first(placements: list[PlacedCutout], clear: np.ndarray) -> list[PlacedCutout]:
    """Nearest first: what stands lower in the picture is nearer, unless that hides a neighbour; then as given.

    Args:
        placements: in an order in which enough is seen of each.
        clear: uint8 0 / 255 H x W, where nothing stands before them.
    """
    ordered = sorted(placements, key=lambda p: -p.box[3])
    return ordered if ordered == placements or _all_seen(ordered, clear.copy()) else placements


def _all_seen(placements: list[PlacedCutout], clear: np.ndarray) -> bool:
    for p in placements:
        if overlap.exact(clear, p.hard, p.x, p.y) < MIN_VISIBLE:
            return False
        subtract(clear, p)
    return True


def _hard(alpha: np.ndarray) -> np.ndarray:
    """uint8 0 / 255: alpha of at least 0.5."""
    return cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)[1]
