"""Filters for good occluders. Annotated instances are often fragments of objects; these are rejected and listed."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

# Categories whose annotations are nearly always fragments: a table below its dishes, a bed below a sleeper.
SLICED = frozenset(
    {"dining table", "bed", "oven", "toilet", "sink", "refrigerator", "couch", "microwave", "tv", "toaster", "train"}
)


@dataclass(frozen=True)
class OccluderFilter:
    """Conditions on an instance. Lengths are pixels of its photo.

    Args:
        min_area: minimum area of the mask, pixels.
        min_side: minimum side of the bounding box.
        frame_margin: a box closer to the photo's edge than this counts as cut by the frame.
        max_holes: maximum share of holes in the filled outline.
        min_solidity: minimum mask area over convex hull area.
        min_largest: minimum share of the area in the largest connected component.
        max_touching: maximum share of the outline next to other instances, where the depth order is unknown.
        excluded: excluded categories, in lower case; capitals in the annotations make no difference.
        persons: allow people as occluders (their category stays "person").
    """

    min_area: int = 2000
    min_side: int = 30
    frame_margin: float = 4.0
    max_holes: float = 0.12
    min_solidity: float = 0.4
    min_largest: float = 0.92
    max_touching: float = 0.3
    excluded: frozenset[str] = SLICED
    persons: bool = True

    def reject_box(
        self, category: str, area: float, box: tuple[float, float, float, float], height: int, width: int
    ) -> str | None:
        """The reason to reject an instance from its record (box as x, y, w, h), or None."""
        x, y, w, h = box
        category = category.strip().lower()
        if category in self.excluded:
            return "category left out"
        if category == "person" and not self.persons:
            return "a person"
        if area < self.min_area or min(w, h) < self.min_side:
            return f"too small ({w:.0f} x {h:.0f} px)"
        m = self.frame_margin
        if x < m or y < m or x + w > width - m or y + h > height - m:
            return "cut by the frame"
        return None

    def reject_mask(self, mask: np.ndarray) -> str | None:
        """The reason to reject an instance from the shape of its bool H x W mask, or None."""
        shape = measure(mask)
        if shape.area < self.min_area:
            return f"too small (area {shape.area} px)"
        if shape.largest < self.min_largest:
            return f"fragmented (largest part {shape.largest:.2f})"
        if shape.holes > self.max_holes:
            return f"holed ({shape.holes:.2f})"
        if shape.solidity < self.min_solidity:
            return f"not solid ({shape.solidity:.2f})"
        return None

    def reject_neighbours(self, mask: np.ndarray, others: np.ndarray) -> str | None:
        """The reason to reject an instance whose `mask` has `others` (bool H x W) near its outline, or None."""
        share = touching(mask, others)
        return f"cut by another instance ({share:.2f})" if share > self.max_touching else None


@dataclass(frozen=True)
class Shape:
    """Area in pixels; share of the largest component; share of holes in the filled outline; area over hull area."""

    area: int
    largest: float
    holes: float
    solidity: float


def measure(mask: np.ndarray) -> Shape:
    """The shape of a bool H x W mask; all zero for an empty mask."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    area = int(cv2.countNonZero(pixels))
    if area == 0:
        return Shape(0, 0.0, 0.0, 0.0)
    contours, _ = cv2.findContours(pixels, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    filled = cv2.countNonZero(cv2.drawContours(np.zeros_like(pixels), contours, -1, 1, cv2.FILLED))
    hull = cv2.fillConvexPoly(np.zeros_like(pixels), cv2.convexHull(np.concatenate(contours)), 1)
    largest = area
    # Components are labelled only if there are several; one may lie inside a hole of another.
    if len(contours) > 1 or filled != area:
        stats = cv2.connectedComponentsWithStats(pixels, connectivity=8)[2]
        largest = int(stats[1:, cv2.CC_STAT_AREA].max())
    return Shape(
        area=area,
        largest=largest / area,
        holes=1 - area / int(filled),
        solidity=area / int(cv2.countNonZero(hull)),
    )


def touching(mask: np.ndarray, others: np.ndarray, reach: int = 3) -> float:
    """The share of the outline pixels of `mask` that are within `reach` pixels of `others`."""
    pixels = np.ascontiguousarray(mask).view(np.uint8)
    # What lies beyond the array is background.
    inner = cv2.erode(pixels, np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    outline = pixels & ~inner
    near = cv2.dilate((others & ~mask).view(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return cv2.countNonZero(outline & near) / max(1, cv2.countNonZero(outline))
