"""A complete method for deocc-bench in a package of its own: people are ellipses, and hidden parts have one colour."""

from __future__ import annotations

import numpy as np

from deocc_bench.core.types import Batch, ContentOutput, MaskOutput


class Ellipse:
    """Amodal mask: the ellipse with the moments of what is seen, grown. Content: the mean colour of what is seen.

    Args:
        grow: axes in standard deviations of the visible pixels; 2 is the ellipse of a filled ellipse.
    """

    name = "ellipse"
    version = "1.0"
    needs = ("initial",)

    def __init__(self, grow: float = 2.2) -> None:
        self.grow = grow

    def complete(self, batch: Batch) -> MaskOutput:
        """Amodal masks, bool N x H x W."""
        assert batch.initial is not None  # `needs` says so
        return MaskOutput(np.stack([mask | self._ellipse(mask) for mask in batch.initial]))

    def recover(self, batch: Batch) -> ContentOutput:
        """Recovered images, uint8 N x H x W x 3. `modal` and `amodal` are always given."""
        assert batch.modal is not None
        assert batch.amodal is not None
        out = batch.images.copy()
        for image, modal, amodal in zip(out, batch.modal, batch.amodal, strict=True):
            if modal.any():
                image[amodal & ~modal] = image[modal].mean(axis=0).round().astype(np.uint8)
        return ContentOutput(out)

    def _ellipse(self, mask: np.ndarray) -> np.ndarray:
        points = np.argwhere(mask)
        if len(points) < 3:
            return mask
        centre = points.mean(axis=0)
        # A thousandth of a pixel keeps the covariance of a straight line invertible.
        inverse = np.linalg.inv(np.cov(points.T) + 1e-3 * np.eye(2))
        offset = np.moveaxis(np.indices(mask.shape), 0, -1) - centre
        return np.einsum("...i,ij,...j->...", offset, inverse, offset) <= self.grow**2
