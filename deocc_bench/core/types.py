"""Data types shared by the packages. Every type checks its invariants on construction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from deocc_bench.core.errors import InvariantError

ParsingSource: TypeAlias = Literal["truth", "method"]
"""Origin of the parsing in a batch: the ground truth of the dataset, or `complete` of a method."""


@dataclass(frozen=True)
class Human:
    """One person in one photo.

    Args:
        id: unique, e.g. "ccp-0001".
        group_id: the photo, or the person if known; a group is never divided between splits.
        image: uint8 H x W x 3, RGB.
        mask: bool H x W, the whole person.
        parsing: uint8 H x W, LIP ids, non-zero exactly where `mask` is set; None if the source has no parsing.
        licence: licence of the photo and the label.
        source: kind of source, e.g. "ccp".
    """

    id: str
    group_id: str
    image: np.ndarray
    mask: np.ndarray
    parsing: np.ndarray | None
    licence: str
    source: str

    def __post_init__(self) -> None:
        _check_array(self.id, "image", self.image, np.uint8, 3)
        shape = self.image.shape[:2]
        _check_array(self.id, "mask", self.mask, np.bool_, 2, shape=shape)
        if not self.mask.any():
            raise InvariantError(f"{self.id}: the mask is empty")
        if self.parsing is not None:
            _check_array(self.id, "parsing", self.parsing, np.uint8, 2, shape=shape)
            if not np.array_equal(self.parsing > 0, self.mask):
                raise InvariantError(f"{self.id}: the foreground of the parsing differs from the mask")


@dataclass(frozen=True)
class Occluder:
    """A cut-out object.

    Args:
        image: uint8 h x w x 3, RGB, tightly cropped.
        alpha: float32 h x w in [0, 1].
        category: e.g. "chair".
    """

    id: str
    group_id: str
    image: np.ndarray
    alpha: np.ndarray
    category: str
    licence: str
    source: str

    def __post_init__(self) -> None:
        _check_array(self.id, "image", self.image, np.uint8, 3)
        _check_array(self.id, "alpha", self.alpha, np.float32, 2, shape=self.image.shape[:2])
        low, high = float(self.alpha.min()), float(self.alpha.max())
        if not (low >= 0 and high <= 1):
            raise InvariantError(f"{self.id}: alpha must be in [0, 1], got [{low}, {high}]")
        if high < 0.5:
            raise InvariantError(f"{self.id}: alpha never reaches 0.5, so it hides nothing")


@dataclass(frozen=True)
class PlacedOccluder:
    """The visible part of an occluder in a sample.

    Args:
        group_id: the photo it was cut from; a group is never in two splits.
        order: 1 is nearest to the viewer.
        mask: bool H x W, its visible part (composed alpha of at least 0.5).
        behind: whether it is behind the person and hides nothing of them.
    """

    id: str
    category: str
    order: int
    mask: np.ndarray
    licence: str
    behind: bool = False
    group_id: str = ""


@dataclass(frozen=True)
class Sample:
    """One occluded image of one target human with its ground truth; fields that a source does not provide are None.

    Args:
        image: uint8 H x W x 3, the occluded image; `complete`: the same without the occluders in front.
        amodal, modal, initial: bool H x W; the whole person, the visible part, and a detector's mask of it.
        parsing: uint8 H x W, LIP ids, amodal.
        provenance: the settings needed to make it again, JSON-serialisable.
    """

    id: str
    split: str
    group_id: str
    human_id: str
    variant: int
    image: np.ndarray
    complete: np.ndarray | None
    amodal: np.ndarray
    modal: np.ndarray
    initial: np.ndarray | None
    parsing: np.ndarray | None
    occluders: tuple[PlacedOccluder, ...]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_array(self.id, "image", self.image, np.uint8, 3)
        shape = self.image.shape[:2]
        _check_array(self.id, "amodal", self.amodal, np.bool_, 2, shape=shape)
        _check_array(self.id, "modal", self.modal, np.bool_, 2, shape=shape)
        if not self.amodal.any():
            raise InvariantError(f"{self.id}: the amodal mask is empty")
        if np.any(self.modal > self.amodal):
            raise InvariantError(f"{self.id}: the modal mask extends beyond the amodal mask")
        if self.initial is not None:
            _check_array(self.id, "initial", self.initial, np.bool_, 2, shape=shape)
        if self.complete is not None:
            _check_array(self.id, "complete", self.complete, np.uint8, 3, shape=shape)
        if self.parsing is not None:
            _check_array(self.id, "parsing", self.parsing, np.uint8, 2, shape=shape)
            if np.any((self.parsing > 0) > self.amodal):
                raise InvariantError(f"{self.id}: the parsing extends beyond the amodal mask")
        for o in self.occluders:
            _check_array(self.id, f"mask of occluder {o.id}", o.mask, np.bool_, 2, shape=shape)

    @property
    def invisible(self) -> np.ndarray:
        """bool H x W: amodal & ~modal."""
        hidden: np.ndarray = self.amodal & ~self.modal
        return hidden

    @property
    def occlusion_ratio(self) -> float:
        """|invisible| / |amodal|, measured on the masks."""
        whole = int(np.count_nonzero(self.amodal))
        return (whole - int(np.count_nonzero(self.modal))) / whole


@dataclass(frozen=True)
class Batch:
    """The input of a method: N samples of equal size. Fields that the task or dataset does not provide are None.

    Args:
        ids: N sample ids.
        images: uint8 N x H x W x 3, RGB, occluded.
        initial, modal, amodal: bool N x H x W.
        parsing, modal_parsing: uint8 N x H x W, LIP ids, of the whole person and of the visible part.
        parsing_source: origin of the parsing, "truth" or "method"; None if there is none or its origin is unknown.
    """

    ids: tuple[str, ...]
    images: np.ndarray
    initial: np.ndarray | None = None
    modal: np.ndarray | None = None
    amodal: np.ndarray | None = None
    parsing: np.ndarray | None = None
    modal_parsing: np.ndarray | None = None
    parsing_source: ParsingSource | None = None

    def __post_init__(self) -> None:
        name = f"batch of {len(self.ids)}"
        if self.parsing_source not in (None, *get_args(ParsingSource)):
            raise InvariantError(
                f"{name}: parsing_source must be 'truth', 'method' or None, got {self.parsing_source!r}"
            )
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[::3] != (len(self.ids), 3):
            raise InvariantError(f"{name}: images must be uint8 N x H x W x 3, got {_describe(self.images)}")
        for field_name in ("initial", "modal", "amodal", "parsing", "modal_parsing"):
            value = getattr(self, field_name)
            dtype = np.uint8 if "parsing" in field_name else np.bool_
            if value is not None and (value.dtype != dtype or value.shape != self.images.shape[:3]):
                raise InvariantError(
                    f"{name}: {field_name} must be {np.dtype(dtype)} {self.images.shape[:3]}, got {_describe(value)}"
                )

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class MaskOutput:
    """Return value of `complete`. Only the amodal masks are required.

    Args:
        amodal, modal: bool N x H x W, the whole person and the refined visible part.
        parsing, modal_parsing: uint8 N x H x W, LIP ids, of the whole person and of the visible part.
    """

    amodal: np.ndarray
    modal: np.ndarray | None = None
    parsing: np.ndarray | None = None
    modal_parsing: np.ndarray | None = None


@dataclass(frozen=True)
class ContentOutput:
    """Return value of `recover`: recovered images, uint8 N x H x W x 3, RGB."""

    images: np.ndarray


@dataclass(frozen=True)
class Prediction:
    """The prediction of a method for one sample; arrays as in `Sample`, `image` is the recovered image."""

    sample_id: str
    amodal: np.ndarray | None = None
    modal: np.ndarray | None = None
    parsing: np.ndarray | None = None
    image: np.ndarray | None = None


def _describe(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _check_array(
    name: str, what: str, array: np.ndarray, dtype: type, ndim: int, *, shape: Sequence[int] | None = None
) -> None:
    good = (
        isinstance(array, np.ndarray)
        and array.dtype == dtype
        and array.ndim == ndim
        and (ndim != 3 or array.shape[2] == 3)
        and (shape is None or tuple(array.shape[:2]) == tuple(shape))
        and array.size > 0
    )
    if not good:
        want = f"{np.dtype(dtype)} {'H x W x 3' if ndim == 3 else 'H x W'}" + (f" of {tuple(shape)}" if shape else "")
        got = _describe(array) if isinstance(array, np.ndarray) else type(array).__name__
        raise InvariantError(f"{name}: {what} must be {want}, got {got}")
