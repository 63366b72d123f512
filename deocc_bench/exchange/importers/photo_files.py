"""Finds the photos of an annotation file in their folder, so that two listed photos are never one file."""

from __future__ import annotations

import os
import posixpath
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from deocc_bench.core.errors import InputError
from deocc_bench.core.paths import check_inside, is_relative

_CURE = "check --images, or use --skip-bad"


class PhotoFolder:
    """A folder of photos, and the names under which an annotation file lists them.

    A photo is `folder / name`. Files differ in how they write names, so the name without percent codes, with `/` for
    `\\`, and in the other Unicode form are tried too; at last the base name alone. A name that two listed photos could
    mean is refused.

    Args:
        root: the folder.
        listed: the names of all photos in the annotation file.
    """

    def __init__(self, root: Path, listed: Iterable[str]) -> None:
        self.root = root
        names = list(listed)
        self._names = Counter(posixpath.normpath(n) for n in names)
        plain = [_plain(n) for n in names]
        self._plain = Counter(plain)
        self._bases = Counter(posixpath.basename(n) for n in plain)
        self._stems = Counter(_stem(n) for n in self._names)

    def find(self, name: str, where: str) -> Path:
        """The file of a listed photo.

        Raises:
            InputError: there is none, it is outside the folder, or two listed photos could be this file.
        """
        if self._names[posixpath.normpath(name)] > 1:
            raise InputError(where, f"two images have the file name {name!r}", "fix the file, or use --skip-bad")
        plain, spelled = _plain(name), [name, *_variants(name)]
        bases = [posixpath.basename(n) for n in spelled]
        tries = (([name], 1), (spelled, self._plain[plain]), (bases, self._bases[posixpath.basename(plain)]))
        for names, meant_by in tries:
            found = next((p for p in (self._existing(n, where) for n in names) if p is not None), None)
            if found is not None and meant_by > 1:
                problem = f"its photo {name} is not in {self.root}, and {found.name} may be that of another image"
                raise InputError(where, problem, "keep the photos in the folders that the file names")
            if found is not None:
                return found
        raise InputError(where, f"its photo {name} is not in {self.root}", _CURE)

    def label(self, name: str) -> str:
        """A name of a listed photo that no other one has: its base name without suffix, if possible."""
        name = posixpath.normpath(name)
        stem = _stem(name)
        return stem if self._stems[stem] == 1 and stem not in self._names else name

    def _existing(self, name: str, where: str) -> Path | None:
        if not is_relative(name):
            return None
        path = self.root / name
        if not os.path.lexists(path):
            return None
        check_inside(self.root, path, where)
        return path if os.path.exists(path) and not path.is_dir() else None


def _variants(name: str) -> list[str]:
    """Other spellings of a name."""
    slashed = name.replace("\\", "/")
    spelled = dict.fromkeys(s for n in (slashed, unquote(slashed)) for s in (n, *_forms(n)))
    return [s for s in spelled if s != name]


def _forms(name: str) -> list[str]:
    return [] if name.isascii() else [unicodedata.normalize(form, name) for form in ("NFC", "NFD")]


def _plain(name: str) -> str:
    """The same text for all spellings of a name."""
    name = unquote(name) if "%" in name else name
    return posixpath.normpath(unicodedata.normalize("NFC", name).replace("\\", "/"))


def _stem(name: str) -> str:
    return PurePosixPath(name.replace("\\", "/")).stem
