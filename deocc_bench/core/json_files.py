"""Reads and checks JSON from strangers: bounded, typed, with errors that name the file, the entry and the field.

msgspec parses. It is strict, so a file that it refuses is parsed again by the standard library, which accepts NaN and
infinity: one bad number then makes one bad entry, not a bad file.
"""

from __future__ import annotations

import json
import math
import os
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from deocc_bench.core.errors import InputError
from deocc_bench.core.reading import read_file

Value = TypeVar("Value")

LIMIT_VARIABLE = "DEOCC_MAX_JSON"
_DEFAULT_LIMIT = 2**32  # bytes
_LARGEST = 2**64
_DEEPEST = 100  # nested lists and objects
_CURE = "correct the file or create it again"


def dump_json(value: Any, indent: int | None = 1) -> str:
    """JSON text with sorted keys and a final newline: equal values have equal text. NaN raises ValueError."""
    return json.dumps(value, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: str | Path) -> Any:
    """Read and parse a JSON file. NaN, infinities and integers beyond 64 bits are returned as floats.

    Raises:
        InputError: the file is missing, unreadable, too large, nested too deeply, or not JSON.
    """
    return parse_json(read_bytes(path), path)


def read_bytes(path: str | Path) -> bytes:
    """Read a JSON file without parsing it; see `read_json`."""
    limit = _limit()
    try:
        size = os.stat(path).st_size
    except (OSError, ValueError):
        size = 0  # `read_file` reports it
    if size > limit:
        cure = f"split it, or raise the limit with {LIMIT_VARIABLE}"
        raise InputError(path, f"has {size:,} bytes, more than the limit of {limit:,}", cure)
    return read_file(path)


def parse_json(text: bytes | str, where: str | Path) -> Any:
    """Parse JSON text; see `read_json`. `where` names it in errors."""
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return _parse_leniently(raw, where)


def checked(value: Any, kind: type[Value], where: str | Path, cure: str = _CURE) -> Value:
    """Convert a parsed value to a type that msgspec knows (a Struct, list[int], ...), or explain what is wrong.

    Raises:
        InputError: the value has another type, or holds something that is not plain data; names the field.
    """
    place = _not_plain(value)
    if place is not None:
        told = f"{place.lstrip('.')}: " if place else ""
        raise InputError(where, f"{told}holds a number, a text or a depth that can't be stored", cure)
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise InputError(where, explained(str(error)), cure) from error
    except (RecursionError, OverflowError) as error:
        raise InputError(where, f"holds a value that can't be read ({error})", cure) from error


def explained(message: str) -> str:
    """msgspec's message in our words: "Expected `int`, got `str` - at `$.size[0]`" -> "size[0]: expected int, ..."."""
    text, _, place = message.partition(" - at `")
    text = text.replace("`", "")
    place = place.rstrip("`").removeprefix("$").removeprefix(".")
    return f"{place}: {text[:1].lower()}{text[1:]}" if place else f"{text[:1].lower()}{text[1:]}"


def require_object(value: Any, where: str | Path, cure: str = _CURE) -> dict[str, Any]:
    """The value itself if it is a JSON object.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, dict):
        raise InputError(where, f"must be an object, got {reprlib.repr(value)}", cure)
    return value


def entries(value: Any, where: str | Path, cure: str = _CURE) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield ("FILE: entry K", object) of a list of objects, counted from 1.

    Raises:
        InputError: it is not a list, or an entry is not an object.
    """
    if not isinstance(value, list):
        raise InputError(where, f"must be a list, got {reprlib.repr(value)}", cure)
    for number, entry in enumerate(value, start=1):
        at = f"{where}: entry {number}"
        yield at, require_object(entry, at, cure)


def is_whole(value: Any) -> bool:
    """Whether a value is an integer within 64 bits (true and false are not)."""
    return isinstance(value, int) and not isinstance(value, bool) and -_LARGEST < value < _LARGEST


def is_number(value: Any) -> bool:
    """Whether a value is a finite number (true and false are not)."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_text(value: Any, longest: int = 10_000) -> bool:
    """Whether a value is a string that can be written as UTF-8, without NUL."""
    if not isinstance(value, str) or len(value) > longest or "\0" in value:
        return False
    return value.isascii() or not _SURROGATE.search(value)


def is_plain(value: Any) -> bool:
    """Whether a value can be written as JSON again: finite numbers, UTF-8 text, at most 100 levels."""
    return _not_plain(value) is None


def _not_plain(value: Any, depth: int = 0) -> str | None:
    """The place of the first part that `is_plain` refuses, e.g. ".size[0]"; None if there is none."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if is_text(value, longest=2**31) else ""
    if depth > _DEEPEST:
        return ""
    if isinstance(value, list | tuple):
        if _is_plain_numbers(value):
            return None
        for number, part in enumerate(value):
            place = _not_plain(part, depth + 1)
            if place is not None:
                return f"[{number}]{place}"
        return None
    if isinstance(value, Mapping):
        for key, part in value.items():
            place = _not_plain(part, depth + 1) if is_text(key) else ""
            if place is not None:
                return f".{key}{place}"
        return None
    return None if is_number(value) else ""


def _is_plain_numbers(values: Sequence[Any]) -> bool:
    """Whether this is a list of ordinary numbers, as outlines are: much faster than looking at each of them."""
    if not values or not set(map(type, values)) <= {int, float}:
        return False
    return min(values) > -_LARGEST and max(values) < _LARGEST and math.isfinite(sum(values))


_SURROGATE = re.compile("[\ud800-\udfff]")


def _limit() -> int:
    text = os.environ.get(LIMIT_VARIABLE, "")
    if text and (not text.isdecimal() or len(text) > 18):
        raise InputError(LIMIT_VARIABLE, f"must be a number of bytes, got {text!r}", "correct or unset it")
    return int(text) if text else _DEFAULT_LIMIT


def _parse_leniently(raw: bytes, where: str | Path) -> Any:
    try:
        return json.loads(raw.decode("utf-8"), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise InputError(where, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error
    except json.JSONDecodeError as error:
        cure = "correct that line or create the file again"
        raise InputError(where, f"not valid JSON (line {error.lineno}, {error.msg})", cure) from error
    except RecursionError as error:
        raise InputError(where, "is nested too deeply to be data", "create the file again") from error


def _integer(text: str) -> int | float:
    return int(text) if len(text) <= 20 else float(text)
