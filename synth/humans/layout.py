"""Where the photos and labels of a data set lie on disk: releases nest their folders, re-packed ones rename them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from deocc_bench.core.errors import InputError
from deocc_bench.core.images import IMAGE_SUFFIXES

_DEPTH = 3


@dataclass(frozen=True)
class Layout:
    """Names of the folders of photos and labels.

    Args:
        photos, labels: relative to one parent folder.
        lists: glob patterns of files with one id a line, relative to that parent (any folder above, if `apart`);
            where one exists, it decides.
        label_suffix: of the label files.
        apart: the two folders need not have one parent (LIP comes as two archives).
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
        """Names of the files among the photos, listed once: to ask the disk for each possible suffix of each photo
        costs as much as to read a label."""
        return frozenset(entry.name for entry in _scan(self.photos) if entry.is_file())


class WrongLayout(InputError):
    """None of a kind's layouts is in the folder."""


def find_places(root: Path, kind: str, layouts: Sequence[Layout]) -> list[Place]:
    """All places below `root` that fit one of `layouts`; of several that fit one folder of photos, the first.

    Raises:
        InputError: no such folder, or photos whose folder of labels is missing.
        WrongLayout: nothing fits; the message says what was looked for.
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
                    # Of two archives, nobody knows which one brought the lists.
                    parents = {q for q in (*photos.parents, *labels.parents) if q.is_relative_to(root)}
                lists = sorted({p for q in parents for pattern in layout.lists for p in q.glob(pattern)})
                found[photos] = Place(layout, photos, labels, tuple(lists))
    _refuse_half(folders, layouts, found)
    if not found:
        looked = " or ".join(dict.fromkeys(f"{x.photos}/ with {x.labels}/" for x in layouts))
        raise WrongLayout(
            f"{kind}:{root}",
            f"not the layout of {kind}: looked for {looked}, here and {_DEPTH} levels down",
            "give the folder that holds them, or name the right kind",
        )
    return [found[p] for p in sorted(found)]


def stems(place: Place) -> tuple[list[str], int]:
    """(stems of a place, sorted; how many more its lists leave out).

    Without a list these are the stems of all photos and all labels, so that a photo without label is noticed.
    """
    photos = _stems_in(place.photos, IMAGE_SUFFIXES)
    labels = _stems_in(place.labels, (place.layout.label_suffix,))
    present = photos | labels
    if not place.lists:
        return sorted(present), 0
    listed: set[str] = set()
    for path in place.lists:
        entries = _read_list(path)
        # Test lists name photos whose labels were never released.
        listed |= entries & photos & labels if path.name.startswith("test") else entries
    if not listed:
        return sorted(present), 0
    return sorted(listed), len(present - listed)


def photo_of(place: Place, stem: str) -> Path | None:
    """The photo of this stem, whatever its suffix.

    Raises:
        InputError: there are two.
    """
    found: list[Path] = []
    for suffix in IMAGE_SUFFIXES:
        for name in (stem + suffix, stem + suffix.upper()):
            if name in place.photo_names and (place.photos / name).is_file():
                found.append(place.photos / name)
                break
    if len(found) > 1:
        raise InputError(found[0], f"there is {found[1].name} too", "keep one of the two")
    return found[0] if found else None


def _folders(root: Path, inner: set[str]) -> list[Path]:
    """`root` and the folders below it, nearest first, sorted; folders of photos and labels are not entered."""
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
    """A split whose labels are not there would vanish without a word, were another split complete."""
    for layout in layouts if found else ():
        for folder in folders:
            photos = folder / layout.photos
            if photos.is_dir() and photos not in found and not folder.name.lower().startswith("test"):
                raise InputError(photos, f"no {layout.labels}/ for these photos", "add it, or give one split's folder")


def _stems_in(folder: Path, suffixes: Sequence[str]) -> set[str]:
    names = (e.name for e in _scan(folder) if not e.name.startswith("."))
    return {stem for stem, suffix in map(os.path.splitext, names) if suffix.lower() in suffixes}


def _read_list(path: Path) -> set[str]:
    """Ids of a list: the first word of each line, without folder and image suffix."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"can't be read as a list of ids ({error})", "write one id a line") from error
    names = (PurePosixPath(line.split()[0]) for line in lines if line.strip())
    return {p.stem if p.suffix.lower() in IMAGE_SUFFIXES else p.name for p in names}
