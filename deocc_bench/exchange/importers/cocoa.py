"""`cocoa:FILE.json`: the original COCOA schema (regions per photo and annotator), and the flat dialect of forks.

The polygon of a region is amodal. `visible_mask` and `invisible_mask` exist only if the region is occluded. Photos are
matched by `image_id`. Numbers may be strings.

Source of the schema: Zhu et al., "Semantic amodal segmentation" (CVPR 2017), as collected in docs/formats.md.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.exchange.extension import restored
from deocc_bench.exchange.importers import d2sa
from deocc_bench.exchange.importers.annotated import Bad, Item, consistent, read_rle
from deocc_bench.exchange.importers.entries import AnnotatorFields, RegionFields, fields_of, text, whole
from deocc_bench.exchange.importers.names import component
from deocc_bench.exchange.importers.release import Photo, Release, visible

ANNOTATORS = ("first", "all")


def read(
    path: Path,
    *,
    images: Path | None = None,
    regions: str = "all",
    annotators: str = "first",
    split: str | None = None,
    licence: str = "",
) -> Iterator[Item | Bad]:
    """Yield items in the order of the annotations in the file.

    Args:
        images: folder of the photos.
        regions: "all", or "persons" by category name.
        annotators: "first" of each photo, or "all".
        split: name of the split; by default taken from our own export, otherwise from the file name.
        licence: licence of the photos; in the flat dialect, of photos whose entry has none.

    Raises:
        UsageError: the folder of photos is missing.
        InputError: the file is missing or has another schema.
    """
    if annotators not in ANNOTATORS:
        raise UsageError(unknown("choice of annotators", annotators, ANNOTATORS))
    release = Release.open("cocoa", path, images=images, regions=regions, split=split, licence=licence)
    annotations = release.content["annotations"]
    if not any(isinstance(a, dict) and "regions" in a for a in annotations):
        yield from d2sa.read_flat(replace(release, kind="d2sa"), d2sa.masks_of, d2sa.VISIBLE)
        return
    release.require_visible(d2sa.VISIBLE, (region for a in annotations for region in _regions_in(a)))
    yield from map(Bad, release.photos.errors)
    seen: Counter[str] = Counter()
    for k, value in enumerate(annotations, start=1):
        at = f"{path}: {_name(value, k)}"
        try:
            annotation = fields_of(value, AnnotatorFields, at)
            key = release.key_of(annotation.image_id, at)
            seen[key] += 1
            if key in release.photos.wrong or (seen[key] > 1 and annotators == "first"):
                continue
            yield from _regions(release, release.photo(key), annotation, annotator=seen[key], where=at)
        except InputError as error:
            yield Bad(error)


def _regions_in(annotation: Any) -> list[Any]:
    regions = annotation.get("regions") if isinstance(annotation, dict) else None
    return regions if isinstance(regions, list) else []


def _name(value: Any, k: int) -> str:
    """How messages name an annotation."""
    if not isinstance(value, dict):
        return f"entry {k} of annotations"
    told = f"annotation {reprlib.repr(value['id'])}" if value.get("id") is not None else f"entry {k} of annotations"
    return f"{told} (image {reprlib.repr(value.get('image_id'))})"


def _regions(
    release: Release, photo: Photo, annotation: AnnotatorFields, *, annotator: int, where: str
) -> Iterator[Item | Bad]:
    """The regions of one annotator in one photo."""
    label = photo.label + (f"-a{annotator}" if annotator > 1 else "")
    notes = _notes(photo, annotation, annotator, where)
    items: list[Item] = []
    order: dict[str, int] = {}
    for index, value in enumerate(annotation.regions or (), start=1):
        at = f"{where}, region {index}"
        try:
            region = fields_of(value, RegionFields, at)
            item = _item(release, photo, region, item_id=f"{label}-{index:02d}", where=at, notes=notes)
            item = consistent(restored(item, region.deocc_bench, photo, release, at), at)
            order.setdefault(item.id, index if region.order is None else whole(region.order, at, "order"))
            items.append(item)
        except InputError as error:
            yield Bad(error)
    yield from release.chosen(items, order)


def _notes(photo: Photo, annotation: AnnotatorFields, annotator: int, where: str) -> dict[str, Any]:
    return {
        "kind": "cocoa",
        "image_id": photo.entry.id,
        "annotation_id": annotation.id,
        "author": text(annotation.author, where, "author"),
        "annotator": annotator,
        "url": text(annotation.url, where, "url"),
        "depth_constraint": text(annotation.depth_constraint, where, "depth_constraint"),
    }


def _item(
    release: Release, photo: Photo, region: RegionFields, *, item_id: str, where: str, notes: dict[str, Any]
) -> Item:
    """The item of a region."""
    name = text(region.name, where, "name")
    amodal = read_rle(region.segmentation, photo.size, where, "segmentation")
    own: dict[str, Any] = {
        "order": 0 if region.order is None else whole(region.order, where, "order"),
        "is_stuff": 0 if region.isStuff is None else whole(region.isStuff, where, "isStuff"),
        "name": name,
    }
    if isinstance(region.segmentation, list):
        own["polygon"] = _floats(region.segmentation)
    return Item(
        id=component(item_id),
        split=release.split,
        group_id=photo.label,
        photo=photo.file,
        size=photo.size,
        amodal=amodal,
        modal=visible(region, amodal, photo.size, where),
        category=name.strip().lower() or "unnamed",
        licence=release.licence,
        renamed=component(item_id) != item_id,
        notes={**notes, **own},
    )


def _floats(polygons: list[Any]) -> list[Any]:
    """Coordinates as numbers, of one flat polygon or of several."""
    return [_floats(v) if isinstance(v, list) else float(v) for v in polygons]
