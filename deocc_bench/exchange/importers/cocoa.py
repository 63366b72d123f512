"""`cocoa:FILE.json`: the original COCOA schema (regions per photo and annotator), and the flat dialect of forks.

The polygon of a region is amodal. `visible_mask` and `invisible_mask` exist only if the region is occluded. Photos are
matched by `image_id`. Numbers may be strings.

Source of the schema: Zhu et al., "Semantic amodal segmentation" (CVPR 2017), as collected in docs/formats.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.exchange.extension import restored
from deocc_bench.exchange.importers import d2sa
from deocc_bench.exchange.importers.annotated import Bad, Item, consistent, number, read_rle
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
    if not any("regions" in a for a in release.content["annotations"]):
        yield from d2sa.read_flat(replace(release, kind="d2sa"), d2sa.masks_of)
        return
    seen: Counter[str] = Counter()
    for annotation in release.content["annotations"]:
        image_id = annotation.get("image_id")
        seen[repr(image_id)] += 1
        annotator = seen[repr(image_id)]
        if annotator > 1 and annotators == "first":
            continue
        try:
            yield from _regions(release, release.photo(image_id), annotation, annotator)
        except InputError as error:
            yield Bad(error)


def _regions(release: Release, photo: Photo, annotation: Mapping[str, Any], annotator: int) -> Iterator[Item | Bad]:
    """The regions of one annotator in one photo."""
    stem = photo.stem + (f"-a{annotator}" if annotator > 1 else "")
    notes = _notes(photo, annotation, annotator)
    items: list[Item] = []
    order: dict[str, int] = {}
    for index, region in enumerate(annotation.get("regions") or (), start=1):
        at = f"{photo.where}, region {index}"
        try:
            item = _item(release, photo, region, item_id=f"{stem}-{index:02d}", where=at, notes=notes)
            item = consistent(restored(item, region, photo, release, at), at)
            order[item.id] = int(number(region.get("order", index), at, "order"))
            items.append(item)
        except InputError as error:
            yield Bad(error)
    yield from release.chosen(items, order)


def _notes(photo: Photo, annotation: Mapping[str, Any], annotator: int) -> dict[str, Any]:
    return {
        "kind": "cocoa",
        "image_id": photo.entry["id"],
        "annotation_id": annotation.get("id"),
        "author": str(annotation.get("author", "")),
        "annotator": annotator,
        "url": str(annotation.get("url", "")),
        "depth_constraint": str(annotation.get("depth_constraint", "")),
    }


def _item(release: Release, photo: Photo, region: Any, *, item_id: str, where: str, notes: Mapping[str, Any]) -> Item:
    """The item of a region."""
    if not isinstance(region, Mapping):
        raise InputError(where, f"must be an object, got {region!r}", "fix the file, or use --skip-bad")
    segmentation, name = region.get("segmentation"), str(region.get("name", ""))
    amodal = read_rle(segmentation, photo.size, where, "segmentation")
    number(region.get("occlude_rate", 0), where, "occlude_rate")
    own: dict[str, Any] = {
        "order": int(number(region.get("order", 0), where, "order")),
        "is_stuff": int(number(region.get("isStuff", 0), where, "isStuff")),
        "name": name,
    }
    if isinstance(segmentation, list):
        own["polygon"] = [float(v) for v in segmentation]
    return Item(
        id=item_id,
        split=release.split,
        group_id=photo.stem,
        photo=photo.file,
        size=photo.size,
        amodal=amodal,
        modal=visible(region, amodal, photo.size, where),
        category=name.strip().lower() or "unnamed",
        licence=release.licence,
        notes={**notes, **own},
    )
