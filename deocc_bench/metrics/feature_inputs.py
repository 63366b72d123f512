"""Input pictures of feature networks: the whole picture, or only the person."""

from __future__ import annotations

import cv2
import numpy as np

VIEW_SIDE = 256
DISTRIBUTION_REGIONS: tuple[str, ...] = ("image", "human")


def region_view(image: np.ndarray, mask: np.ndarray, side: int = VIEW_SIDE) -> np.ndarray | None:
    """Crop to the tight box of `mask`, black outside the mask, padded to a centred square, resized, 8 bit.

    Downscaling averages areas, upscaling is bilinear; both are part of the definition of `fid_human`, `kid_human` and
    `lpips_human`.

    Args:
        image: uint8 (H, W, 3).
        mask: bool (H, W).

    Returns:
        uint8 (side, side, 3), or None where the mask is empty.
    """
    x, y, w, h = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    if not w or not h:
        return None
    edge = max(w, h)
    square = np.zeros((edge, edge, 3), np.uint8)
    top, left = (edge - h) // 2, (edge - w) // 2
    square[top : top + h, left : left + w] = image[y : y + h, x : x + w] * mask[y : y + h, x : x + w, None]
    method = cv2.INTER_AREA if edge > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(square, (side, side), interpolation=method))


def distribution_view(picture: np.ndarray, amodal: np.ndarray, region: str) -> np.ndarray | None:
    """Input of the distribution distances for a ground truth or composite (uint8 H x W x 3); None without a person.

    Args:
        amodal: the true amodal mask, bool (H, W), for both ground truth and composite.
        region: "image" or "human".
    """
    return picture if region == "image" else region_view(picture, amodal)
