"""Shared by the importers of COCO-like files: the annotation file, its photos, and the choice of regions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.masks import RLE
from deocc_bench.core.pixels import check_size
from deocc_bench.core.registry import unknown
from deocc_bench.exchange.importers.annotated import Bad, Item, minus, nothing, read_rle, with_occluders
from deocc_bench.exchange.importers.entries import (
    CURE,
    FlatFields,
    Id,
    ImageFields,
    Listing,
    RegionFields,
    annotation_file,
    fields_of,
    id_key,
    number,
    text,
    whole,
)
from deocc_bench.exchange.importers.people import is_person
from deocc_bench.exchange.importers.photo_files import PhotoFolder

REGIONS = ("all", "persons")


class Photo(NamedTuple):
    """A listed photo.

    Args:
        entry: its fields in the file.
        file: its file.
        size: (height, width) as annotated.
        label: a name that no other photo of the file has.
        where: its place in messages.
    """

    entry: ImageFields
    file: Path
    size: tuple[int, int]
    label: str
    where: str


@dataclass(frozen=True)
class Release:
    """A COCO-like annotation file and its folder of photos.

    Args:
        kind: name of the importer.
        content: the parsed file, with lists under `images` and `annotations`.
        folder: folder of the photos.
        split: name of the split.
        split_given: whether the user gave `split`; otherwise it comes from the file name.
        licence: licence of photos whose entry has none.
        regions: "all", or "persons" by category name.
        photos: image entries by id.
        files: the folder with the names of the listed photos.
    """

    kind: str
    path: Path
    content: Mapping[str, Any]
    folder: Path
    split: str
    split_given: bool
    licence: str
    regions: str
    photos: Listing
    files: PhotoFolder

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
        folder = _folder(kind, images)
        photos = Listing.read(content["images"], path, "images")
        names = (entry.get("file_name") for entry in photos.entries.values())
        return cls(
            kind=kind,
            path=path,
            content=content,
            folder=folder,
            split=split_of(path, split),
            split_given=split is not None,
            licence=licence,
            regions=regions,
            photos=photos,
            files=PhotoFolder(folder, (n for n in names if isinstance(n, str))),
        )

    def require_visible(self, keys: Sequence[str], entries: Iterable[Any]) -> None:
        """Refuse plain COCO: without a single visible mask, every object would count as unoccluded.

        Args:
            keys: fields that tell what is visible; one entry with one of them is enough.
            entries: annotations or regions.

        Raises:
            InputError: there are entries, and none of them has one of the fields.
        """
        objects = [e for e in entries if isinstance(e, Mapping)]
        told = ("deocc_bench", *keys)
        if objects and not any(key in e for e in objects for key in told):
            problem = f"has no visible masks ({', '.join(keys)}): its masks are not amodal"
            raise InputError(self.path, problem, f"give a file with amodal and visible masks ({self.kind})")

    def key_of(self, image_id: Id, where: str) -> str:
        """The key of an annotation's photo.

        Raises:
            InputError: the photo is not listed.
        """
        key = id_key(image_id, where, "image_id")
        if key not in self.photos.entries and key not in self.photos.wrong:
            raise InputError(where, f"refers to image {image_id!r}, but it is not listed", CURE)
        return key

    def photo(self, key: str) -> Photo:
        """The photo with this key.

        Raises:
            InputError: a field is missing or has the wrong type, or the file is missing, outside the folder or
                ambiguous.
        """
        where = f"{self.path}: image {key}"
        entry: ImageFields = fields_of(self.photos.entries[key], ImageFields, where)
        name = text(entry.file_name, where, "file_name")
        height, width = (
            whole(value, where, what) for value, what in ((entry.height, "height"), (entry.width, "width"))
        )
        check_size(where, height, width)
        return Photo(entry, self.files.find(name, where), (height, width), self.files.label(name), where)

    def chosen(self, items: Sequence[Item], order: Mapping[str, int] | None = None) -> Iterator[Item | Bad]:
        """Yield the selected items of a photo with their occluders; `order` as in `with_occluders`."""
        unique: dict[str, Item] = {}
        for item in items:
            if unique.setdefault(item.id, item) is not item:
                yield Bad(InputError(self.path, f"two samples have the id {item.id}", CURE))
        for item in with_occluders(list(unique.values()), order):
            if self.regions == "all" or item.category is None or is_person(item.category):
                yield item


def visible(entry: FlatFields | RegionFields, amodal: RLE, size: tuple[int, int], where: str) -> RLE:
    """The stored visible mask; otherwise amodal minus the stored invisible mask; otherwise the amodal mask.

    An empty list is an empty mask.

    Raises:
        InputError: `occlude_rate` is positive, but both masks are missing.
    """
    rate = 0.0 if entry.occlude_rate is None else number(entry.occlude_rate, where, "occlude_rate")
    if entry.visible_mask is not None:
        return part(entry.visible_mask, size, where, "visible_mask")
    if entry.invisible_mask is not None:
        return minus(amodal, part(entry.invisible_mask, size, where, "invisible_mask"))
    if rate > 0:
        raise InputError(where, f"occlude_rate is {rate}, but there is no visible_mask", CURE)
    return amodal


def part(segmentation: Any, size: tuple[int, int], where: str, what: str) -> RLE:
    """`read_rle` of a mask that may be empty, written as []."""
    return nothing(size) if segmentation == [] else read_rle(segmentation, size, where, what)


def split_of(path: Path, split: str | None) -> str:
    """The name of the split: `split` if given, otherwise "train" or "val" if in the file name, otherwise "test"."""
    if split is not None:
        return split
    return next((s for s in ("train", "val") if s in path.stem.lower()), "test")


def _folder(kind: str, images: Path | None) -> Path:
    if images is None:
        raise UsageError(f"{kind}: the annotation file has no photos; give their folder with --images DIR")
    try:
        if Path(images).is_dir():
            return Path(images)
    except OSError:
        pass  # a name that is too long
    raise UsageError(f"--images {images}: no such folder")
