"""What the importers share: an item on its way in, and how masks of one photo become truth that agrees with itself."""

from __future__ import annotations

import re
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

# A visible mask of which more than this lies outside the amodal one is no imprecision but a contradiction.
_CONTRADICTION = 0.5
_PERSON_WORDS = frozenset(
    {
        *("person", "persons", "people", "human", "man", "men", "woman", "women", "boy", "boys", "girl", "girls"),
        *("child", "children", "kid", "kids", "baby", "lady", "gentleman", "guy", "player", "rider", "cyclist"),
        *("pedestrian", "skier", "surfer"),
    }
)


@dataclass(frozen=True)
class Kept:
    """What our own export kept of a sample, beyond the other fields of an `Item`.

    Args:
        image_id: the image's COCO id; None: a new one.
        files_of_image: names of the file fields that belong to the image entry, not to the annotation.
        parts_hidden: as in the annotation.
        image, annotation: fields of the two records that deocc-bench does not know.
    """

    image_id: int | str | None = None
    files_of_image: tuple[str, ...] = ()
    parts_hidden: Mapping[str, float] | None = None
    image: Mapping[str, Any] = field(default_factory=dict)
    annotation: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Item:
    """One annotated thing in one photo.

    Args:
        photo: the photo's file. size: (height, width) as annotated.
        group_id: the photo, or what must not be torn apart.
        amodal, modal: RLE of the photo's size, modal within amodal.
        category: its name in the source; None: the dataset names none, it is a person.
        occluders: as in a dataset's annotation; None: not known.
        complete, parsing, initial: files or arrays, where the source has them.
        clipped: visible pixels outside the amodal mask that were taken away.
        notes: for the annotation's `provenance`.
        kept: for what our own export kept.
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
    notes: Mapping[str, Any] = field(default_factory=dict)
    kept: Kept = Kept()


@dataclass(frozen=True)
class Bad:
    """Something that can't be taken: where, and why, as an InputError says it."""

    error: InputError


def is_person(name: str) -> bool:
    """Whether a free-text name ("man ", "person-sitting") is that of a person."""
    return not _PERSON_WORDS.isdisjoint(re.findall(r"[a-z]+", name.lower()))


def find_photo(folder: Path, file_name: str, where: str) -> Path:
    """The photo: `folder / file_name`, or its last part there (releases differ in what the name includes).

    Raises:
        InputError: neither exists.
    """
    for candidate in (folder / file_name, folder / Path(file_name).name):
        if candidate.is_file():
            return candidate
    raise InputError(where, f"its photo {file_name} is not in {folder}", "check --images, or go on with --skip-bad")


def number(value: Any, where: str, what: str) -> float:
    """A number that may be written as text, as in some COCOA files.

    Raises:
        InputError: neither.
    """
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(where, f"{what} must be a number, got {value!r}", "mend the file, or use --skip-bad") from None


def read_rle(segmentation: Any, size: tuple[int, int], where: str, what: str) -> RLE:
    """Any COCO segmentation (polygons, also one flat one; RLE of both kinds) as RLE.

    Raises:
        InputError: another size than the photo's, or nothing that can be read.
    """
    cure = "mend the file, or use --skip-bad"
    try:
        if isinstance(segmentation, list) and segmentation:
            polygons = segmentation if isinstance(segmentation[0], list) else [segmentation]
            odd = next((p for p in polygons if len(p) % 2), None)
            if odd is not None:
                raise InputError(where, f"{what}: a polygon of {len(odd)} numbers, not pairs", cure)
            segmentation = [[float(v) for v in p] for p in polygons]
            if not np.isfinite(np.concatenate([np.array(p) for p in segmentation])).all():
                raise InputError(where, f"{what}: a polygon holds NaN or infinity", cure)
        return masks.from_coco(segmentation, *size)
    except InputError:
        raise
    except (DeoccError, ValueError, TypeError, IndexError) as error:
        raise InputError(where, f"{what}: {error}", cure) from error


def minus(a: RLE, b: RLE) -> RLE:
    """The pixels of `a` that are not in `b`."""
    return masks.encode(masks.decode(a) & ~masks.decode(b))


def consistent(item: Item, where: str) -> Item:
    """The item with its modal mask clipped to the amodal one; `clipped` says how many pixels that took away.

    Raises:
        InputError: an empty amodal mask, or a modal mask that lies outside it for the most part.
    """
    cure = "mend the annotation, or use --skip-bad"
    if masks.area(item.amodal) == 0:
        raise InputError(where, "the amodal mask is empty (degenerate or out of the frame)", cure)
    seen, both = masks.area(item.modal), masks.intersection([item.modal, item.amodal])
    outside = seen - masks.area(both)
    if outside > _CONTRADICTION * seen:
        raise InputError(where, f"{outside} of {seen} visible pixels lie outside the amodal mask", cure)
    return replace(item, modal=both, clipped=outside) if outside else item


def with_occluders(items: Sequence[Item], order: Mapping[str, int] | None = None) -> list[Item]:
    """Things of one photo, each with what hides it: the others whose visible pixels lie in its hidden region.

    What no other thing explains is listed as one occluder "unknown": something that was not annotated. Items whose
    occluders are known stay as they are.

    Args:
        order: depth of each item id, lower is nearer; by default, what hides others of the list is nearer.
    """
    hidden = {i.id: minus(i.amodal, i.modal) for i in items}
    fronts = {i.id: [o for o in items if o.id != i.id and _meet(hidden[i.id], o.modal)] for i in items}
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
    """An occluder that stands in the photo of `item`."""
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
    """Pseudo labels made to agree with the mask: cut to it, and its unlabelled pixels given their nearest label.

    Args:
        parsing: uint8 H x W, LIP ids, 255 for "don't know". amodal: bool H x W.

    Raises:
        InputError: other sizes, or labels on less than half of the mask.
    """
    if parsing.shape != amodal.shape:
        raise InputError(
            where, f"the parsing is {parsing.shape}, the mask {amodal.shape}", "mend it, or use --skip-bad"
        )
    known = (parsing > 0) & (parsing != IGNORE) & amodal
    if known.sum() < 0.5 * amodal.sum():
        raise InputError(where, "the parsing labels less than half of the amodal mask", "mend it, or use --skip-bad")
    _, nearest = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    label_of = np.zeros(int(nearest.max()) + 1, dtype=np.uint8)
    label_of[nearest[known]] = parsing[known]
    return np.where(amodal, label_of[nearest], np.uint8(0))


def _meet(a: RLE, b: RLE) -> bool:
    ax, ay, aw, ah = masks.bbox(a)
    bx, by, bw, bh = masks.bbox(b)
    apart = ax >= bx + bw or bx >= ax + aw or ay >= by + bh or by >= ay + ah
    return not apart and masks.area(masks.intersection([a, b])) > 0
