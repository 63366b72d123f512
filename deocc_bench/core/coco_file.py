"""Reads COCO annotation files of any size, entry by entry, with errors that name the entry and the field.

msgspec checks the syntax of the whole file once and leaves the entries as bytes; each is decoded when it is looked at.
A file with NaN or infinity is not JSON, but common: it is parsed as a whole, which takes several times the memory.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from deocc_bench.core.errors import DeoccError, InputError, one_line
from deocc_bench.core.json_files import (
    dump_json,
    explained,
    is_text,
    is_whole,
    parse_json,
    read_bytes,
    require_object,
)

Id = int | str

CURE = "give a COCO instances file (with images, annotations, categories)"
_SKIP = "correct it, or leave it out with --skip-bad"
_LONGEST = 1000  # characters of an id or a name
_NEVER_BLANK = ("id", "image_id", "category_id", "file_name")
_MALFORMED = (msgspec.MsgspecError, UnicodeError, RecursionError, OverflowError)


class Image(msgspec.Struct, frozen=True, gc=False):
    """An entry of `images`; `license` is an id in `licenses`."""

    id: Id
    file_name: str
    height: int
    width: int
    license: Id | None = None


class Category(msgspec.Struct, frozen=True, gc=False):
    """An entry of `categories`."""

    id: Id
    name: str


class Licence(msgspec.Struct, frozen=True, gc=False):
    """An entry of `licenses`."""

    id: Id
    name: str | None = None


class Annotation(msgspec.Struct, frozen=True, gc=False):
    """An entry of `annotations` without its segmentation; `bbox` is (x, y, width, height), pixels."""

    id: Id
    image_id: Id
    category_id: Id
    bbox: tuple[float, float, float, float]
    area: float
    iscrowd: bool | int = 0


class _Identified(Protocol):
    @property
    def id(self) -> Id: ...


Record = TypeVar("Record", bound=_Identified)


class _Outline(msgspec.Struct):
    segmentation: msgspec.Raw


class _Entries(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[msgspec.Raw]
    licenses: list[msgspec.Raw] | None = None


class _Parsed(msgspec.Struct):
    images: list[Any]
    annotations: list[Any]
    categories: list[Any]
    licenses: list[Any] | None = None


class Table(Generic[Record]):
    """The records of one list of the file, by id.

    Records that are broken, or whose id is used twice, can't be found; `find` says why.

    Args:
        records: the usable records, in the order of the file.
    """

    def __init__(self, name: str, records: Sequence[Record], broken: dict[str, str]) -> None:
        self.records = records
        self._name, self._broken = name, broken
        self._by_id = {str(r.id): r for r in records}

    def __contains__(self, wanted: Id) -> bool:
        """Whether an id is listed, in a usable record or a broken one."""
        return str(wanted) in self._by_id or str(wanted) in self._broken

    def find(self, wanted: Id, field: str) -> Record:
        """The record with this id. `field` names the reference in errors, e.g. "image_id".

        Raises:
            DeoccError: there is none, its id is of another type, or it is broken.
        """
        record = self._by_id.get(str(wanted))
        if record is not None and type(record.id) is type(wanted):
            return record
        shown = f"{field} {_shown(wanted)}"
        if record is not None:
            kinds = f"{_type(wanted)}, but {_shown(record.id)} in {self._name} is {_type(record.id)}"
            raise DeoccError(f"{shown} is {kinds}")
        if str(wanted) in self._broken:
            raise DeoccError(f"{shown}: {self._broken[str(wanted)]}")
        raise DeoccError(f"{shown} is not in {self._name}")


class CocoFile:
    """An open COCO file: images, categories and licences are read, annotations are decoded one by one.

    Args:
        path: the file.
        skip_bad: keep broken entries apart instead of raising at the first one.

    Raises:
        InputError: the file is missing, not JSON, or lacks a list; without `skip_bad`, an image, category or licence
            is broken, or an id is used twice.
    """

    def __init__(self, path: Path, skip_bad: bool = False) -> None:
        self.path, self._skip_bad = path, skip_bad
        lists = _read(path)
        self._entries: list[Any] = lists.annotations
        self.images = self._table("image", lists.images, Image)
        self.categories = self._table("category", lists.categories, Category)
        self.licences = self._table("licence", lists.licenses or [], Licence)

    def annotations(self) -> Iterator[tuple[int, Annotation | InputError]]:
        """Yield (place in the list from 0, annotation), or the error for an entry that is broken."""
        decoder = msgspec.json.Decoder(Annotation)
        for place, entry in enumerate(self._entries):
            try:
                yield place, _checked(_decoded(entry, decoder))
            except DeoccError as error:
                yield place, self.error(self.name_of(place), error)

    def name_of(self, place: int) -> str:
        """The id of an annotation that may be broken, or "entry 3" if it has no id."""
        number = _id_of(self._entries[place])
        return f"entry {place + 1}" if number is None else str(number)

    def error(self, name: str, error: DeoccError, what: str = "annotation") -> InputError:
        """The error for an entry, with its place and the cure."""
        return InputError(f"{self.path}: {what} {name}", str(error), _SKIP)

    def segmentation(self, place: int) -> Any:
        """The segmentation of an annotation, as parsed from JSON and not checked; None if there is none.

        Raises:
            DeoccError: it can't be parsed.
        """
        entry = self._entries[place]
        if not isinstance(entry, msgspec.Raw):
            return entry.get("segmentation")
        try:
            return msgspec.json.decode(_OUTLINE.decode(entry).segmentation)
        except _MALFORMED as error:
            raise DeoccError(_told(error)) from error

    def segmentation_json(self, place: int) -> bytes:
        """The JSON text of a segmentation that was checked; it takes a fraction of the memory of the parsed value."""
        entry = self._entries[place]
        if isinstance(entry, msgspec.Raw):
            return bytes(_OUTLINE.decode(entry).segmentation)
        return dump_json(entry["segmentation"], indent=None).encode()

    def _table(self, what: str, entries: Sequence[Any], kind: type[Record]) -> Table[Record]:
        decoder = msgspec.json.Decoder(kind)
        records: list[Record] = []
        broken: dict[str, str] = {}
        for place, entry in enumerate(entries):
            try:
                records.append(_checked(_decoded(entry, decoder)))
            except DeoccError as error:
                number = _id_of(entry)
                if not self._skip_bad:
                    name = f"entry {place + 1}" if number is None else str(number)
                    raise self.error(name, error, what) from error
                if number is not None:
                    broken[str(number)] = str(error)
        counts = Counter(str(r.id) for r in records)
        twice = [number for number, n in counts.items() if n > 1]
        if twice and not self._skip_bad:
            raise InputError(self.path, f"{what} id {one_line(twice[0])} is used twice", "give each its own id")
        broken |= dict.fromkeys(twice, "the id is used twice")
        plural = {"image": "images", "category": "categories", "licence": "licenses"}[what]
        return Table(plural, [r for r in records if str(r.id) not in broken], broken)


_OUTLINE = msgspec.json.Decoder(_Outline)


def _read(path: Path) -> _Entries | _Parsed:
    raw = read_bytes(path)
    try:
        return msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"), type=_Entries)
    except _MALFORMED:
        # What msgspec refuses is looked at again: NaN is tolerated here, and other errors are named.
        value = require_object(parse_json(raw, path), path, CURE)
    try:
        return msgspec.convert(value, _Parsed)
    except _MALFORMED as error:
        raise InputError(path, _told(error), CURE) from error


def _decoded(entry: Any, decoder: msgspec.json.Decoder[Record]) -> Record:
    try:
        if isinstance(entry, msgspec.Raw):
            return decoder.decode(entry)
        return msgspec.convert(entry, decoder.type)
    except _MALFORMED as error:
        raise DeoccError(_told(error)) from error


def _checked(record: Record) -> Record:
    """Check what msgspec does not: finite numbers, ids and texts that can be written, sizes above 0."""
    for name in record.__struct_fields__:  # type: ignore[attr-defined]
        value = getattr(record, name)
        if isinstance(value, tuple):
            wrong = not all(map(math.isfinite, value))
        elif isinstance(value, str):
            wrong = not is_text(value, _LONGEST) or (name in _NEVER_BLANK and not value.strip())
        elif isinstance(value, float):
            wrong = not math.isfinite(value)
        else:
            wrong = value is not None and not isinstance(value, bool) and not is_whole(value)
        if wrong or (name in ("height", "width") and value < 1):
            raise DeoccError(f"{name}: a value that is not usable, {one_line(repr(value), 80)}")
    return record


def _id_of(entry: Any) -> Id | None:
    """The id of an entry that may be broken in other fields."""
    try:
        value = msgspec.json.decode(entry) if isinstance(entry, msgspec.Raw) else entry
    except _MALFORMED:
        return None
    number = value.get("id") if isinstance(value, dict) else None
    return number if is_whole(number) or (is_text(number, _LONGEST) and number) else None


def _told(error: Exception) -> str:
    text = one_line(explained(str(error)), 200)
    return text.replace("object missing required field ", "lacks ")


def _shown(number: Id) -> str:
    return one_line(repr(number), 80)


def _type(number: Id) -> str:
    return "text" if isinstance(number, str) else "a number"
