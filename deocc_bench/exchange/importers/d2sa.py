"""`d2sa:FILE.json`: the flat dialect, used by D2SA and by COCOA in detector forks.

COCO style with an amodal `segmentation`, and `visible_mask`, `invisible_mask` and `occlude_rate`. The output of
`export --format coco` is read back without loss.

Source of the schema: Follmann et al., "Learning to see the invisible" (WACV 2019), as collected in docs/formats.md.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from deocc_bench.core.errors import InputError
from deocc_bench.core.json_files import is_text
from deocc_bench.core.masks import RLE
from deocc_bench.exchange.extension import restored
from deocc_bench.exchange.importers.annotated import Bad, Item, consistent, read_rle
from deocc_bench.exchange.importers.entries import CURE, FlatFields, Listing, Names, ReadMasks, fields_of, id_key, whole
from deocc_bench.exchange.importers.names import component
from deocc_bench.exchange.importers.release import Photo, Release, visible

# Fields that tell what is visible.
VISIBLE = ("visible_mask", "invisible_mask", "occlude_rate")
# Depth-order fields, which are kept in the provenance.
_DEPTH = ("oco_id", "ico_id", "layer_order")


class _Entry(NamedTuple):
    """An annotation, its place in messages, and whether its id had to be encoded to be kept at all."""

    fields: FlatFields
    where: str
    encoded: bool


def read(
    path: Path, *, images: Path | None = None, regions: str = "all", split: str | None = None, licence: str = ""
) -> Iterator[Item | Bad]:
    """Yield items photo by photo.

    Args:
        images: folder of the photos.
        regions: "all", or "persons" by category name.
        split: name of the split; by default taken from our own export, otherwise from the file name.
        licence: licence of photos whose entry has none.

    Raises:
        UsageError: the folder of photos is missing.
        InputError: the file is missing or has another schema.
    """
    release = Release.open("d2sa", path, images=images, regions=regions, split=split, licence=licence)
    yield from read_flat(release, masks_of, VISIBLE)


def read_flat(release: Release, read_masks: ReadMasks, visible_keys: Sequence[str]) -> Iterator[Item | Bad]:
    """Yield the items of a COCO-style file.

    Args:
        read_masks: reads the masks of its dialect.
        visible_keys: fields of its dialect that tell what is visible.

    Raises:
        InputError: no annotation tells what is visible, or a list is none.
    """
    release.require_visible(visible_keys, release.content["annotations"])
    categories = Listing.read(release.content.get("categories"), release.path, "categories")
    licences = Listing.read(release.content.get("licenses"), release.path, "licenses")
    yield from map(Bad, (*release.photos.errors, *categories.errors))
    names = Names(categories), Names(licences)
    groups: dict[str, list[_Entry]] = {}
    for entry in _entries(release):
        if isinstance(entry, Bad):
            yield entry
            continue
        try:
            groups.setdefault(release.key_of(entry.fields.image_id, entry.where), []).append(entry)
        except InputError as error:
            yield Bad(error)
    for key, group in groups.items():
        if key not in release.photos.wrong:  # told above
            yield from _of_photo(release, key, group, read_masks, names)


def _entries(release: Release) -> Iterator[_Entry | Bad]:
    """The annotations of the file; a second one with the same id is bad."""
    seen: set[str] = set()
    for k, value in enumerate(release.content["annotations"], start=1):
        at = f"{release.path}: {_name(value, k)}"
        foreign = value.get("id") if isinstance(value, dict) else None
        encoded = isinstance(foreign, str) and not is_text(foreign)
        try:
            fields = fields_of({**value, "id": component(str(foreign))} if encoded else value, FlatFields, at)
            if fields.id is not None:
                key = id_key(fields.id, at, "id")
                if key in seen:
                    raise InputError(at, f"two annotations have the id {fields.id!r}", CURE)
                seen.add(key)
            yield _Entry(fields, at, encoded)
        except InputError as error:
            yield Bad(error)


def _name(value: Any, k: int) -> str:
    """How messages name an annotation."""
    if not isinstance(value, dict) or value.get("id") is None:
        return f"entry {k} of annotations"
    return f"annotation {reprlib.repr(value['id'])} (image {reprlib.repr(value.get('image_id'))})"


def _of_photo(
    release: Release, key: str, group: Sequence[_Entry], read_masks: ReadMasks, names: tuple[Names, Names]
) -> Iterator[Item | Bad]:
    """The items of a photo."""
    try:
        photo = release.photo(key)
        licence = names[1].of(photo.entry.license, photo.where, "license", release.licence)
    except InputError as error:
        yield Bad(error)
        return
    items: list[Item] = []
    for k, (fields, at, encoded) in enumerate(group, start=1):
        try:
            amodal, modal = _masks(fields, photo.size, at, read_masks)
            foreign = f"{photo.label}-{k if fields.id is None else fields.id}"
            item = Item(
                id=component(foreign),
                split=release.split,
                group_id=photo.label,
                photo=photo.file,
                size=photo.size,
                amodal=amodal,
                modal=modal,
                category=names[0].of(fields.category_id, at, "category_id", "unnamed").strip().lower(),
                licence=licence,
                renamed=encoded or component(foreign) != foreign,
                notes=_notes(release.kind, photo, fields),
            )
            items.append(consistent(restored(item, fields.deocc_bench, photo, release, at), at))
        except InputError as error:
            yield Bad(error)
    yield from release.chosen(items)


def _masks(fields: FlatFields, size: tuple[int, int], where: str, read_masks: ReadMasks) -> tuple[RLE, RLE]:
    if fields.iscrowd is not None and whole(fields.iscrowd, where, "iscrowd"):
        raise InputError(where, "is a crowd (iscrowd), not a single object", "use --skip-bad")
    return read_masks(fields, size, where)


def _notes(kind: str, photo: Photo, fields: FlatFields) -> dict[str, Any]:
    depth = {key: getattr(fields, key) for key in _DEPTH if getattr(fields, key) is not None}
    return {"kind": kind, "image_id": photo.entry.id, "annotation_id": fields.id, **depth}


def masks_of(fields: FlatFields, size: tuple[int, int], where: str) -> tuple[RLE, RLE]:
    """Amodal and modal mask of a D2SA annotation."""
    amodal = read_rle(fields.segmentation, size, where, "segmentation")
    return amodal, visible(fields, amodal, size, where)
