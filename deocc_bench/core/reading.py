"""Records which files were read, with the digest of their content, so that a resumed run notices a changed input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader
from pathlib import Path

from deocc_bench.core.errors import InputError

Digests = dict[str, str]

_record: ContextVar[Digests | None] = ContextVar("reading", default=None)
_known: ContextVar[Mapping[str, str]] = ContextVar("known", default={})  # noqa: B039  (never changed)


@contextmanager
def recorded(known: Mapping[str, str] | None = None) -> Iterator[Digests]:
    """Record the files that this thread reads inside the block: path -> hex SHA-256 of the content.

    Args:
        known: digests that the files must have, where they are listed.
    """
    files: Digests = {}
    tokens = _record.set(files), _known.set(known or {})
    try:
        yield files
    finally:
        _record.reset(tokens[0])
        _known.reset(tokens[1])


def note_read(path: str | Path, raw: bytes) -> None:
    """Record that `raw` is the content of the file `path`. Every function that reads an input file calls it.

    Raises:
        InputError: the file has changed since it was read before.
    """
    if _record.get() is not None:
        _note(path, hashlib.sha256(raw).hexdigest())


def note_opened(path: str | Path, file: BufferedReader) -> None:
    """The same for an open file that is not read as a whole; its position is set to the start."""
    if _record.get() is not None:
        _note(path, hashlib.file_digest(file, "sha256").hexdigest())
        file.seek(0)


def _note(path: str | Path, value: str) -> None:
    files, name = _record.get(), str(path)
    assert files is not None
    if files.get(name, value) != value or _known.get().get(name, value) != value:
        raise changed(path)
    files[name] = value


def changed(path: str | Path) -> InputError:
    """The error for an input that is no longer what the run has read."""
    return InputError(
        path, "was changed after this run had read it", "restore it, or start again in another --out folder"
    )


def file_digest(path: str | Path) -> str:
    """Hex SHA-256 of a file; "" if it can't be read."""
    try:
        with open(path, "rb") as f:
            return hashlib.file_digest(f, "sha256").hexdigest()
    except OSError:
        return ""


def first_difference(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, str] | None:
    """(path, "was changed" | "is new" | "is gone") of the first file that differs; None if all are equal."""
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            return path, "is new" if path not in old else "is gone" if path not in new else "was changed"
    return None
