"""initial: the detector's mask as it is. What completion has to beat."""

from __future__ import annotations

from deocc_bench.baselines.shapes import visible_or_raise
from deocc_bench.core.types import Batch, MaskOutput


class Initial:
    """Amodal mask = initial mask.

    Source: the "raw" baseline of "Self-Supervised Scene De-occlusion" (CVPR 2020), with the masks a method really gets.
    """

    name = "initial"
    needs = ("initial",)

    def complete(self, batch: Batch) -> MaskOutput:
        """The initial masks, as amodal and as modal, bool N x H x W."""
        initial = visible_or_raise(self.name, batch.initial)
        return MaskOutput(initial.copy(), modal=initial.copy())
