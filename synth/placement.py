"""Occluders positioned in the frame, fixed or movable."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from deocc_bench.synth import overlap
from deocc_bench.synth.crop import Crop
from deocc_bench.synth.occluders.cutout import Pose, PreparedOccluder, edge, fade, warp, with_alpha

MIN_VISIBLE = 24  # minimum number of visible pixels of an occluder


@dataclass(frozen=True, eq=False)
class PlacedCutout:
    """A warped occluder at its final position.

    Args:
        occluder: the occluder.
        pose: scale, angle and flip.
        patch: uint8 h x w x 4, premultiplied RGBA: the part within the photo.
        x, y: frame coordinates of the top left pixel of the patch.
        box: box of the whole occluder, (x0, y0, x1, y1) in the frame; it may extend beyond the frame.
        behind: whether it is behind the person.
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
    """An occluder warped near its position, with a margin beyond the photo so that it can be moved by `reach` pixels.

    `x`, `y`: position of the patch; `box`: box of the whole occluder.
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
        """Warp the part that is in or near the photo when placed at (x, y); None if there is no such part."""
        height, width = pose.extent(occluder)
        left, top, right, bottom = scene.frame
        reach = scene.cell + 2
        spare = reach + 4  # the border of the warped region must not be mistaken for the edge of the occluder
        x0, y0 = max(0, left - x - spare), max(0, top - y - spare)
        x1, y1 = min(width, right - x + spare), min(height, bottom - y + spare)
        if x1 <= x0 or y1 <= y0:
            return None
        patch = warp(occluder, pose, (x0, y0, x1, y1))
        alpha = edge(patch, feather)
        return cls(occluder, pose, patch, alpha, _hard(alpha), x + x0, y + y0, (x, y, x + width, y + height), reach)

    def place(self, dx: int, dy: int, scene: Crop, *, behind: bool) -> PlacedCutout:
        """Move it by (dx, dy) and clip it to the photo."""
        left, top, right, bottom = scene.frame
        x, y = self.x + dx, self.y + dy
        h, w = self.alpha.shape
        x0, y0 = min(w - 1, max(0, left - x)), min(h - 1, max(0, top - y))
        part = (slice(y0, max(y0 + 1, min(h, bottom - y))), slice(x0, max(x0 + 1, min(w, right - x))))
        # Fade after clipping, so that no soft edge remains of a mask outside the photo.
        patch = with_alpha(self.patch[part], fade(self.alpha[part]))
        bx0, by0, bx1, by1 = self.box
        box = (bx0 + dx, by0 + dy, bx1 + dx, by1 + dy)
        return PlacedCutout(self.occluder, self.pose, patch, x + x0, y + y0, box, behind)


def subtract(pixels: np.ndarray, cutout: PlacedCutout) -> None:
    """Remove the pixels of an occluder from a uint8 0 / 255 H x W mask, in place."""
    h, w = cutout.hard.shape
    view = pixels[cutout.y : cutout.y + h, cutout.x : cutout.x + w]
    cv2.subtract(view, cutout.hard, dst=view)


def lowest_first(placements: list[PlacedCutout], clear: np.ndarray) -> list[PlacedCutout]:
    """Sort occluders nearest first: lower in the image is nearer. Keep the order if sorting would hide one of them.

    Args:
        placements: in an order in which enough of each is visible.
        clear: uint8 0 / 255 H x W, pixels with nothing in front.
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
    """Threshold uint8 alpha at 0.5, to 0 / 255."""
    return cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)[1]
