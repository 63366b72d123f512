"""Finds the photos and labels of a data set on disk, where folders may be nested (releases) or renamed (re-packed)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from deocc_bench.core.errors import InputError
from deocc_bench.core.images import IMAGE_SUFFIXES

_DEPTH = 3
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# File systems allow 255 bytes with the suffix.
_LONGEST_NAME = 240


@dataclass(frozen=True)
class Layout:
    """Names of the folders with photos and labels.

    Args:
        photos, labels: folder paths relative to a common parent folder.
        lists: glob patterns of files with one id per line, relative to that parent (or any folder above, if `apart`);
            an existing list decides which ids are used.
        label_suffix: suffix of the label files.
        apart: the two folders need not share a parent (LIP comes as two archives).
    """

    photos: str
    labels: str
    lists: tuple[str, ...] = ()
    label_suffix: str = ".png"
    apart: bool = False


@dataclass(frozen=True)
class Place:
    """A layout found on disk."""

    layout: Layout
    photos: Path
    labels: Path
    lists: tuple[Path, ...]

    @cached_property
    def photo_names(self) -> frozenset[str]:
        """Names of the entries of the photo folder, listed once: checking every possible suffix of each photo on disk
        would cost as much as reading a label."""
        return frozenset(entry.name for entry in _scan(self.photos))

    @cached_property
    def unsafe(self) -> dict[str, InputError]:
        """The error of each line in the lists that is not a plain name, by the stem that stands for it."""
        return {stem: error for path in self.lists for stem, error in _read_list(path)[1].items()}


class WrongLayout(InputError):
    """The folder contains none of the layouts of a kind."""


def find_places(root: Path, kind: str, layouts: Sequence[Layout]) -> list[Place]:
    """All places below `root` that match one of `layouts`; a photo folder takes the first layout that matches.

    Raises:
        InputError: the folder does not exist, or photos have no label folder.
        WrongLayout: no layout matches; the message names the expected folders.
    """
    if not root.is_dir():
        raise InputError(f"{kind}:{root}", "not a folder" if root.exists() else "no such folder", "check the path")
    inner = {part for layout in layouts for name in (layout.photos, layout.labels) for part in name.split("/")}
    folders = _folders(root, inner)
    found: dict[Path, Place] = {}
    for layout in layouts:
        photo_folders = [f / layout.photos for f in folders if (f / layout.photos).is_dir()]
        label_folders = [f / layout.labels for f in folders if (f / layout.labels).is_dir()]
        for photos in photo_folders:
            parent = _parent(photos, layout.photos)
            labels = parent / layout.labels
            if labels not in label_folders and layout.apart and label_folders:
                labels = label_folders[0]
            if labels in label_folders and photos not in found:
                parents = {parent}
                if layout.apart:
                    # The lists may be in either of the two archives.
                    parents = {q for q in (*photos.parents, *labels.parents) if q.is_relative_to(root)}
                lists = sorted({p for q in parents for pattern in layout.lists for p in q.glob(pattern)})
                found[photos] = Place(layout, photos, labels, tuple(lists))
    _refuse_half(folders, layouts, found)
    if not found:
        looked = " or ".join(dict.fromkeys(f"{x.photos}/ with {x.labels}/" for x in layouts))
        raise WrongLayout(
            f"{kind}:{root}",
            f"not the layout of {kind}: looked for {looked}, here and {_DEPTH} levels down",
            "give the folder that contains them, or choose the right kind",
        )
    return [found[p] for p in sorted(found)]


def stems(place: Place) -> tuple[list[str], int]:
    """(sorted stems of a place, number of further stems that its lists exclude).

    Without a list these are the stems of all photos and all labels, so that a photo without a label is detected. A line
    of a list that is not a plain name also counts as a stem, for which `photo_of` raises the error.
    """
    photos = _stems_in(place.photos, IMAGE_SUFFIXES)
    labels = _stems_in(place.labels, (place.layout.label_suffix,))
    present = photos | labels
    if not place.lists:
        return sorted(present), 0
    listed: set[str] = set()
    for path in place.lists:
        entries, unsafe = _read_list(path)
        # Test lists contain photos whose labels were never released.
        listed |= entries & photos & labels if path.name.startswith("test") else entries
        listed |= unsafe.keys()
    if not listed:
        return sorted(present), 0
    return sorted(listed), len(present - listed)


def photo_of(place: Place, stem: str) -> Path | None:
    """The photo with this stem and any suffix.

    Raises:
        InputError: there are two such photos, or the stem stands for a line that is not a plain name.
    """
    if stem in place.unsafe:
        raise place.unsafe[stem]
    found: list[Path] = []
    for suffix in IMAGE_SUFFIXES:
        for name in (stem + suffix, stem + suffix.upper()):
            if name in place.photo_names and (place.photos / name).is_file():
                found.append(place.photos / name)
                break
    if len(found) > 1:
        raise InputError(found[0], f"there is {found[1].name} too", "keep only one of them")
    return found[0] if found else None


def _folders(root: Path, inner: set[str]) -> list[Path]:
    """`root` and the folders below it, nearest first, sorted; photo and label folders are not searched."""
    found, level = [root], [root]
    for _ in range(_DEPTH):
        level = sorted(
            Path(entry.path)
            for folder in level
            for entry in _scan(folder)
            if entry.is_dir() and entry.name not in inner and not entry.name.startswith(".")
        )
        found += level
    return found


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise InputError(folder, f"can't be read ({error.strerror})", "check its permissions") from error


def _parent(folder: Path, name: str) -> Path:
    return folder.parents[len(name.split("/")) - 1]


def _refuse_half(folders: Sequence[Path], layouts: Sequence[Layout], found: dict[Path, Place]) -> None:
    """Raise InputError if a split has no labels; otherwise it would be dropped silently if another is complete."""
    for layout in layouts if found else ():
        for folder in folders:
            photos = folder / layout.photos
            if photos.is_dir() and photos not in found and not folder.name.lower().startswith("test"):
                raise InputError(photos, f"no {layout.labels}/ for these photos", "add it, or give one split's folder")


def _stems_in(folder: Path, suffixes: Sequence[str]) -> set[str]:
    names = (e.name for e in _scan(folder) if not e.name.startswith("."))
    return {stem for stem, suffix in map(os.path.splitext, names) if suffix.lower() in suffixes}


def _read_list(path: Path) -> tuple[set[str], dict[str, InputError]]:
    """(ids in a list file, errors of the lines that are not plain names).

    An id is the first word of a line, without folder and image suffix. The errors are stored by names of their own.
    """
    if path.exists() and not path.is_file():
        raise InputError(path, "not a regular file", "write one id per line")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"can't be read as a list of ids ({error})", "write one id per line") from error
    ids: set[str] = set()
    unsafe: dict[str, InputError] = {}
    # Not `splitlines`, which would also split at control characters.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        word = line.split()[0]
        name = PurePosixPath(word)
        problem = _why_unsafe(line, name)
        if problem:
            cure = "write the plain name of a photo, or skip the line with --skip-bad"
            shown = word if len(word) <= 80 else f"{word[:79]}…"
            unsafe[f"{path.name}-line-{number}"] = InputError(f"{path}, line {number}", f"{shown!r} {problem}", cure)
        else:
            ids.add(name.stem if name.suffix.lower() in IMAGE_SUFFIXES else name.name)
    return ids, unsafe


def _why_unsafe(line: str, name: PurePosixPath) -> str:
    """Why a line of a list can't name a file inside the folders; empty if it can."""
    if _CONTROL.search(line):
        return "is on a line with a control character"
    if "\\" in str(name) or name.is_absolute() or ".." in name.parts or not name.name:
        return "leads out of the folder"
    return "is too long for a file name" if len(name.name.encode()) > _LONGEST_NAME else ""
