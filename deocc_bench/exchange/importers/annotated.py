"""Shared by the importers: the `Item` class, and functions that make the masks of a photo consistent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.annotation import OccluderEntry
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.labels import IGNORE
from deocc_bench.core.masks import RLE

# If more than this share of the visible mask is outside the amodal mask, the item is rejected instead of clipped.
_CONTRADICTION = 0.5


@dataclass(frozen=True)
class Kept:
    """Fields of a sample that our own export preserved and that `Item` has no field for.

    Args:
        image_id: COCO id of the image; None: assign a new one.
        files_of_image: names of the file fields that belong to the image entry, not to the annotation.
        parts_hidden: as in the annotation.
        image, annotation: unknown fields of the two records.
    """

    image_id: int | str | None = None
    files_of_image: tuple[str, ...] = ()
    parts_hidden: Mapping[str, float] | None = None
    image: Mapping[str, Any] = field(default_factory=dict)
    annotation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One annotated object in one photo.

    Args:
        group_id: the photo, or another unit that must stay in one split.
        photo: file of the photo.
        size: (height, width) as annotated.
        amodal, modal: RLE at the size of the photo, modal within amodal.
        category: category name in the source; None: not named in the source; the object is a person.
        occluders: as in the annotation of a dataset; None: unknown.
        complete, parsing, initial: files or masks, if the source has them.
        clipped: number of visible pixels outside the amodal mask that were removed.
        soft: number of mask files with grey levels, which were read at half of white.
        renamed: whether the id is the source's with characters encoded that a file name can't have.
        notes: content of `provenance` in the annotation.
        kept: fields preserved by our own export.
    """

    id: str
    split: str
    group_id: str
    photo: Path
    size: tuple[int, int]
    amodal: RLE
    modal: RLE
    category: str | None = "person"
    human_id: str = ""
    variant: int = 0
    licence: str = ""
    occluders: tuple[OccluderEntry, ...] | None = None
    complete: Path | None = None
    parsing: Path | None = None
    initial: RLE | None = None
    clipped: int = 0
    soft: int = 0
    renamed: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
    kept: Kept = Kept()


@dataclass(frozen=True)
class Bad:
    """An invalid entry, with an error that says where and why."""

    error: InputError


def read_rle(segmentation: Any, size: tuple[int, int], where: str, what: str) -> RLE:
    """Convert any COCO segmentation to RLE: polygons, a single flat polygon, or RLE of either kind.

    Raises:
        InputError: the segmentation is invalid, or its size is not that of the photo.
    """
    try:
        return masks.from_coco(segmentation, *size)
    except DeoccError as error:
        raise InputError(where, f"{what}: {error}", "fix the file, or use --skip-bad") from error


def nothing(size: tuple[int, int]) -> RLE:
    """An empty mask of (height, width)."""
    return masks.encode(np.zeros(size, bool))


def minus(a: RLE, b: RLE) -> RLE:
    """The pixels of `a` that are not in `b`."""
    return masks.encode(masks.decode(a) & ~masks.decode(b))


def consistent(item: Item, where: str) -> Item:
    """Return the item with its modal mask clipped to the amodal mask; `clipped` is the number of removed pixels.

    Raises:
        InputError: the amodal mask is empty, or most of the modal mask is outside it.
    """
    cure = "fix the annotation, or use --skip-bad"
    if masks.area(item.amodal) == 0:
        raise InputError(where, "the amodal mask is empty (degenerate or outside the photo)", cure)
    seen, both = masks.area(item.modal), masks.intersection([item.modal, item.amodal])
    outside = seen - masks.area(both)
    if outside > _CONTRADICTION * seen:
        raise InputError(where, f"{outside} of {seen} visible pixels are outside the amodal mask", cure)
    return replace(item, modal=both, clipped=outside) if outside else item


def with_occluders(items: Sequence[Item], order: Mapping[str, int] | None = None) -> list[Item]:
    """Return the items of one photo with their occluders: other items with visible pixels in the hidden region.

    Hidden pixels that no other item covers become one occluder "unknown", an object that was not annotated. Items with
    known occluders are returned unchanged.

    Args:
        items: all items of one photo.
        order: depth of each item id, lower is nearer. By default, an item that occludes another one is nearer.
    """
    hidden = {i.id: minus(i.amodal, i.modal) for i in items}
    boxes = {i.id: (masks.bbox(hidden[i.id]), masks.bbox(i.modal)) for i in items}
    fronts = {
        i.id: [
            o
            for o in items
            if o.id != i.id
            and _overlap(boxes[i.id][0], boxes[o.id][1])
            and masks.area(masks.intersection([hidden[i.id], o.modal]))
        ]
        for i in items
    }
    result = []
    for item in items:
        if item.occluders is not None:
            result.append(item)
            continue
        front = fronts[item.id]
        if order is not None:
            depth = {o.id: order[o.id] for o in front}
        else:
            depth = {o.id: sum(p in front for p in fronts[o.id]) for o in front}
        front = sorted(front, key=lambda o: (depth[o.id], o.id))
        listed = [_occluder(item, o.id, o.category or "person", k, o.modal) for k, o in enumerate(front, start=1)]
        rest = hidden[item.id]
        if front:
            rest = minus(rest, masks.union([o.modal for o in front]))
        if masks.area(rest):
            listed.append(_occluder(item, f"{item.id}-unknown", "unknown", len(front) + 1, rest))
        result.append(replace(item, occluders=tuple(listed)))
    return result


def _occluder(item: Item, occluder_id: str, category: str, order: int, mask: RLE) -> OccluderEntry:
    """The entry of an occluder in the photo of `item`."""
    return OccluderEntry(
        id=occluder_id,
        group_id=item.group_id,
        category=category,
        order=order,
        behind=False,
        licence=item.licence,
        segmentation=mask,
    )


def fit_parsing(parsing: np.ndarray, amodal: np.ndarray, where: str) -> np.ndarray:
    """Fit pseudo labels to the mask: clip them to it, and give its unlabelled pixels the nearest label.

    Args:
        parsing: uint8 H x W, LIP ids, 255 for unknown.
        amodal: bool H x W.

    Raises:
        InputError: the sizes differ, or less than half of the mask is labelled.
    """
    if parsing.shape != amodal.shape:
        raise InputError(where, f"the parsing is {parsing.shape}, the mask {amodal.shape}", "fix it, or use --skip-bad")
    known = (parsing > 0) & (parsing != IGNORE) & amodal
    if known.sum() < 0.5 * amodal.sum():
        raise InputError(where, "the parsing labels less than half of the amodal mask", "fix it, or use --skip-bad")
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of = np.zeros(int(nearest.max()) + 1, dtype=np.uint8)
    label_of[nearest[known]] = parsing[known]
    return np.where(amodal, label_of[nearest], np.uint8(0))


def _overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether two boxes [x, y, width, height] overlap."""
    return a[0] < b[0] + b[2] and b[0] < a[0] + a[2] and a[1] < b[1] + b[3] and b[1] < a[1] + a[3]
