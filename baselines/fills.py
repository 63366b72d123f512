"""What the content baselines share: where to paint, what may be looked at, and the nearest visible colour."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch, ContentOutput

# (image uint8 H x W x 3, visible person bool H x W, hole bool H x W) -> uint8 H x W x 3; only the hole is looked at.
Fill = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def regions(method: str, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """(visible person, invisible region to paint), bool N x H x W each.

    Raises:
        UsageError: the batch lacks the modal or the amodal masks.
    """
    if batch.modal is None or batch.amodal is None:
        raise UsageError(f"{method} paints inside the amodal mask, but the batch lacks the modal or amodal masks")
    return batch.modal & batch.amodal, batch.amodal & ~batch.modal


def fill_each(method: str, batch: Batch, fill: Fill) -> ContentOutput:
    """Paint every sample's hole with `fill`. Without a hole, or with nobody visible to copy from, the image stays."""
    visible, holes = regions(method, batch)
    out = batch.images.copy()
    for i in range(len(batch)):
        if holes[i].any() and visible[i].any():
            window = surroundings(visible[i] | holes[i])
            painted = fill(batch.images[i][window], visible[i][window], holes[i][window])
            out[i][window][holes[i][window]] = painted[holes[i][window]]
    return ContentOutput(out)


def surroundings(mask: np.ndarray, margin: int = 8) -> tuple[slice, slice]:
    """The window (rows, columns) of a non-empty mask's box, `margin` pixels wider, inside the frame."""
    box = masks.tight_box(mask)
    if box is None:
        raise ValueError("an empty mask has no surroundings")
    x0, y0, x1, y1 = box
    height, width = mask.shape
    return (
        slice(max(0, y0 - margin), min(height, y1 + margin)),
        slice(max(0, x0 - margin), min(width, x1 + margin)),
    )


def extend(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """The image with every pixel outside `known` replaced by the nearest known one.

    Keeps the colours of occluder and background from leaking into what is computed from the person's neighbourhood.

    Args:
        image: H x W x C, any dtype. known: bool H x W, not empty.
    """
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    # Each known pixel bears a label of its own; invert that to "label -> flat index".
    index = np.zeros(int(labels.max()) + 1, dtype=np.int64)
    flat = np.flatnonzero(known)
    index[labels.ravel()[flat]] = flat
    return image.reshape(-1, image.shape[2])[index[labels]]
