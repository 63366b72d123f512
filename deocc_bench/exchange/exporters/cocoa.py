"""`export --format cocoa`: COCOA's own schema, one JSON a split.

One annotation per photo and annotator, with its regions. Amodal masks are the source's polygon where that gives exactly
the stored mask, else RLE; visible and invisible masks are RLE and stand where the region is occluded, as in COCOA.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.files import atomic_write, dump_json
from deocc_bench.exchange.exporters.fields import EXTENSION, category, extension, targets


def export(dataset: DatasetReader, splits: Sequence[str], out: Path, **_: Any) -> list[Path]:
    """Write `out` (a JSON file) or `out/<split>.json`; returns the files. Photos are named relative to the dataset."""
    files = targets(splits, out)
    for split, path in files.items():
        atomic_write(path, dump_json(_content(list(dataset.records(split))), indent=None))
    return list(files.values())


def _content(records: Sequence[SampleRecord]) -> dict[str, Any]:
    photos: dict[Any, dict[str, Any]] = {}
    groups: dict[tuple[Any, int], list[SampleRecord]] = {}
    for r in records:
        photos[r.image["id"]] = {
            "id": r.image["id"],
            "file_name": r.image["file_name"],
            "height": r.size[0],
            "width": r.size[1],
        }
        annotator = int(r.annotation.get("provenance", {}).get("annotator", 1))
        groups.setdefault((r.image["id"], annotator), []).append(r)
    annotations = []
    for number, ((image_id, _), group) in enumerate(sorted(groups.items()), start=1):
        group.sort(key=lambda r: (_order(r), r.id))
        notes = group[0].annotation.get("provenance", {})
        annotations.append(
            {
                "id": number,
                "image_id": image_id,
                "author": str(notes.get("author", "deocc-bench")),
                "url": str(notes.get("url", "")),
                "depth_constraint": str(notes.get("depth_constraint", "")),
                "size": len(group),
                "regions": [_region(r, order) for order, r in enumerate(group, start=1)],
            }
        )
    return {"images": sorted(photos.values(), key=lambda p: p["id"]), "annotations": annotations}


def _order(record: SampleRecord) -> int:
    return int(record.annotation.get("provenance", {}).get("order", 0))


def _region(record: SampleRecord, order: int) -> dict[str, Any]:
    notes = record.annotation.get("provenance", {})
    polygon = notes.get("polygon")
    exact = polygon and masks.from_coco(polygon, *record.size) == record.amodal
    region = {
        "segmentation": polygon if exact else record.amodal,
        "name": str(notes.get("name", category(record))),
        "area": masks.area(record.amodal),
        "isStuff": int(notes.get("is_stuff", 0)),
        "occlude_rate": record.occlusion_ratio,
        "order": _order(record) or order,
        EXTENSION: extension(record),
    }
    if masks.area(record.annotation["invisible_mask"]):
        region["visible_mask"] = record.modal
        region["invisible_mask"] = record.annotation["invisible_mask"]
    return region
