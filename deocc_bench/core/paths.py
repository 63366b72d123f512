"""Names from files become paths here: ids are one safe component, and every file lies inside the folder given."""

from __future__ import annotations

import os
import re
import reprlib
from functools import lru_cache
from pathlib import Path, PurePosixPath

from deocc_bench.core.errors import InputError
from deocc_bench.core.json_files import is_text

LONGEST = 200  # bytes of an id: room for suffixes within the 255 of common file systems
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_safe_id(value: object) -> bool:
    """Whether an id is one component of a path on every system: no separator, no control character, not hidden."""
    return (
        isinstance(value, str)
        and is_text(value)
        and value.strip() == value != ""
        and not value.startswith(".")
        and not any(c in value for c in "/\\")
        and not _CONTROL.search(value)
        and len(value.encode()) <= LONGEST
    )


def safe_id(value: object, where: str | Path, what: str = "sample id", cure: str = "rename it") -> str:
    """Return an id that can be used as a file name.

    Raises:
        InputError: see `is_safe_id`.
    """
    if not is_safe_id(value):
        shown = repr(value) if len(repr(value)) <= 80 else f"{repr(value)[:77]}..."
        problem = f"the {what} {shown} can't be a file name (a folder, hidden, control characters, or too long)"
        raise InputError(where, problem, cure)
    return str(value)


def is_relative(name: object) -> bool:
    """Whether a file name, as written in a file, stays below its folder; links are not considered."""
    if not isinstance(name, str) or not is_text(name) or not name or _CONTROL.search(name) or "\\" in name:
        return False
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts and len(name) <= 1000


def inside(root: str | Path, name: str, where: str | Path) -> Path:
    """The path of a file that is named inside a dataset, record or annotation file.

    Args:
        root: the folder that the name is relative to. It may itself be a link.
        where: file and entry that contain the name, for error messages.

    Raises:
        InputError: the name is absolute or leads out of `root`, directly or through a link.
    """
    cure = "give the file inside the folder, under a relative name"
    if not is_relative(name):
        raise InputError(where, f"the file name {reprlib.repr(name)} leads out of its folder {root}", cure)
    path = Path(root) / name
    check_inside(root, path, where)
    return path


def check_inside(root: str | Path, path: str | Path, where: str | Path = "") -> None:
    """Check that links do not lead a path out of `root`; a missing file passes.

    Raises:
        InputError: they do.
    """
    if leads_out(root, path):
        link = f"{path} is" if where else "is"
        raise InputError(where or path, f"{link} a link that leads out of {root}", "copy the file into the folder")


def leads_out(root: str | Path, path: str | Path) -> bool:
    """Whether links lead a path below `root` out of it."""
    text = os.fspath(path)
    parent = _real(os.path.dirname(text))
    real = os.path.realpath(text) if os.path.islink(text) else os.path.join(parent, os.path.basename(text))
    base = _real(os.fspath(root))
    return os.path.commonpath([base, real]) != base


@lru_cache(maxsize=4096)
def _real(folder: str) -> str:
    return os.path.realpath(folder)
