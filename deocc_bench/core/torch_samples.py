"""Samples as tensors for a `DataLoader`; the `as_torch` of dataset folders and of online samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.registry import unknown

if TYPE_CHECKING:
    import torch

PICTURES = ("image", "complete")
MASKS = ("amodal", "modal", "invisible", "initial")
# The selectable fields; `id` and `group_id` are always included.
FIELDS = (*PICTURES, *MASKS, "parsing")

Transform = Callable[[dict[str, Any]], Any]


class SampleFields(Protocol):
    """The fields of a sample that are converted; `deocc_bench.core.types.Sample` has them."""

    @property
    def id(self) -> str:
        """Unique in its dataset."""

    @property
    def group_id(self) -> str:
        """Samples with the same group id are in the same split."""

    @property
    def image(self) -> np.ndarray:
        """uint8 H x W x 3, RGB, occluded."""

    @property
    def complete(self) -> np.ndarray | None:
        """uint8 H x W x 3, RGB, without the occluders."""

    @property
    def amodal(self) -> np.ndarray:
        """bool H x W."""

    @property
    def modal(self) -> np.ndarray:
        """bool H x W."""

    @property
    def invisible(self) -> np.ndarray:
        """bool H x W."""

    @property
    def initial(self) -> np.ndarray | None:
        """bool H x W."""

    @property
    def parsing(self) -> np.ndarray | None:
        """uint8 H x W, LIP ids."""


class SampleSource(Protocol):
    """A sequence of samples."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> SampleFields: ...


def to_tensors(sample: SampleFields) -> dict[str, Any]:
    """Convert a sample to a dictionary of tensors; fields that are None are omitted.

    Returns:
        `image`, `complete`: float32 3 x H x W in 0..1, RGB.
        `amodal`, `modal`, `invisible`, `initial`: bool 1 x H x W.
        `parsing`: int64 1 x H x W, LIP ids of the whole person.
        `id`, `group_id`: str.
    """
    tensors: dict[str, Any] = {"id": sample.id, "group_id": sample.group_id}
    for name in FIELDS:
        array = getattr(sample, name)
        if array is not None:
            tensors[name] = _tensor(name, array)
    return tensors


class TorchSamples:
    """A map-style dataset of dictionaries of tensors (see `to_tensors`), which the default `DataLoader` can collate.

    Every item has the same fields, because a batch is collated field by field: `fields`, or those of the first sample.
    Samples must have the same size to be collated; datasets of whole photos need a `transform` that resizes.

    Args:
        samples: a sequence of samples. If it has `set_epoch`, `set_epoch` of this dataset calls it.
        transform: called with each dictionary; its return value is the item. With spawned worker processes it must be
            picklable: a module-level function, not a lambda.
        fields: names from `FIELDS` that each item has, for datasets in which only some samples have a field.

    Raises:
        UsageError: a field is unknown.
    """

    def __init__(
        self, samples: SampleSource, transform: Transform | None = None, *, fields: Sequence[str] | None = None
    ) -> None:
        for name in fields or ():
            if name not in FIELDS:
                raise UsageError(unknown("field", name, FIELDS))
        self.samples, self.transform = samples, transform
        if fields is None:
            fields = [name for name in to_tensors(samples[0]) if name in FIELDS] if len(samples) else FIELDS
        self.fields = tuple(fields)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Any:
        """The tensors of sample `index`, after `transform`.

        Raises:
            InputError: the sample lacks one of `fields`.
        """
        tensors = to_tensors(self.samples[index])
        item = self._chosen(tensors)
        return item if self.transform is None else self.transform(item)

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of online samples; samples of a folder are the same in every epoch."""
        set_epoch = getattr(self.samples, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)

    def _chosen(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        for name in self.fields:
            if name not in tensors:
                have = ", ".join(n for n in self.fields if n in tensors)
                raise InputError(f"sample {tensors['id']}", f"has no {name}", f"use only fields={have}")
        return {name: tensors[name] for name in ("id", "group_id", *self.fields)}


def _tensor(name: str, array: np.ndarray) -> torch.Tensor:
    import torch

    if name in PICTURES:
        return torch.from_numpy(array.transpose(2, 0, 1).copy()).float().div_(255)
    dtype = torch.int64 if name == "parsing" else torch.bool
    # A copy, because the caller may write to the tensor and cached arrays must not change.
    return torch.tensor(array, dtype=dtype)[None]
