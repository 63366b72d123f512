"""`d2sa:FILE.json`: the flat dialect, used by D2SA and by COCOA in detector forks.

COCO style with an amodal `segmentation`, and `visible_mask`, `invisible_mask` and `occlude_rate`. The output of
`export --format coco` is read back without loss.

Source of the schema: Follmann et al., "Learning to see the invisible" (WACV 2019), as collected in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError
from deocc_bench.core.masks import RLE
from deocc_bench.exchange.extension import restored
from deocc_bench.exchange.importers.annotated import Bad, Item, consistent, number, read_rle
from deocc_bench.exchange.importers.release import Photo, Release, visible

# (annotation, (height, width), where) -> (amodal, modal)
ReadMasks = Callable[[Mapping[str, Any], tuple[int, int], str], tuple[RLE, RLE]]

# Depth-order fields, which are kept in the provenance.
_DEPTH = ("oco_id", "ico_id", "layer_order")


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
    yield from read_flat(release, masks_of)


def read_flat(release: Release, read_masks: ReadMasks) -> Iterator[Item | Bad]:
    """Yield the items of a COCO-style file; `read_masks` reads the masks of its dialect."""
    categories = _names(release.content.get("categories", ()))
    licences = _names(release.content.get("licenses", ()))
    for group in _by_photo(release.content["annotations"]):
        try:
            photo = release.photo(group[0].get("image_id"))
        except InputError as error:
            yield Bad(error)
            continue
        items: list[Item] = []
        for k, annotation in enumerate(group, start=1):
            at = f"{release.path}: annotation {annotation.get('id', k)}"
            try:
                amodal, modal = _masks(annotation, photo.size, at, read_masks)
                item = Item(
                    id=f"{photo.stem}-{annotation.get('id', k)}",
                    split=release.split,
                    group_id=photo.stem,
                    photo=photo.file,
                    size=photo.size,
                    amodal=amodal,
                    modal=modal,
                    category=categories.get(annotation.get("category_id"), "unnamed").strip().lower(),
                    licence=licences.get(photo.entry.get("license"), release.licence),
                    notes=_notes(release.kind, photo, annotation),
                )
                items.append(consistent(restored(item, annotation, photo, release, at), at))
            except InputError as error:
                yield Bad(error)
        yield from release.chosen(items)


def _names(entries: Sequence[Mapping[str, Any]]) -> dict[Any, str]:
    """Names of categories or licences by id."""
    return {e["id"]: str(e.get("name", e["id"])) for e in entries if "id" in e}


def _by_photo(annotations: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    groups: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in annotations:
        image_id = annotation.get("image_id")
        groups.setdefault(image_id if isinstance(image_id, int | str) else repr(image_id), []).append(annotation)
    return list(groups.values())


def _masks(annotation: Mapping[str, Any], size: tuple[int, int], where: str, read_masks: ReadMasks) -> tuple[RLE, RLE]:
    if int(number(annotation.get("iscrowd", 0), where, "iscrowd")):
        raise InputError(where, "is a crowd (iscrowd), not a single object", "use --skip-bad")
    return read_masks(annotation, size, where)


def _notes(kind: str, photo: Photo, annotation: Mapping[str, Any]) -> dict[str, Any]:
    notes = {"kind": kind, "image_id": photo.entry["id"], "annotation_id": annotation.get("id")}
    return notes | {key: annotation[key] for key in _DEPTH if key in annotation}


def masks_of(annotation: Mapping[str, Any], size: tuple[int, int], where: str) -> tuple[RLE, RLE]:
    """Amodal and modal mask of a D2SA annotation."""
    amodal = read_rle(annotation.get("segmentation"), size, where, "segmentation")
    return amodal, visible(annotation, amodal, size, where)
