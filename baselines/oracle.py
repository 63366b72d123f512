"""oracle: the ceiling. It is shown the truth and repeats it."""

from __future__ import annotations

import numpy as np

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput


class Oracle:
    """True masks, true parsing, true content: what a perfect method would score. Source: own."""

    name = "oracle"
    needs = ("truth",)

    def __init__(self) -> None:
        self._records: dict[str, SampleRecord] = {}

    def reveal(self, dataset: DatasetReader, split: str) -> None:
        """Learn where the truth of the evaluated split lies."""
        self._records = {r.id: r for r in dataset.records(split)}

    def complete(self, batch: Batch) -> MaskOutput:
        """The true amodal and modal masks, bool N x H x W, and the true parsing where every sample has it.

        Raises:
            UsageError: a sample of the batch was not revealed.
        """
        records = self._truth(batch)
        paths = [r.parsing_path for r in records]
        return MaskOutput(
            np.stack([masks.decode(r.amodal) for r in records]),
            modal=np.stack([masks.decode(r.modal) for r in records]),
            parsing=None if None in paths else np.stack([images.read_indices(p) for p in paths if p]),
        )

    def recover(self, batch: Batch) -> ContentOutput:
        """The true person over the occluded scene, uint8 N x H x W x 3.

        Raises:
            UsageError: a sample of the batch was not revealed, or the dataset has no complete images.
        """
        out = batch.images.copy()
        for picture, record in zip(out, self._truth(batch), strict=True):
            if record.complete_path is None:
                raise UsageError(f"oracle repeats the complete image, but sample {record.id} has none")
            hidden = masks.decode(record.amodal) & ~masks.decode(record.modal)
            picture[hidden] = images.read_rgb(record.complete_path)[hidden]
        return ContentOutput(out)

    def _truth(self, batch: Batch) -> list[SampleRecord]:
        missing = [i for i in batch.ids if i not in self._records]
        if missing:
            raise UsageError(
                f"oracle was not shown the truth of sample {missing[0]}; call reveal(dataset, split) first"
            )
        return [self._records[i] for i in batch.ids]
