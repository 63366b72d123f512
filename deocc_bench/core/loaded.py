"""A split of a dataset folder as a Python sequence of samples. Pixels are decoded on access."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.core.types import PlacedOccluder, Sample

if TYPE_CHECKING:
    import pandas as pd

    from deocc_bench.core.torch_samples import TorchSamples, Transform


class LoadedSample:
    """One sample of a dataset. Each array is decoded on first access and kept as long as this object lives.

    Args:
        record: the annotations of the sample.
    """

    def __init__(self, record: SampleRecord) -> None:
        self.record = record

    @property
    def id(self) -> str:
        """Unique in the dataset."""
        return self.record.id

    @property
    def group_id(self) -> str:
        """The source photo, or the person if the dataset identifies persons; no group is in two splits."""
        return self.record.group_id

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.record.size

    @property
    def occlusion_ratio(self) -> float:
        """|invisible| / |amodal|, as annotated."""
        return self.record.occlusion_ratio

    @cached_property
    def image(self) -> np.ndarray:
        """uint8 H x W x 3, RGB: the occluded image. Raises InputError if the file is missing or broken."""
        return images.read_rgb(self.record.image_path)

    @cached_property
    def complete(self) -> np.ndarray | None:
        """uint8 H x W x 3, RGB: the image without the occluders; None if the dataset has none."""
        path = self.record.complete_path
        return None if path is None else images.read_rgb(path)

    @cached_property
    def amodal(self) -> np.ndarray:
        """bool H x W: the whole person."""
        return masks.decode(self.record.amodal)

    @cached_property
    def modal(self) -> np.ndarray:
        """bool H x W: the visible part of the person."""
        return masks.decode(self.record.modal)

    @cached_property
    def invisible(self) -> np.ndarray:
        """bool H x W: amodal & ~modal."""
        hidden: np.ndarray = self.amodal & ~self.modal
        return hidden

    @cached_property
    def initial(self) -> np.ndarray | None:
        """bool H x W: a detector's mask of the visible part; None if the dataset has none."""
        rle = self.record.initial
        return None if rle is None else masks.decode(rle)

    @cached_property
    def parsing(self) -> np.ndarray | None:
        """uint8 H x W, LIP ids of the whole person; None if the dataset has none."""
        path = self.record.parsing_path
        return None if path is None else images.read_indices(path)

    @cached_property
    def occluders(self) -> tuple[PlacedOccluder, ...]:
        """The placed occluders with the masks of their visible parts, nearest to the viewer first."""
        return tuple(sorted(self.record.load_occluders(), key=lambda o: o.order))

    def load(self) -> Sample:
        """Decode everything at once and check the invariants.

        Raises:
            InputError: a file is missing or broken.
            InvariantError: the masks contradict each other.
        """
        return self.record.load()

    def __repr__(self) -> str:
        height, width = self.size
        return f"<sample {self.id!r}: {height} x {width}, {self.occlusion_ratio:.0%} hidden>"

    def _repr_png_(self) -> bytes:
        from deocc_bench.core.notebook import show

        return show(self)._repr_png_()


