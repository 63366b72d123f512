"""Reads regular files, and records which files were read with the digest of their content.

A resumed run compares the record with the files, so that it notices a changed input.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from io import BufferedReader
from pathlib import Path

from deocc_bench.core.errors import InputError
from deocc_bench.core.files import sha256_file

Digests = dict[str, str]
REPLACE = "replace the file, or skip it with --skip-bad"

_record: ContextVar[Digests | None] = ContextVar("reading", default=None)
_known: ContextVar[Mapping[str, str]] = ContextVar("known", default={})  # noqa: B039  (never changed)


class NotRegularError(OSError):
    """A folder, pipe or device in place of a file."""


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading.

    Raises:
        NotRegularError: it is something else.
        OSError: it can't be opened.
    """
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotRegularError(errno.EINVAL, "not a regular file", os.fspath(path))
    return open(handle, "rb")


def read_file(path: str | Path) -> bytes:
    """Read a regular file.

    Raises:
        InputError: the file is missing, unreadable, empty, or not a regular file (a folder, pipe or device).
    """
    try:
        f = open_regular(path)
    except NotRegularError:
        raise InputError(path, "not a regular file", "give an ordinary file") from None
    except FileNotFoundError:
        raise InputError(path, "no such file", "check the path") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InputError(path, f"can't be read ({reason})", "check the path and its permissions") from error
    with f:
        try:
            raw = f.read()
        except OSError as error:
            raise InputError(path, f"can't be read ({error.strerror})", "check the disk") from error
    if not raw:
        raise InputError(path, "the file is empty", REPLACE)
    note_read(path, raw)
    return raw


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


def note_file(path: str | Path, file: BufferedReader) -> None:
    """`note_read` of an open file, from its start, in constant memory; it is left at its start."""
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
        return sha256_file(path)
    except OSError:
        return ""


def first_difference(old: Mapping[str, str], new: Mapping[str, str]) -> tuple[str, str] | None:
    """(path, "was changed" | "is new" | "is gone") of the first file that differs; None if all are equal."""
    for path in sorted(old.keys() | new.keys()):
        if old.get(path) != new.get(path):
            return path, "is new" if path not in old else "is gone" if path not in new else "was changed"
    return None
