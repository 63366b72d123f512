"""Annotation records: the fields of a sample and of its image, and their conversion to and from JSON.

`from_json` checks types, sizes and names, and keeps unknown keys in `extra`; `to_json` writes the same object again. A
field that is absent from the file is None here and stays absent. The runs of a mask are checked where it is used.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Self

from deocc_bench.core import masks
from deocc_bench.core.errors import InputError
from deocc_bench.core.json_files import is_number, is_plain, is_text, is_whole
from deocc_bench.core.masks import RLE
from deocc_bench.core.paths import is_relative, is_safe_id

_CURE = "recreate the dataset, or fix the file"


class _Kind(NamedTuple):
    """A type of JSON value: its name in messages and the test for it."""

    name: str
    matches: Callable[[Any], bool]


def _mask(value: Any) -> bool:
    if not isinstance(value, dict) or not value.keys() >= {"size", "counts"}:
        return False
    size, counts = value["size"], value["counts"]
    fits = isinstance(size, list) and len(size) == 2 and all(map(is_whole, size))
    runs = counts.isascii() if isinstance(counts, str) else isinstance(counts, list) and all(map(is_whole, counts))
    return fits and runs and (len(value) == 2 or is_plain(value))


def _side(value: Any) -> bool:
    return is_whole(value) and 0 < value < 2**31


def _share(value: Any) -> bool:
    return is_number(value) and 0 <= value <= 1


def _named_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_text, value)) and all(map(is_number, value.values()))


def _box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(map(is_number, value))


# Metadata of the fields below.
_TEXT = {"kind": _Kind("a string", lambda v: is_text(v, longest=1000))}
_ID = {"kind": _Kind("a whole number or a string", lambda v: is_whole(v) or is_text(v, longest=1000))}
_SAMPLE = {"kind": _Kind("a name without folders or control characters, at most 200 bytes", is_safe_id)}
_FILE = {"kind": _Kind("a file name inside the dataset, relative to its folder", is_relative)}
_WHOLE = {"kind": _Kind("a whole number", is_whole)}
_SIDE = {"kind": _Kind("a number of pixels", _side)}
_NUMBER = {"kind": _Kind("a number", is_number)}
_SHARE = {"kind": _Kind("a number from 0 to 1", _share)}
_FLAG = {"kind": _Kind("true or false", lambda v: isinstance(v, bool))}
_MASK = {"kind": _Kind('an RLE mask {"size": [height, width], "counts": ...}', _mask)}
_BOX = {"kind": _Kind("a list of four numbers", _box)}
_NUMBERS = {"kind": _Kind("an object of numbers", _named_numbers)}
_OBJECT = {"kind": _Kind("an object", lambda v: isinstance(v, dict) and is_plain(v))}
_LIST = {"kind": _Kind("a list", lambda v: isinstance(v, list))}


@dataclass(frozen=True, kw_only=True)
class _Record:
    """Base of the three records: conversion to and from JSON, driven by the field metadata."""

    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: Any, where: str | Path) -> Self:
        """Read the record from a JSON object.

        Args:
            where: file and entry, for error messages.

        Raises:
            InputError: a required field is missing, or a field has the wrong type.
        """
        if not isinstance(data, dict | Mapping):
            raise InputError(where, f"must be an object, got {reprlib.repr(data)}", _CURE)
        kinds, required = _table(cls)  # type: ignore[arg-type]  # mypy takes no class with __eq__ as hashable
        values: dict[str, Any] = {}
        extra: dict[str, Any] = {}
        for name, value in data.items():
            # Null means "no value"; it is kept in `extra` so that it is written back as null.
            if value is None or name not in kinds:
                if not is_text(name) or not is_plain(value):
                    raise InputError(where, f"{reprlib.repr(name)} holds {reprlib.repr(value)}, not plain data", _CURE)
                extra[name] = value
            elif kinds[name].matches(value):
                values[name] = value
            else:
                raise InputError(where, f"{name} must be {kinds[name].name}, got {reprlib.repr(value)}", _CURE)
        missing = [name for name in required if name not in values]
        if missing:
            raise InputError(where, f"lacks {', '.join(missing)}", _CURE)
        return cls(**cls._parsed(values, where), extra=extra)

    @classmethod
    def _parsed(cls, values: dict[str, Any], where: str | Path) -> dict[str, Any]:
        return values

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, including `extra`; fields that are None are omitted."""
        named = {name: getattr(self, name) for name in _table(type(self))[0]}  # type: ignore[arg-type]
        return {**self.extra, **{name: value for name, value in named.items() if value is not None}}

    def updated(self, changes: Mapping[str, Any], where: str | Path) -> Self:
        """Return a copy with additional JSON fields, known or unknown.

        Raises:
            InputError: a known field has the wrong type.
        """
        return type(self).from_json({**self.to_json(), **changes}, where) if changes else self


@cache
def _table(cls: Any) -> tuple[dict[str, _Kind], tuple[str, ...]]:
    """The kind of each field, and the names of the required fields."""
    known = [f for f in fields(cls) if "kind" in f.metadata]
    return {f.name: f.metadata["kind"] for f in known}, tuple(f.name for f in known if f.default is MISSING)


