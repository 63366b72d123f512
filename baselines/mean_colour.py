"""mean-colour: each hidden body part in the mean colour of what is seen of it."""

from __future__ import annotations

import numpy as np

from deocc_bench.baselines.fills import regions
from deocc_bench.core.labels import LIP
from deocc_bench.core.types import Batch, ContentOutput

_OTHER_SIDE = LIP.flip_table()


class MeanColour:
    """The hole, part by part: the mean visible colour of that part, else of its mirror part, else of the whole person.

    Without parsing the mean colour of the whole visible person is used: on datasets that have none, and in task joint
    behind a mask method that gives none (`chain:convex-hull+mean-colour`), so there the number says less. Source: own.
    """

    name = "mean-colour"
    # Parsing is used where the batch has it, and asked of nobody.
    needs: tuple[str, ...] = ()

    def recover(self, batch: Batch) -> ContentOutput:
        """The images with the holes painted, uint8 N x H x W x 3; with nobody visible the image stays."""
        visible, holes = regions(self.name, batch)
        out = batch.images.copy()
        for i in range(len(batch)):
            if holes[i].any() and visible[i].any():
                parts = np.zeros(holes[i].shape, np.uint8) if batch.parsing is None else batch.parsing[i]
                out[i][holes[i]] = _colours(batch.images[i], parts, visible[i])[parts[holes[i]]]
        return ContentOutput(out)


def _colours(image: np.ndarray, parts: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """uint8 256 x 3: the colour of each label id."""
    labels, pixels = parts[visible], image[visible].astype(np.float64)
    counts = np.bincount(labels, minlength=256).astype(np.float64)
    sums = np.stack([np.bincount(labels, pixels[:, c], minlength=256) for c in range(3)], axis=1)
    # Background and "don't know" are no parts: the whole person's colour stands for them.
    counts[[0, 255]] = 0
    own = counts > 0
    means = np.where(own[:, None], sums / np.maximum(counts, 1)[:, None], 0)
    mirrored = ~own & own[_OTHER_SIDE]
    means[mirrored] = means[_OTHER_SIDE][mirrored]
    means[~own & ~mirrored] = pixels.mean(axis=0)
    return np.rint(means).astype(np.uint8)
