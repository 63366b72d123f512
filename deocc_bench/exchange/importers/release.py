"""Shared by the importers of COCO-like files: the annotation file, its photos, and the choice of regions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.json_files import read_json
from deocc_bench.core.masks import RLE
from deocc_bench.core.registry import unknown
from deocc_bench.exchange.importers.annotated import (
    Item,
    find_photo,
    is_person,
    minus,
    number,
    read_rle,
    with_occluders,
)

REGIONS = ("all", "persons")
_CURE = "fix the file, or use --skip-bad"


class Photo(NamedTuple):
    """A listed photo: its entry, file, annotated (height, width), and its name in messages."""

    entry: Mapping[str, Any]
    file: Path
    size: tuple[int, int]
    where: str

    @property
    def stem(self) -> str:
        return Path(str(self.entry["file_name"])).stem


@dataclass(frozen=True)
class Release:
    """A COCO-like annotation file and its folder of photos.

    Args:
        kind: name of the importer.
        content: the parsed file, with lists of objects under `images` and `annotations`.
        folder: folder of the photos.
        split: name of the split.
        split_given: whether the user gave `split`; otherwise it comes from the file name.
        licence: licence of photos whose entry has none.
        regions: "all", or "persons" by category name.
        photos: image entries by id.
    """

    kind: str
    path: Path
    content: Mapping[str, Any]
    folder: Path
    split: str
    split_given: bool
    licence: str
    regions: str
    photos: Mapping[Any, Mapping[str, Any]]

    @classmethod
    def open(
        cls, kind: str, path: Path, *, images: Path | None, regions: str, split: str | None, licence: str
    ) -> Release:
        """Read the file.

        Raises:
            UsageError: the folder of photos is missing, or the choice of regions is unknown.
            InputError: the file is missing or not COCO-like.
        """
        if regions not in REGIONS:
            raise UsageError(unknown("choice of regions", regions, REGIONS))
        content = annotation_file(path)
        return cls(
            kind=kind,
            path=path,
            content=content,
            folder=_folder(kind, images),
            split=split_of(path, split),
            split_given=split is not None,
            licence=licence,
            regions=regions,
            photos={p["id"]: p for p in content["images"] if isinstance(p.get("id"), int | str)},
        )

    def photo(self, image_id: Any) -> Photo:
        """The photo with this image id.

        Raises:
            InputError: the photo is not listed, its file is missing, or its size is not given.
        """
        where = f"{self.path}: image {image_id}"
        if not isinstance(image_id, int | str) or image_id not in self.photos:
            raise InputError(where, "an annotation refers to it, but it is not listed", _CURE)
        entry = self.photos[image_id]
        if "file_name" not in entry:
            raise InputError(where, "lacks file_name", _CURE)
        file = find_photo(self.folder, str(entry["file_name"]), where)
        height, width = (int(number(entry.get(key), where, key)) for key in ("height", "width"))
        return Photo(entry, file, (height, width), where)

    def chosen(self, items: Sequence[Item], order: Mapping[str, int] | None = None) -> Iterator[Item]:
        """Yield the selected items of a photo with their occluders; `order` as in `with_occluders`."""
        for item in with_occluders(items, order):
            if self.regions == "all" or item.category is None or is_person(item.category):
                yield item


def visible(annotation: Mapping[str, Any], amodal: RLE, size: tuple[int, int], where: str) -> RLE:
    """The stored visible mask; otherwise amodal minus the stored invisible mask; otherwise the amodal mask.

    Raises:
        InputError: `occlude_rate` is positive, but both masks are missing.
    """
    if annotation.get("visible_mask"):
        return read_rle(annotation["visible_mask"], size, where, "visible_mask")
    if annotation.get("invisible_mask"):
        return minus(amodal, read_rle(annotation["invisible_mask"], size, where, "invisible_mask"))
    rate = number(annotation.get("occlude_rate", 0), where, "occlude_rate")
    if rate > 0:
        raise InputError(where, f"occlude_rate is {rate}, but there is no visible_mask", _CURE)
    return amodal


def annotation_file(path: Path) -> dict[str, Any]:
    """Read a COCO-like file.

    Raises:
        InputError: the file is not a JSON object with lists of objects in `images` and `annotations`.
    """
    data = read_json(path)
    cure = "give the original annotation file"
    for key in ("images", "annotations"):
        entries = data.get(key) if isinstance(data, dict) else None
        if not isinstance(entries, list):
            raise InputError(path, f"has no list of {key}", cure)
        wrong = next((k for k, entry in enumerate(entries, start=1) if not isinstance(entry, dict)), None)
        if wrong is not None:
            raise InputError(path, f"entry {wrong} of {key} is not an object", cure)
    return dict(data)


def split_of(path: Path, split: str | None) -> str:
    """The name of the split: `split` if given, otherwise "train" or "val" if in the file name, otherwise "test"."""
    if split is not None:
        return split
    return next((s for s in ("train", "val") if s in path.stem.lower()), "test")


def _folder(kind: str, images: Path | None) -> Path:
    if images is None:
        raise UsageError(f"{kind}: the annotation file has no photos; give their folder with --images DIR")
    if not Path(images).is_dir():
        raise UsageError(f"--images {images}: no such folder")
    return Path(images)
