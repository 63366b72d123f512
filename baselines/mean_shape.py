"""mean-shape: the average silhouette, laid over the box that the visible part leads one to expect."""

from __future__ import annotations

import numpy as np

from deocc_bench.baselines.shapes import (
    BoxRegression,
    enclosing,
    fitted_or_raise,
    place_grid,
    training_shapes,
    visible_or_raise,
)
from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.types import Batch, MaskOutput


class MeanShape:
    """The mean of box-normalised training amodal masks, on a box grown from the visible one by linear regression.

    The regression predicts each side of the amodal box, in shares of the frame, from the four sides of the visible box;
    the prediction never cuts the visible box. Mean cells of at least `threshold` are body.

    Source: own; the usual "shape prior" baseline of amodal segmentation in its simplest form.

    Args:
        threshold: share of training bodies that must cover a cell.
    """

    name = "mean-shape"
    needs = ("initial", "fit")

    def __init__(self, threshold: float = 0.5) -> None:
        self.threshold = float(threshold)
        self.grid: np.ndarray | None = None
        self.boxes: BoxRegression | None = None

    def fit(self, dataset: DatasetReader, split: str) -> None:
        """Learn the mean silhouette (mirrored too) and the box regression from `split`."""
        shapes = training_shapes(dataset, split)
        mean = shapes.grids[shapes.first].mean(axis=0)
        self.grid = (mean + mean[:, ::-1]) / 2
        self.boxes = BoxRegression.learn(shapes)

    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal masks, bool N x H x W: the initial mask united with the placed mean silhouette."""
        fitted_or_raise(self.name, self.grid)
        return MaskOutput(np.stack([self._complete(m) for m in visible_or_raise(self.name, batch.initial)]))

    def _complete(self, visible: np.ndarray) -> np.ndarray:
        box = masks.tight_box(visible)
        if box is None or self.grid is None or self.boxes is None:
            return visible.copy()
        grown = enclosing(self.boxes.predict(box, visible.shape)[None], box)[0]
        return visible | (place_grid(self.grid, grown, visible.shape) > self.threshold)
