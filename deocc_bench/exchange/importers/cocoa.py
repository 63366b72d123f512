"""`cocoa:FILE.json`: COCOA's own schema (regions per photo and annotator), and the flat dialect of detector forks.

A region's polygon is amodal. `visible_mask` and `invisible_mask` exist only where it is occluded. Photos are matched by
`image_id`. Numbers may be written as text.

Source of the schema: Zhu et al., "Semantic amodal segmentation" (CVPR 2017), as collected in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError
from deocc_bench.core.masks import RLE
from deocc_bench.exchange.importers import Options, d2sa
from deocc_bench.exchange.importers.annotated import (
    EXTENSION,
    Bad,
    Item,
    annotation_file,
    consistent,
    find_photo,
    is_person,
    minus,
    number,
    read_rle,
    with_occluders,
)

_CURE = "mend the file, or use --skip-bad"


def read(path: Path, options: Options) -> Iterator[Item | Bad]:
    """Items in the order of the file's annotations.

    Raises:
        InputError: the file is missing or not of this schema.
    """
    data = annotation_file(path)
    if not any("regions" in a for a in data["annotations"]):
        yield from d2sa.read(path, options)
        return
    folder = options.images_or_raise("cocoa")
    photos = {p["id"]: p for p in data["images"]}
    annotators: dict[Any, int] = {}
    for annotation in data["annotations"]:
        image_id = annotation.get("image_id")
        where = f"{path}: image {image_id}"
        annotators[image_id] = annotators.get(image_id, 0) + 1
        if annotators[image_id] > 1 and options.annotators == "first":
            continue
        if image_id not in photos:
            yield Bad(InputError(where, "an annotation names it, but it is not listed", _CURE))
            continue
        try:
            yield from _regions(path, photos[image_id], annotation, annotators[image_id], folder, options)
        except InputError as error:
            yield Bad(error)


def _regions(
    path: Path,
    photo: Mapping[str, Any],
    annotation: Mapping[str, Any],
    annotator: int,
    folder: Path,
    options: Options,
) -> Iterator[Item | Bad]:
    where = f"{path}: image {photo['id']}"
    file = find_photo(folder, str(photo["file_name"]), where)
    size = (int(number(photo["height"], where, "height")), int(number(photo["width"], where, "width")))
    stem = Path(str(photo["file_name"])).stem + (f"-a{annotator}" if annotator > 1 else "")
    head = {
        "kind": "cocoa",
        "image_id": photo["id"],
        "annotation_id": annotation.get("id"),
        "author": str(annotation.get("author", "")),
        "annotator": annotator,
        "url": str(annotation.get("url", "")),
        "depth_constraint": str(annotation.get("depth_constraint", "")),
    }
    items: list[Item] = []
    order: dict[str, int] = {}
    for index, region in enumerate(annotation.get("regions") or (), start=1):
        at = f"{where}, region {index}"
        try:
            fields = _region(region, at, size, head)
            own = region.get(EXTENSION, {})
            item = Item(
                id=str(own.get("sample_id", f"{stem}-{index:02d}")),
                split=options.split_of(path),
                group_id=Path(str(photo["file_name"])).stem,
                photo=file,
                size=size,
                licence=options.licence,
                **fields,
            )
            item = consistent(d2sa.extended(item, own, folder), at)
            order[item.id] = int(number(region.get("order", index), at, "order"))
            items.append(item)
        except InputError as error:
            yield Bad(error)
    yield from (i for i in with_occluders(items, order) if options.regions == "all" or is_person(i.category))


def _region(region: Mapping[str, Any], where: str, size: tuple[int, int], head: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an item that stand in the region itself."""
    segmentation = region.get("segmentation")
    amodal = read_rle(segmentation, size, where, "segmentation")
    rate = number(region.get("occlude_rate", 0), where, "occlude_rate")
    notes = {
        **head,
        "order": int(number(region.get("order", 0), where, "order")),
        "is_stuff": int(number(region.get("isStuff", 0), where, "isStuff")),
        "name": str(region.get("name", "")),
    }
    if isinstance(segmentation, list):
        notes["polygon"] = [float(v) for v in segmentation]
    return {
        "amodal": amodal,
        "modal": visible(region, amodal, size, where, rate),
        "category": str(region.get("name", "")).strip().lower() or "unnamed",
        "notes": notes,
    }


def visible(region: Mapping[str, Any], amodal: RLE, size: tuple[int, int], where: str, rate: float) -> RLE:
    """The visible mask: as stored; else amodal minus the stored invisible one; else all, for what is not occluded.

    Raises:
        InputError: said to be occluded, but without either mask.
    """
    if region.get("visible_mask"):
        return read_rle(region["visible_mask"], size, where, "visible_mask")
    if region.get("invisible_mask"):
        return minus(amodal, read_rle(region["invisible_mask"], size, where, "invisible_mask"))
    if rate > 0:
        raise InputError(where, f"occlude_rate is {rate}, but there is no visible_mask", _CURE)
    return amodal
