"""What our COCO-like exports keep beside the fields of their dialect, so that `import` restores the same records.

An export adds the key `deocc_bench` to every image and to every annotation (or region).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deocc_bench.core.annotation import Annotation, ImageEntry
from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import InputError
from deocc_bench.exchange.importers.annotated import Item, Kept

EXTENSION = "deocc_bench"

# The dialects hold these themselves, or they follow from the masks.
_IN_DIALECT = frozenset(
    {
        *("id", "image_id", "category_id", "iscrowd", "segmentation", "bbox", "area"),
        *("visible_mask", "invisible_mask", "occlude_rate", "initial_iou", "digest"),
    }
)
_IN_IMAGE = frozenset({"id", "file_name", "height", "width"})
_FILES = ("complete_file_name", "parsing_file_name")
# Fields of the image that older versions of `import` look for beside the annotation.
_REPEATED = ("group_id", "licence", *_FILES)


def image_extension(record: SampleRecord) -> dict[str, Any]:
    """The fields of the image that no dialect of COCO has. Files are named relative to the dataset."""
    return {k: v for k, v in record.image.items() if k not in _IN_IMAGE}


def annotation_extension(record: SampleRecord) -> dict[str, Any]:
    """The fields of the annotation that no dialect of COCO has, and those of its image that an older `import` needs."""
    required = {"human_id": record.human_id, "variant": 0, "licence": "", "occluders": [], "provenance": {}}
    own = {k: v for k, v in record.annotation.items() if k not in _IN_DIALECT}
    return required | own | {k: record.image[k] for k in _REPEATED if k in record.image}


def restored(item: Item, annotation: Mapping[str, Any], photo: Mapping[str, Any], folder: Path, where: str) -> Item:
    """The item with what our own export kept of it; an item of another source as it is.

    Args:
        annotation: the annotation or region.
        photo: its image entry.
        folder: the exported dataset, which the files are named relative to.

    Raises:
        InputError: a field is missing or has the wrong type.
    """
    own, about = annotation.get(EXTENSION), photo.get(EXTENSION, {})
    if not own:
        return item
    if not isinstance(own, Mapping) or not isinstance(about, Mapping):
        raise InputError(where, f"{EXTENSION} must be an object", "mend the file, or use --skip-bad")
    image = _image(own, about, photo, item, where)
    truth = _truth(own, photo, item, where)
    names = [getattr(truth, key) or getattr(image, key) for key in _FILES]
    complete, parsing = (folder / name if name else None for name in names)
    return replace(
        item,
        id=truth.sample_id,
        group_id=image.group_id,
        human_id=truth.human_id or "",
        variant=truth.variant or 0,
        licence=image.licence or "",
        category=truth.category,
        occluders=truth.occluders,
        initial=truth.initial_mask,
        complete=complete,
        parsing=parsing,
        notes=truth.provenance or {},
        kept=Kept(
            image_id=image.id,
            files_of_image=tuple(key for key in _FILES if key in about),
            parts_hidden=truth.parts_hidden,
            image=image.extra,
            annotation=truth.extra,
        ),
    )


def _image(
    own: Mapping[str, Any], about: Mapping[str, Any], photo: Mapping[str, Any], item: Item, where: str
) -> ImageEntry:
    height, width = item.size
    dialect = {"id": photo["id"], "file_name": photo["file_name"], "height": height, "width": width}
    return ImageEntry.from_json({k: own[k] for k in _REPEATED if k in own} | dict(about) | dialect, where)


def _truth(own: Mapping[str, Any], photo: Mapping[str, Any], item: Item, where: str) -> Annotation:
    # The importer works out ids and numbers anew; the record needs some.
    dialect = {"id": 0, "image_id": photo["id"], "occlude_rate": 0}
    dialect |= {"segmentation": item.amodal, "visible_mask": item.modal}
    return Annotation.from_json({k: v for k, v in own.items() if k not in ("group_id", "licence")} | dialect, where)
