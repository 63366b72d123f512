"""modal: the floor. The whole body is said to be its visible part."""

from __future__ import annotations

from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch, MaskOutput


class Modal:
    """Amodal mask = true modal mask, so its invisible IoU is exactly 0: nothing invisible is ever claimed.

    A row for reference: it is told the truth about the visible part, as `oracle` is about everything.

    Source: the "raw" baseline of "Self-Supervised Scene De-occlusion" (CVPR 2020), with true modal masks.
    """

    name = "modal"
    needs = ("modal",)

    def complete(self, batch: Batch) -> MaskOutput:
        """The modal masks, as amodal and as modal, bool N x H x W.

        Raises:
            UsageError: the batch has no modal masks.
        """
        if batch.modal is None:
            raise UsageError("modal repeats the true modal mask, but the batch has none")
        return MaskOutput(batch.modal.copy(), modal=batch.modal.copy())
