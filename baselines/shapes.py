"""What the shape baselines share: masks seen through a box, templates put back, and what a training split teaches.

A mask "in its box" is a grid of `SIDE` x `SIDE` cells over the box, each holding the share of the cell that is mask, so
that bodies of any size and place compare cell by cell.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError, UsageError

SIDE = 32
# Ridge weight: keeps the regression finite when a split has a handful of samples.
_RIDGE = 1e-3


@dataclass(frozen=True)
class TrainingShapes:
    """Silhouettes of a training split, in sorted order of sample ids.

    Args:
        grids: float32 n x SIDE x SIDE, amodal masks in their tight boxes.
        boxes: float64 n x 4, amodal boxes (x0, y0, x1, y1), end exclusive, in shares of the frame's width and height.
        visible_boxes: float64 n x 4, the same of the visible part.
        scales: float64 n x 4, (W, H, W, H) of the frames, pixels.
        first: bool n, true for the first sample of each human: variants show one body several times.
    """

    grids: np.ndarray
    boxes: np.ndarray
    visible_boxes: np.ndarray
    scales: np.ndarray
    first: np.ndarray


def training_shapes(dataset: DatasetReader, split: str) -> TrainingShapes:
    """Read the silhouettes of `split`; samples of which nothing is seen are left out.

    Raises:
        InputError: no sample is usable.
    """
    grids, boxes, visible_boxes, scales, first = [], [], [], [], []
    seen: set[str] = set()
    for record in dataset.records(split):
        amodal = masks.decode(record.amodal)
        box = masks.tight_box(amodal)
        visible_box = masks.tight_box(masks.decode(record.initial or record.modal))
        if box is None or visible_box is None:
            continue
        scale = frame_scale(record.size)
        grids.append(sample_grids(amodal, np.array([box], dtype=np.float64))[0])
        boxes.append(np.array(box) / scale)
        visible_boxes.append(np.array(visible_box) / scale)
        scales.append(scale)
        first.append(record.human_id not in seen)
        seen.add(record.human_id)
    if not grids:
        raise InputError(dataset.root, f"split {split!r} has no visible person to learn from", "give another split")
    return TrainingShapes(np.stack(grids), np.stack(boxes), np.stack(visible_boxes), np.stack(scales), np.array(first))


def sample_grids(mask: np.ndarray, boxes: np.ndarray, side: int = SIDE) -> np.ndarray:
    """The mask seen through each box: exact cell means, from the integral image read between its nodes.

    Args:
        mask: bool H x W. boxes: float64 n x 4 (x0, y0, x1, y1) in pixels; they may leave the frame.

    Returns:
        float32 n x side x side in [0, 1]; outside the frame there is no mask.
    """
    height, width = mask.shape
    integral = cv2.integral(mask.astype(np.uint8), sdepth=cv2.CV_64F)
    steps = np.linspace(0.0, 1.0, side + 1)
    xs = np.clip(boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * steps, 0, width)
    ys = np.clip(boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps, 0, height)
    x, y = np.minimum(xs.astype(np.int64), width - 1), np.minimum(ys.astype(np.int64), height - 1)
    fx, fy = (xs - x)[:, None, :], (ys - y)[:, :, None]
    rows, columns = y[:, :, None], x[:, None, :]
    top = integral[rows, columns] * (1 - fx) + integral[rows, columns + 1] * fx
    bottom = integral[rows + 1, columns] * (1 - fx) + integral[rows + 1, columns + 1] * fx
    sums = np.diff(np.diff(top * (1 - fy) + bottom * fy, axis=1), axis=2)
    cell = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / side**2
    return (sums / np.maximum(cell, 1e-9)[:, None, None]).astype(np.float32)


def place_grid(grid: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A grid drawn over its box in a frame, interpolated between cell centres; zero outside the box.

    Args:
        grid: float32 side x side. box: (x0, y0, x1, y1) in pixels. shape: (H, W) of the frame.

    Returns:
        float32 H x W.
    """
    side = grid.shape[0]
    sx, sy = side / max(box[2] - box[0], 1e-6), side / max(box[3] - box[1], 1e-6)
    # Pixel centres -> cell centres. A frame of zeros makes the silhouette end within half a cell of the box.
    matrix = np.array(
        [[sx, 0, (0.5 - box[0]) * sx - 0.5 + 1], [0, sy, (0.5 - box[1]) * sy - 0.5 + 1]], dtype=np.float64
    )
    framed = np.pad(grid.astype(np.float32), 1)
    return cv2.warpAffine(framed, matrix, shape[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def visible_or_raise(method: str, initial: np.ndarray | None) -> np.ndarray:
    """The batch's initial masks, bool N x H x W.

    Raises:
        UsageError: the batch has none.
    """
    if initial is None:
        raise UsageError(f"{method} completes an initial mask, but the batch has none; give the dataset one")
    return initial


def fitted_or_raise(method: str, value: object) -> None:
    """Raise a UsageError when `value`, what the method learned, is None."""
    if value is None:
        raise UsageError(f"{method} has learned nothing yet; call fit(dataset, split) first")


@dataclass(frozen=True)
class BoxRegression:
    """From the visible box to the amodal one: linear, in shares of the frame, with the errors it made in training.

    Args:
        weights: float64 5 x 4, of the visible box's four sides and one.
        errors: float64 n x 4, true minus predicted sides of the training samples.
    """

    weights: np.ndarray
    errors: np.ndarray

    @classmethod
    def learn(cls, shapes: TrainingShapes) -> BoxRegression:
        """Ridge regression over the training boxes."""
        x = _with_one(shapes.visible_boxes)
        weights = np.linalg.solve(x.T @ x + _RIDGE * np.eye(x.shape[1]), x.T @ shapes.boxes)
        return cls(weights, shapes.boxes - x @ weights)

    def predict(self, box: tuple[int, int, int, int], shape: tuple[int, int]) -> np.ndarray:
        """float64 4: the expected amodal box in pixels, for the visible `box` in a frame of `shape` (H, W)."""
        scale = frame_scale(shape)
        expected: np.ndarray = (_with_one(np.array([box]) / scale) @ self.weights)[0] * scale
        return expected


def frame_scale(shape: tuple[int, int]) -> np.ndarray:
    """float64 4: (W, H, W, H), what turns a box in shares of the frame into pixels."""
    height, width = shape
    return np.array([width, height, width, height], dtype=np.float64)


def enclosing(boxes: np.ndarray, box: tuple[int, int, int, int]) -> np.ndarray:
    """float64 n x 4: each of `boxes` grown where it cuts `box`."""
    return np.hstack([np.minimum(boxes[:, :2], box[:2]), np.maximum(boxes[:, 2:], box[2:])])


def _with_one(boxes: np.ndarray) -> np.ndarray:
    return np.hstack([boxes, np.ones((len(boxes), 1))])
