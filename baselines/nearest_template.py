"""nearest-template: the typical poses that explain the visible mask best, in the places where they do so."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from deocc_bench.baselines.shapes import (
    BoxRegression,
    TrainingShapes,
    enclosing,
    fitted_or_raise,
    frame_scale,
    place_grid,
    sample_grids,
    training_shapes,
    visible_or_raise,
)
from deocc_bench.core import masks
from deocc_bench.core.clustering import kmeans
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.seeding import hash64, rng
from deocc_bench.core.types import Batch, MaskOutput

# Probability that a pixel outside the body is in the initial mask: what a detector adds.
_SEEN_OUTSIDE = 0.02
# Placements this much less probable than the best change no pixel of a vote.
_NEGLIGIBLE = 1e-3


@dataclass(frozen=True)
class _Model:
    """What a training split taught. K templates, D = SIDE * SIDE cells.

    Args:
        grids: float32 K x SIDE x SIDE, share of a cell that is body.
        seen, unseen: float32 K x D, log probability that a cell of the template is in the visible mask, or not.
        share: float64 K, log frequency; aspect: float64 K, mean log(width / height) in pixels, of standard deviation
            `spread`.
        boxes: what to expect of the whole body's box. errors: float64 R x 4, the training errors of it that are used.
    """

    grids: np.ndarray
    seen: np.ndarray
    unseen: np.ndarray
    share: np.ndarray
    aspect: np.ndarray
    spread: float
    boxes: BoxRegression
    errors: np.ndarray


class NearestTemplate:
    """Templates from k-means over training silhouettes, placed by a small probabilistic model.

    A box is a hypothesis of where the whole body is: what a linear regression expects from the visible box, moved by
    one of the errors that the regression made in training. In a box, a cell inside the template is visible with
    probability `seen`, one outside it hardly ever. All templates are scored in all boxes by one matrix
    product; then the `vote` most probable placements vote by their probability (1: the best alone decides).

    Source: own placement; the templates are those of "Human De-occlusion" (CVPR 2021): 64 k-means centres of training
    amodal masks, each cropped to its tight box, at 32 x 32. Mirror images are learned from too.

    Args:
        templates: number of k-means centres.
        vote: how many placements vote.
        seen: probability that a pixel of the body is visible.
        evidence: nats that a whole visible body weighs against the priors; neighbouring pixels are no independent
            witnesses, so this is far below their number.
        boxes: how many boxes are tried.
    """

    name = "nearest-template"
    needs = ("initial", "fit")

    def __init__(
        self, templates: int = 64, vote: int = 3000, seen: float = 0.5, evidence: float = 8.0, boxes: int = 128
    ) -> None:
        self.templates, self.vote, self.boxes = int(templates), int(vote), int(boxes)
        self.seen, self.evidence = float(seen), float(evidence)
        self._model: _Model | None = None

    def fit(self, dataset: DatasetReader, split: str) -> None:
        """Learn templates, reaches and priors from `split`."""
        self.learn(training_shapes(dataset, split))

    def learn(self, shapes: TrainingShapes) -> None:
        """`fit` on silhouettes that are read already."""
        bodies = shapes.grids[shapes.first]
        bodies = np.concatenate([bodies, bodies[:, :, ::-1]])
        flat, labels = kmeans(bodies.reshape(len(bodies), -1), self.templates, rng(0, "kmeans", self.name))
        members = np.bincount(labels)
        aspects = np.tile(_log_aspect(shapes.boxes * shapes.scales)[shapes.first], 2)
        aspect = np.bincount(labels, aspects) / members
        visible = flat * self.seen + (1 - flat) * _SEEN_OUTSIDE
        # A hash order takes a fair part of the split, and the same one whatever the file lists first.
        order = sorted(range(len(shapes.boxes)), key=lambda i: hash64("box error", i))[: self.boxes]
        boxes = BoxRegression.learn(shapes)
        self._model = _Model(
            grids=flat.reshape(-1, *bodies.shape[1:]),
            seen=np.log(visible),
            unseen=np.log1p(-visible),
            share=np.log(members / members.sum()),
            aspect=aspect,
            spread=float(np.sqrt(np.mean((aspects - aspect[labels]) ** 2) + 1e-4)),
            boxes=boxes,
            errors=boxes.errors[order],
        )

    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal masks, bool N x H x W: the initial mask united with what the placed templates vote for."""
        fitted_or_raise(self.name, self._model)
        return MaskOutput(np.stack([self._complete(m) for m in visible_or_raise(self.name, batch.initial)]))

    def _complete(self, visible: np.ndarray) -> np.ndarray:
        model = self._model
        box = masks.tight_box(visible)
        if box is None or model is None:
            return visible.copy()
        expected = model.boxes.predict(box, visible.shape)
        boxes = enclosing(expected + model.errors * frame_scale(visible.shape), box)
        score = self._score(model, visible, boxes)
        count = min(self.vote, score.size)
        best = np.argpartition(score, -count, axis=None)[-count:]
        weight = np.exp(score.flat[best] - score.max())
        weight /= weight.sum()
        votes = np.zeros(visible.shape, dtype=np.float32)
        rows, columns = np.divmod(best, score.shape[1])
        for row in np.unique(rows):
            here = rows == row
            if weight[here].max() >= _NEGLIGIBLE * weight.max():
                grid = np.tensordot(weight[here].astype(np.float32), model.grids[columns[here]], axes=1)
                votes += place_grid(grid, boxes[row], visible.shape)
        return visible | (votes > 0.5)

    def _score(self, model: _Model, visible: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """float64 boxes x templates: log posterior of each placement, up to a constant."""
        cells = sample_grids(visible, boxes).reshape(len(boxes), -1)
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) / cells.shape[1]
        inside = cells @ (model.seen - model.unseen).T + model.unseen.sum(axis=1)
        total = float(visible.sum())
        left_out = (total - cells.sum(axis=1) * area) * np.log(_SEEN_OUTSIDE)
        evidence = (inside * area[:, None] + left_out[:, None]) * (self.evidence / total)
        fits = -0.5 * ((_log_aspect(boxes)[:, None] - model.aspect) / model.spread) ** 2
        return evidence + fits + model.share


def _log_aspect(boxes: np.ndarray) -> np.ndarray:
    """float64 n: log(width / height) of boxes n x 4 in pixels."""
    return np.log(np.maximum(boxes[:, 2] - boxes[:, 0], 1e-6) / np.maximum(boxes[:, 3] - boxes[:, 1], 1e-6))
