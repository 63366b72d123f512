"""The entries of COCO-like annotation files as types, and how their values are read.

Converters write numbers as text, and null for "no value"; both are accepted. Ids may be numbers or text: `id_key` makes
1 and "1" the same id. Unknown fields are ignored.
"""

from __future__ import annotations

import contextlib
import math
import reprlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from deocc_bench.core.errors import InputError
from deocc_bench.core.json_files import checked, is_text, read_json, require_object

CURE = "fix the file, or use --skip-bad"

Id = int | str
Number = int | float | str | None
Text = str | int | float | None
_LARGEST = 2**53  # whole numbers up to here are exact in JSON
_LONGEST_TEXT = 1000  # characters of ids, names and licences


class ImageFields(msgspec.Struct):
    """An entry of `images`."""

    id: Id
    file_name: str
    height: Number
    width: Number
    license: Id | None = None
    deocc_bench: dict[str, Any] | None = None


class FlatFields(msgspec.Struct):
    """An annotation of the flat dialects. The masks are checked when they are read."""

    image_id: Id
    id: Id | None = None
    category_id: Id | None = None
    iscrowd: bool | Number = 0
    occlude_rate: Number = None
    segmentation: Any = None
    visible_mask: Any = None
    invisible_mask: Any = None
    inmodal_seg: Any = None
    a_segm: Any = None
    i_segm: Any = None
    oco_id: Any = None
    ico_id: Any = None
    layer_order: Any = None
    deocc_bench: dict[str, Any] | None = None


class RegionFields(msgspec.Struct):
    """A region of the original COCOA schema."""

    segmentation: Any = None
    name: Text = None
    order: Number = None
    isStuff: bool | Number = None  # as COCOA spells it
    occlude_rate: Number = None
    visible_mask: Any = None
    invisible_mask: Any = None
    deocc_bench: dict[str, Any] | None = None


class AnnotatorFields(msgspec.Struct):
    """An annotation of the original COCOA schema: the regions of one annotator in one photo."""

    image_id: Id
    id: Id | None = None
    regions: list[Any] | None = None
    author: Text = None
    url: Text = None
    depth_constraint: Text = None


class NamedFields(msgspec.Struct):
    """A category or a licence."""

    id: Id
    name: Text


def fields_of(entry: Any, kind: type[Any], where: str) -> Any:
    """Convert an entry to one of the types above.

    Raises:
        InputError: it is not an object, a field is missing or has the wrong type.
    """
    return checked(require_object(entry, where, CURE), kind, where, CURE)


