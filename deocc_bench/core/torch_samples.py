"""Samples as tensors: what `as_torch` of a dataset folder and of samples on the fly gives to a `DataLoader`."""

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
# What can be asked for; `id` and `group_id` are always there.
FIELDS = (*PICTURES, *MASKS, "parsing")

Transform = Callable[[dict[str, Any]], Any]


class SampleArrays(Protocol):
    """What the conversion reads of a sample; `deocc_bench.core.types.Sample` has it."""

    @property
    def id(self) -> str:
        """Unique in its dataset."""

    @property
    def group_id(self) -> str:
        """What must not be torn apart by a split."""

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
    """A sequence of samples, by index."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> SampleArrays: ...


def to_tensors(sample: SampleArrays) -> dict[str, Any]:
    """A sample as a dictionary of tensors; a field that the sample lacks is left out.

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
    """A map-style dataset of dictionaries of tensors (see `to_tensors`), which the default `DataLoader` collates.

    Every item has the same fields, because a batch is collated field by field. They are those of the first sample, or
    `fields`. All samples must have one size to be collated; datasets of whole photos need a `transform` that resizes.

    Args:
        samples: a sequence of samples. If it has `set_epoch`, `set_epoch` of this dataset calls it.
        transform: called with each dictionary; what it returns is the item. With worker processes that are spawned it
            must be picklable: a function of a module, not a lambda.
        fields: names of `FIELDS` that each item shall have, for datasets in which only some samples have a field.

    Raises:
        UsageError: an unknown field.
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
        """Choose the epoch of samples that are made on the fly; samples of a folder are the same in each epoch."""
        set_epoch = getattr(self.samples, "set_epoch", None)
        if set_epoch is not None:
            set_epoch(epoch)

    def _chosen(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        for name in self.fields:
            if name not in tensors:
                have = ", ".join(n for n in self.fields if n in tensors)
                raise InputError(f"sample {tensors['id']}", f"has no {name}", f"ask for fields={have} only")
        return {name: tensors[name] for name in ("id", "group_id", *self.fields)}


def _tensor(name: str, array: np.ndarray) -> torch.Tensor:
    import torch

    if name in PICTURES:
        return torch.from_numpy(array.transpose(2, 0, 1).copy()).float().div_(255)
    dtype = torch.int64 if name == "parsing" else torch.bool
    # A copy: the caller may write to the tensor, and arrays of a cache must stay as they are.
    return torch.tensor(array, dtype=dtype)[None]
