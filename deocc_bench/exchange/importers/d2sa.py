"""`d2sa:FILE.json`: the flat dialect. COCO style, `segmentation` amodal, with `visible_mask`, `invisible_mask` and
`occlude_rate`; D2SA and the detector forks' COCOA use it. Our own `export --format coco` is read back without loss.

Source of the schema: Follmann et al., "Learning to see the invisible" (WACV 2019), as collected in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError
from deocc_bench.core.masks import RLE
from deocc_bench.exchange.importers import Options
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

# (annotation, (height, width), where) -> (amodal, modal)
ReadMasks = Callable[[Mapping[str, Any], tuple[int, int], str], tuple[RLE, RLE]]


def read(path: Path, options: Options) -> Iterator[Item | Bad]:
    """Items photo by photo.

    Raises:
        InputError: the file is missing or not of this schema.
    """
    return read_flat("d2sa", path, options, _masks)


def read_flat(kind: str, path: Path, options: Options, read_masks: ReadMasks) -> Iterator[Item | Bad]:
    """Items of a COCO-style file; `read_masks` knows where its dialect keeps the masks."""
    data = annotation_file(path)
    folder = options.images_or_raise(kind)
    names = {c["id"]: str(c.get("name", c["id"])) for c in data.get("categories", ())}
    licences = {c["id"]: str(c.get("name", c["id"])) for c in data.get("licenses", ()) if "id" in c}
    photos = {p["id"]: p for p in data["images"]}
    by_photo: dict[Any, list[Mapping[str, Any]]] = {}
    for annotation in data["annotations"]:
        by_photo.setdefault(annotation.get("image_id"), []).append(annotation)
    for image_id, group in by_photo.items():
        where = f"{path}: image {image_id}"
        photo = photos.get(image_id)
        if photo is None:
            yield Bad(InputError(where, "an annotation names it, but it is not listed", "mend the file"))
            continue
        try:
            file = find_photo(folder, str(photo["file_name"]), where)
            size = (int(number(photo.get("height"), where, "height")), int(number(photo.get("width"), where, "width")))
        except InputError as error:
            yield Bad(error)
            continue
        items: list[Item] = []
        for k, annotation in enumerate(group, start=1):
            at = f"{path}: annotation {annotation.get('id', k)}"
            try:
                if int(number(annotation.get("iscrowd", 0), at, "iscrowd")):
                    raise InputError(at, "a crowd is no single thing", "use --skip-bad")
                amodal, modal = read_masks(annotation, size, at)
                own = annotation.get(EXTENSION, {})
                stem = Path(str(photo["file_name"])).stem
                item = Item(
                    id=str(own.get("sample_id", f"{stem}-{annotation.get('id', k)}")),
                    split=options.split_of(path),
                    group_id=stem,
                    photo=file,
                    size=size,
                    amodal=amodal,
                    modal=modal,
                    category=names.get(annotation.get("category_id"), "unnamed").strip().lower(),
                    licence=licences.get(photo.get("license"), options.licence),
                    notes={"kind": kind, "image_id": image_id, "annotation_id": annotation.get("id")}
                    | {key: annotation[key] for key in ("oco_id", "ico_id", "layer_order") if key in annotation},
                )
                items.append(consistent(extended(item, own, folder), at))
            except InputError as error:
                yield Bad(error)
        yield from (i for i in with_occluders(items) if options.regions == "all" or is_person(i.category))


def extended(item: Item, own: Mapping[str, Any], folder: Path) -> Item:
    """The item with what our own exports keep beside the dialect's fields; without them, as it is."""
    if not own:
        return item
    return replace(
        item,
        group_id=str(own["group_id"]),
        human_id=str(own["human_id"]),
        variant=int(own["variant"]),
        licence=str(own["licence"]),
        category=str(own["category"]),
        occluders=tuple(own["occluders"]),
        initial=own.get("initial_mask"),
        complete=folder / own["complete_file_name"] if "complete_file_name" in own else None,
        parsing=folder / own["parsing_file_name"] if "parsing_file_name" in own else None,
        notes=own["provenance"],
    )


def _masks(annotation: Mapping[str, Any], size: tuple[int, int], where: str) -> tuple[RLE, RLE]:
    amodal = read_rle(annotation.get("segmentation"), size, where, "segmentation")
    if annotation.get("visible_mask"):
        return amodal, read_rle(annotation["visible_mask"], size, where, "visible_mask")
    if annotation.get("invisible_mask"):
        return amodal, minus(amodal, read_rle(annotation["invisible_mask"], size, where, "invisible_mask"))
    rate = number(annotation.get("occlude_rate", 0), where, "occlude_rate")
    if rate > 0:
        raise InputError(where, f"occlude_rate is {rate}, but there is no visible_mask", "mend it, or use --skip-bad")
    return amodal, amodal