@dataclass(frozen=True, kw_only=True)
class OccluderEntry(_Record):
    """An occluder of a sample.

    Args:
        order: 1 is nearest to the viewer.
        segmentation: mask of its visible part.
        group_id: the photo it was cut from.
        behind: whether it is behind the person.
    """

    id: str = field(metadata=_TEXT)
    category: str = field(metadata=_TEXT)
    order: int = field(metadata=_WHOLE)
    segmentation: RLE = field(metadata=_MASK)
    group_id: str | None = field(default=None, metadata=_TEXT)
    licence: str | None = field(default=None, metadata=_TEXT)
    behind: bool | None = field(default=None, metadata=_FLAG)


@dataclass(frozen=True, kw_only=True)
class ImageEntry(_Record):
    """An image of a dataset; file names are relative to its folder.

    Args:
        id: COCO id.
        group_id: the photo; all its samples are in the same split.
        complete_file_name, parsing_file_name: set if the image has a single sample; otherwise in its annotation.
    """

    id: int | str = field(metadata=_ID)
    file_name: str = field(metadata=_FILE)
    height: int = field(metadata=_SIDE)
    width: int = field(metadata=_SIDE)
    group_id: str = field(metadata=_TEXT)
    licence: str | None = field(default=None, metadata=_TEXT)
    complete_file_name: str | None = field(default=None, metadata=_FILE)
    parsing_file_name: str | None = field(default=None, metadata=_FILE)


@dataclass(frozen=True, kw_only=True)
class Annotation(_Record):
    """A sample of a dataset; masks are RLE at the size of the image.

    Args:
        id, image_id: COCO ids.
        segmentation, visible_mask, invisible_mask: amodal, modal, amodal & ~modal.
        bbox, area: of the amodal mask.
        occlude_rate: invisible / amodal pixels.
        initial_mask, initial_iou: a detector's mask of the visible person, and its IoU with the modal mask.
        category: the target's category name in its source; None means person.
        parts_hidden: invisible share of the pixels of each part.
        provenance: how the sample was made or where it comes from.
        digest: see `core.dataset.sample_digest`.
    """

    id: int | str = field(metadata=_ID)
    image_id: int | str = field(metadata=_ID)
    sample_id: str = field(metadata=_SAMPLE)
    segmentation: RLE = field(metadata=_MASK)
    visible_mask: RLE = field(metadata=_MASK)
    occlude_rate: float = field(metadata=_SHARE)
    invisible_mask: RLE | None = field(default=None, metadata=_MASK)
    initial_mask: RLE | None = field(default=None, metadata=_MASK)
    initial_iou: float | None = field(default=None, metadata=_SHARE)
    bbox: Sequence[float] | None = field(default=None, metadata=_BOX)
    area: int | None = field(default=None, metadata=_NUMBER)
    category_id: int | None = field(default=None, metadata=_WHOLE)
    category: str | None = field(default=None, metadata=_TEXT)
    iscrowd: int | None = field(default=None, metadata=_WHOLE)
    human_id: str | None = field(default=None, metadata=_TEXT)
    variant: int | None = field(default=None, metadata=_WHOLE)
    occluders: tuple[OccluderEntry, ...] | None = field(default=None, metadata=_LIST)
    parts_hidden: Mapping[str, float] | None = field(default=None, metadata=_NUMBERS)
    provenance: Mapping[str, Any] | None = field(default=None, metadata=_OBJECT)
    complete_file_name: str | None = field(default=None, metadata=_FILE)
    parsing_file_name: str | None = field(default=None, metadata=_FILE)
    digest: str | None = field(default=None, metadata=_TEXT)

    @property
    def front(self) -> tuple[OccluderEntry, ...]:
        """The occluders in front of the person; those behind hide nothing."""
        return tuple(o for o in self.occluders or () if not o.behind)

    @classmethod
    def of_masks(
        cls, *, amodal: RLE, modal: RLE, invisible: RLE, initial: RLE | None = None, **others: Any
    ) -> Annotation:
        """Return the annotation of a person, with all numbers derived from the masks.

        Args:
            others: further fields by name.
        """
        if initial is not None:
            iou = masks.iou(initial, modal)
            others |= {"initial_mask": initial, "initial_iou": iou}
            if iou is None:  # both masks are empty: written as null
                others["extra"] = {**others.get("extra", {}), "initial_iou": None}
        whole = masks.area(amodal)
        return cls(
            segmentation=amodal,
            visible_mask=modal,
            invisible_mask=invisible,
            bbox=masks.bbox(amodal),
            area=whole,
            occlude_rate=masks.area(invisible) / whole,
            category_id=1,
            iscrowd=0,
            **others,
        )

    @classmethod
    def _parsed(cls, values: dict[str, Any], where: str | Path) -> dict[str, Any]:
        if "occluders" in values:
            entries = enumerate(values["occluders"], start=1)
            parsed = tuple(OccluderEntry.from_json(o, f"{where}: occluder {k}") for k, o in entries)
            return {**values, "occluders": parsed}
        return values

    def to_json(self) -> dict[str, Any]:
        """The COCO annotation."""
        content = super().to_json()
        if self.occluders is not None:
            content["occluders"] = [o.to_json() for o in self.occluders]
        return content

    @property
    def invisible(self) -> RLE:
        """The invisible mask: as stored, or computed from the other two."""
        if self.invisible_mask is not None:
            return self.invisible_mask
        return masks.encode(masks.decode(self.segmentation) & ~masks.decode(self.visible_mask))
