"""copy: the floor of content recovery. The occluded image, as it is."""

from __future__ import annotations

from deocc_bench.core.types import Batch, ContentOutput


class Copy:
    """Recovered image = input image: the occluder stays. Source: own."""

    name = "copy"
    needs: tuple[str, ...] = ()

    def recover(self, batch: Batch) -> ContentOutput:
        """The images, uint8 N x H x W x 3."""
        return ContentOutput(batch.images.copy())
