"""Atomic file writes (a temporary name, then a rename), output folders and digests."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from pathlib import Path

from deocc_bench.core.errors import FaultError, UsageError, one_line

LOCK_FILE = ".lock"  # in an output folder while a run writes to it
TMP_PREFIX = ".tmp-"
# The umask can only be read by setting it, which affects all threads. So it is read once, at import.
_UMASK = os.umask(0)
os.umask(_UMASK)


def atomic_write(path: str | Path, data: bytes | str) -> None:
    """Write `data` (text as UTF-8) to `path` atomically: a killed run leaves the old file or the new one, never a part.

    Raises:
        FaultError: the disk is full or the folder is not writable; the message names the file and the cure.
    """
    path = Path(path)
    raw = data.encode() if isinstance(data, str) else data
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=TMP_PREFIX, dir=path.parent)
        with os.fdopen(handle, "wb") as f:
            f.write(raw)
        os.chmod(temporary, 0o666 & ~_UMASK)
        os.replace(temporary, path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise write_error(path, error) from error


def write_error(path: str | Path, error: OSError | ValueError) -> FaultError:
    """The one-line error for a failed write, with its cure."""
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None) or error
    where = one_line(path, 300)
    if number in (errno.ENOSPC, errno.EDQUOT):
        return FaultError(f"{where}: no space left on the device", "free some space")
    if number == errno.EFBIG:
        return FaultError(f"{where}: can't be written ({reason})", "raise the limit of the file size")
    return FaultError(f"{where}: can't be written ({reason})", "choose a writable folder")


def require_empty(folder: str | Path, cure: str = "choose another --out") -> None:
    """Refuse an output folder that already holds something; the lock file of a run does not count.

    Raises:
        UsageError: `folder` is a file, or a folder with content; ends with `cure`.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(p.name != LOCK_FILE for p in folder.iterdir())):
        raise UsageError(
            f"{folder}: the folder is not empty; {cure}" if folder.is_dir() else f"{folder}: is a file; {cure}"
        )


def sweep_temporary(folder: str | Path) -> int:
    """Remove temporary files that killed runs left below `folder`; return the number of files."""
    leftovers = [p for p in Path(folder).rglob(f"{TMP_PREFIX}*") if p.is_file()]
    for p in leftovers:
        p.unlink(missing_ok=True)
    return len(leftovers)


def sha256_file(path: str | Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