def annotation_file(path: Path) -> dict[str, Any]:
    """Read a COCO-like file; its entries are not checked.

    Raises:
        InputError: the file is not a JSON object with lists in `images` and `annotations`.
    """
    data = read_json(path)
    for key in ("images", "annotations"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise InputError(path, f"has no list of {key}", "give the original annotation file")
    return dict(data)


def id_key(value: Id, where: str, what: str) -> str:
    """The text by which ids are compared.

    Raises:
        InputError: the id is far too large or too long.
    """
    if (isinstance(value, int) and abs(value) > 2**63) or (isinstance(value, str) and len(value) > _LONGEST_TEXT):
        raise InputError(where, f"{what} is too long to be an id, {reprlib.repr(value)}", CURE)
    return str(value)


def number(value: Any, where: str, what: str) -> float:
    """Convert a number, which may be text.

    Raises:
        InputError: the value is not a finite number.
    """
    result = math.nan
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        with contextlib.suppress(ValueError, OverflowError):
            result = float(value)
    if not math.isfinite(result):
        raise InputError(where, f"{what} must be a number, got {reprlib.repr(value)}", CURE)
    return result


def whole(value: Any, where: str, what: str) -> int:
    """Convert a whole number, which may be text or true or false.

    Raises:
        InputError: the value is not a whole number, or beyond 2**53.
    """
    result = number(int(value) if isinstance(value, bool) else value, where, what)
    if result != int(result) or abs(result) > _LARGEST:
        raise InputError(where, f"{what} must be a whole number, got {reprlib.repr(value)}", CURE)
    return int(result)


def text(value: Text, where: str, what: str) -> str:
    """Convert a text, which may be a number; null becomes "".

    Raises:
        InputError: it is too long, or contains NUL or half of a surrogate pair.
    """
    result = "" if value is None else str(value)
    if not is_text(result, longest=_LONGEST_TEXT):
        raise InputError(where, f"{what} is not a short plain text, {reprlib.repr(result)}", CURE)
    return result


@dataclass
class Listing:
    """The entries of a list by the key of their id.

    Args:
        what: name of the list, "images".
        entries: objects by key; their other fields are not checked. Entries with one id for two things are left out.
        where: places of the entries, for messages.
        wrong: errors of ids that several entries have, by key.
        loose: errors of entries without a usable id.
    """

    what: str
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    where: dict[str, str] = field(default_factory=dict)
    wrong: dict[str, InputError] = field(default_factory=dict)
    loose: list[InputError] = field(default_factory=list)

    @classmethod
    def read(cls, value: Any, path: Path, what: str) -> Listing:
        """Read a list; null is an empty one.

        Raises:
            InputError: it is not a list.
        """
        if value is not None and not isinstance(value, list):
            raise InputError(path, f"{what} must be a list, got {reprlib.repr(value)}", CURE)
        listing = cls(what)
        for number_, entry in enumerate(value or (), start=1):
            at = f"{path}: entry {number_} of {what}"
            try:
                listing._add(entry, at, path)
            except InputError as error:
                listing.loose.append(error)
        return listing

    def _add(self, entry: Any, at: str, path: Path) -> None:
        content = require_object(entry, at, CURE)
        value = content.get("id")
        if value is None:
            raise InputError(at, "lacks an id", CURE)
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise InputError(at, f"id must be a whole number or a string, got {reprlib.repr(value)}", CURE)
        key = id_key(value, at, "id")
        if key in self.entries or key in self.wrong:
            other = self.entries.pop(key, content)["id"]
            told = reprlib.repr(value) if value == other else f"{other!r} and {value!r}"
            self.wrong[key] = InputError(f"{path}: {self.what}", f"two entries have the id {told}", CURE)
            return
        self.entries[key] = content
        self.where[key] = at

    @property
    def errors(self) -> Iterator[InputError]:
        """All that is wrong with the list itself."""
        yield from self.loose
        yield from self.wrong.values()


class Names:
    """Names of categories or licences by id."""

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._names: dict[str, str] = {}

    def of(self, value: Id | None, where: str, what: str, default: str) -> str:
        """The name with the id `value`; `default` if there is no id, or if the file lists no names at all.

        Raises:
            InputError: the id is not listed, several entries have it, or its name is missing.
        """
        if value is None:
            return default
        key = id_key(value, where, what)
        if key not in self._names:
            if not self._listing.entries and not any(self._listing.errors):
                return default
            self._names[key] = self._read(key, value, where, what)
        return self._names[key]

    def _read(self, key: str, value: Id, where: str, what: str) -> str:
        if key in self._listing.wrong:
            raise InputError(where, f"{what} {value!r}: {self._listing.wrong[key].problem}", CURE)
        if key not in self._listing.entries:
            hint = f" ({self._listing.loose[0].where}: {self._listing.loose[0].problem})" if self._listing.loose else ""
            raise InputError(where, f"{what} {value!r} is not in the list of {self._listing.what}{hint}", CURE)
        at = self._listing.where[key]
        entry = fields_of(self._listing.entries[key], NamedFields, at)
        if entry.name is None:
            raise InputError(at, "lacks a name", CURE)
        return text(entry.name, at, "name")


# Reads the masks of a dialect: (annotation, (height, width), where) -> (amodal, modal).
ReadMasks = Callable[[FlatFields, tuple[int, int], str], tuple[dict[str, Any], dict[str, Any]]]
