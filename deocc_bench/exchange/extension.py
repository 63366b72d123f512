"""Extra fields in our COCO-like exports, from which `import` restores the original records.

An export adds the key `deocc_bench` to every image and to every annotation (or region).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from deocc_bench.core import masks
from deocc_bench.core.annotation import Annotation, ImageEntry, OccluderEntry
from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.masks import RLE
from deocc_bench.core.paths import inside, safe_id
from deocc_bench.exchange.importers.annotated import Item, Kept
from deocc_bench.exchange.importers.release import Photo, Release

EXTENSION = "deocc_bench"
_CURE = "fix the file, or use --skip-bad"

# The dialects contain these fields, or they can be computed from the masks.
_IN_DIALECT = frozenset(
    {
        *("id", "image_id", "category_id", "iscrowd", "segmentation", "bbox", "area"),
        *("visible_mask", "invisible_mask", "occlude_rate", "initial_iou", "digest"),
    }
)
_IN_IMAGE = frozenset({"id", "file_name", "height", "width"})
_SPLIT = "split"
_FILES = ("complete_file_name", "parsing_file_name")
# Image fields that older versions of `import` expect in the annotation.
_REPEATED = ("group_id", "licence", *_FILES)


def image_extension(record: SampleRecord) -> dict[str, Any]:
    """The image fields that COCO lacks, and the split. File names are relative to the dataset."""
    return {k: v for k, v in record.image.items() if k not in _IN_IMAGE} | {_SPLIT: record.split}


def annotation_extension(record: SampleRecord) -> dict[str, Any]:
    """The annotation fields that COCO lacks, and the image fields that an older `import` needs.

    Raises:
        DeoccError: the runs of a mask in them don't fill it.
    """
    for rle in (record.initial, *(o.segmentation for o in record.truth.occluders or ())):
        if rle is not None:
            masks.checked(rle)
    required = {"human_id": record.human_id, "variant": 0, "licence": "", "occluders": [], "provenance": {}}
    own = {k: v for k, v in record.annotation.items() if k not in _IN_DIALECT}
    return required | own | {k: record.image[k] for k in _REPEATED if k in record.image}


def restored(item: Item, own: Mapping[str, Any] | None, photo: Photo, release: Release, where: str) -> Item:
    """Restore an item from the fields that our own export added; an item without them is returned unchanged.

    Args:
        own: the fields of the annotation or region.
        release: its folder is the exported dataset, to which file names are relative.

    Raises:
        InputError: a field is missing or has the wrong type, a name is unsafe, or a mask does not fit the photo.
    """
    if not own:
        return item
    about = photo.entry.deocc_bench or {}
    image = _image(own, about, photo, where)
    truth = _truth(own, item, where)
    names = [getattr(truth, key) or getattr(image, key) for key in _FILES]
    complete, parsing = (inside(release.folder, name, where) if name else None for name in names)
    split = item.split if release.split_given else about.get(_SPLIT, item.split)
    if truth.initial_mask is not None:
        _check_mask(truth.initial_mask, item, where, "initial_mask")
    return replace(
        item,
        id=truth.sample_id,
        split=safe_id(split, where, "split", _CURE),
        group_id=image.group_id,
        human_id=safe_id(truth.human_id, where, "human_id", _CURE) if truth.human_id else "",
        variant=truth.variant or 0,
        licence=image.licence or "",
        category=truth.category,
        occluders=None if truth.occluders is None else tuple(_occluder(o, item, where) for o in truth.occluders),
        initial=truth.initial_mask,
        complete=complete,
        parsing=parsing,
        renamed=False,
        notes=truth.provenance or {},
        kept=Kept(
            image_id=image.id,
            files_of_image=tuple(key for key in _FILES if key in about),
            parts_hidden=truth.parts_hidden,
            image=image.extra,
            annotation=truth.extra,
        ),
    )


def _image(own: Mapping[str, Any], about: Mapping[str, Any], photo: Photo, where: str) -> ImageEntry:
    height, width = photo.size
    dialect = {"id": photo.entry.id, "file_name": photo.entry.file_name, "height": height, "width": width}
    repeated = {k: own[k] for k in _REPEATED if k in own}
    return ImageEntry.from_json(repeated | {k: v for k, v in about.items() if k != _SPLIT} | dialect, where)


def _truth(own: Mapping[str, Any], item: Item, where: str) -> Annotation:
    # The importer recomputes ids and numbers; these are placeholders for required fields.
    dialect: dict[str, Any] = {"id": 0, "image_id": 0, "occlude_rate": 0}
    dialect |= {"segmentation": item.amodal, "visible_mask": item.modal}
    return Annotation.from_json({k: v for k, v in own.items() if k not in ("group_id", "licence")} | dialect, where)


def _occluder(occluder: OccluderEntry, item: Item, where: str) -> OccluderEntry:
    """The occluder with a checked mask and all fields that a dataset has."""
    _check_mask(occluder.segmentation, item, where, f"the mask of occluder {occluder.id}")
    return replace(
        occluder,
        group_id=occluder.group_id or "",
        licence=occluder.licence or "",
        behind=bool(occluder.behind),
    )


def _check_mask(rle: RLE, item: Item, where: str, what: str) -> None:
    try:
        size = masks.checked(rle)["size"]
    except DeoccError as error:
        raise InputError(where, f"{what}: {error}", _CURE) from error
    if tuple(size) != item.size:
        raise InputError(where, f"{what} is {size}, but its photo is {list(item.size)} (height, width)", _CURE)