class LoadedDataset(Sequence[LoadedSample]):
    """The samples of one split, or a selection of them, sorted by id.

    Args:
        reader: the dataset folder.
        split: one of its splits.
        ids: the samples, in order; None: all samples of the split.

    Raises:
        UsageError: the dataset has no such split.
        InputError: the split has no such sample.
    """

    def __init__(self, reader: DatasetReader, split: str, ids: Sequence[str] | None = None) -> None:
        self.reader, self.split = reader, split
        self.ids = tuple(reader.ids(split) if ids is None else ids)
        self._records = tuple(reader.record(split, i) for i in self.ids)

    @property
    def name(self) -> str:
        """The dataset's name."""
        return self.reader.name

    @property
    def fingerprint(self) -> str:
        """Stored SHA-256 over the content of the whole dataset."""
        return self.reader.fingerprint

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, index: int) -> LoadedSample: ...

    @overload
    def __getitem__(self, index: slice) -> LoadedDataset: ...

    def __getitem__(self, index: int | slice) -> LoadedSample | LoadedDataset:
        """The sample at `index`, which may be negative; a slice is again a dataset."""
        if isinstance(index, slice):
            return LoadedDataset(self.reader, self.split, self.ids[index])
        return LoadedSample(self._records[index])

    def __iter__(self) -> Iterator[LoadedSample]:
        return map(LoadedSample, self._records)

    def __repr__(self) -> str:
        every = len(self.reader.ids(self.split))
        count = f"{len(self)} samples" if len(self) == every else f"{len(self)} of {every} samples"
        return f"<dataset {self.name!r}, split {self.split!r}: {count}>"

    def filter(
        self,
        where: Callable[[SampleRecord], bool] | None = None,
        *,
        ratio: tuple[float, float] | None = None,
        category: str | None = None,
        group_id: str | None = None,
    ) -> LoadedDataset:
        """Return the samples that meet all conditions. Only annotations are read; no pixels are decoded.

        Args:
            where: predicate on each `SampleRecord`.
            ratio: (low, high): low <= occlusion ratio < high.
            category: category of an occluder in front of the person.
            group_id: the source photo or person.

        Raises:
            UsageError: no sample of this dataset has an occluder of that category.
        """
        if category is not None:
            known = sorted({name for r in self._records for name in _categories(r)})
            if category not in known:
                raise UsageError(unknown("category", category, known))
        chosen = [
            r.id
            for r in self._records
            if (ratio is None or ratio[0] <= r.occlusion_ratio < ratio[1])
            and (category is None or category in _categories(r))
            and (group_id is None or r.group_id == group_id)
            and (where is None or where(r))
        ]
        return LoadedDataset(self.reader, self.split, chosen)

    def to_pandas(self) -> pd.DataFrame:
        """Return a table with one row per sample. Only annotations are read.

        Returns:
            Columns `id`, `split`, `group_id`, `human_id`, `height`, `width`, `occlusion_ratio`, `occluders` (in front
            of the person), `categories` (their categories, sorted, joined by a comma), `complete`, `parsing` and
            `initial` (whether the sample has them).
        """
        import pandas as pd

        return pd.DataFrame([_row(r) for r in self._records], columns=_COLUMNS)

    def as_torch(self, transform: Transform | None = None, *, fields: Sequence[str] | None = None) -> TorchSamples:
        """Return a map-style torch dataset of dictionaries of tensors, which the default `DataLoader` can collate.

        Args:
            transform: called with each dictionary; its return value is the item.
            fields: the arrays in each item; None: those of the first sample.

        Raises:
            UsageError: a field is unknown.
        """
        from deocc_bench.core.torch_samples import TorchSamples

        return TorchSamples(self, transform, fields=fields)


def load_dataset(path: str | Path, split: str = "test") -> LoadedDataset:
    """Open one split of a dataset folder as a sequence of samples.

    Args:
        path: a folder written by `synthesise`, `deocc-bench synth` or `deocc-bench import`.

    Raises:
        InputError: the folder is not a dataset, or has another schema version.
        UsageError: the dataset has no such split.
    """
    return LoadedDataset(DatasetReader(path), split)


_COLUMNS = (
    *("id", "split", "group_id", "human_id", "height", "width", "occlusion_ratio", "occluders", "categories"),
    *("complete", "parsing", "initial"),
)


def _row(record: SampleRecord) -> tuple[object, ...]:
    front = record.truth.front
    return (
        *(record.id, record.split, record.group_id, record.human_id, *record.size, record.occlusion_ratio),
        *(len(front), ", ".join(sorted(_categories(record)))),
        *(part is not None for part in (record.complete_path, record.parsing_path, record.initial)),
    )


def _categories(record: SampleRecord) -> set[str]:
    """Categories of the occluders in front of the person."""
    return {o.category for o in record.truth.front}
