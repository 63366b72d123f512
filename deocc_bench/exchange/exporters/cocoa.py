"""`export --format cocoa`: the original COCOA schema, one JSON file per split.

There is one annotation per photo and annotator, with its regions. An amodal mask is the source polygon if that
reproduces the stored mask exactly, otherwise RLE. Visible and invisible masks are RLE and exist only for occluded
regions, as in COCOA.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import DeoccError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.json_files import dump_json
from deocc_bench.exchange.exporters.fields import category, numbers, own_id, sample_of, targets, whole
from deocc_bench.exchange.extension import EXTENSION, annotation_extension, image_extension


def export(dataset: DatasetReader, splits: Sequence[str], out: Path) -> list[Path]:
    """Write `out` (a JSON file) or `out/<split>.json` and return the files. Photo names are relative to the dataset."""
    files = targets(splits, out)
    for split, path in files.items():
        atomic_write(path, dump_json(_content(list(dataset.records(split))), indent=None))
    return list(files.values())


def _content(records: Sequence[SampleRecord]) -> dict[str, Any]:
    photos: dict[int, dict[str, Any]] = {}
    groups: dict[tuple[int, int], list[SampleRecord]] = {}
    ids = numbers(records).images
    for r in records:
        photo_id = ids[r.photo.id]
        photos[photo_id] = {
            "id": photo_id,
            "file_name": r.photo.file_name,
            "height": r.photo.height,
            "width": r.photo.width,
            EXTENSION: image_extension(r) | own_id(r, photo_id),
        }
        groups.setdefault((photo_id, whole(_notes(r), "annotator", 1)), []).append(r)
    annotations = []
    for number, ((image_id, _), group) in enumerate(sorted(groups.items()), start=1):
        group.sort(key=lambda r: (_order(r), r.id))
        notes = _notes(group[0])
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
    return {"images": [photos[number] for number in sorted(photos)], "annotations": annotations}


def _order(record: SampleRecord) -> int:
    return whole(_notes(record), "order", 0)


def _notes(record: SampleRecord) -> Mapping[str, Any]:
    return record.truth.provenance or {}


def _region(record: SampleRecord, order: int) -> dict[str, Any]:
    notes = _notes(record)
    with sample_of(record):
        region = {
            "segmentation": notes["polygon"] if _is_exact(notes.get("polygon"), record) else record.amodal,
            "name": str(notes.get("name", category(record))),
            "area": masks.area(record.amodal),
            "isStuff": whole(notes, "is_stuff", 0),
            "occlude_rate": record.occlusion_ratio,
            "order": _order(record) or order,
            EXTENSION: annotation_extension(record),
        }
        if masks.area(record.truth.invisible):
            region["visible_mask"] = masks.checked(record.modal)
            region["invisible_mask"] = record.truth.invisible
    return region


def _is_exact(polygon: Any, record: SampleRecord) -> bool:
    """Whether the source's polygon reproduces the stored mask."""
    try:
        return bool(polygon) and masks.from_coco(polygon, *record.size) == record.amodal
    except DeoccError:
        return False
