"""`export --format coco`: the flat dialect used by detector forks, one JSON file per split, readable by pycocotools.

`segmentation` is the amodal mask; further fields are `visible_mask`, `invisible_mask` and `occlude_rate`. All masks are
RLE. Ids are those of the dataset if pycocotools can use them; see `fields.numbers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.files import atomic_write
from deocc_bench.core.json_files import dump_json
from deocc_bench.exchange.exporters.fields import Numbers, category, numbers, own_id, sample_of, targets
from deocc_bench.exchange.extension import EXTENSION, annotation_extension, image_extension


def export(dataset: DatasetReader, splits: Sequence[str], out: Path) -> list[Path]:
    """Write `out` (a JSON file) or `out/<split>.json` and return the files. Photo names are relative to the dataset."""
    files = targets(splits, out)
    for split, path in files.items():
        atomic_write(path, dump_json(_content(dataset.name, list(dataset.records(split))), indent=None))
    return list(files.values())


def _content(name: str, records: Sequence[SampleRecord]) -> dict[str, Any]:
    licences = sorted({r.photo.licence or "" for r in records})
    names = sorted({category(r) for r in records}, key=lambda c: (c != "person", c))
    ids = numbers(records)
    photos = {
        ids.images[r.photo.id]: {
            "id": ids.images[r.photo.id],
            "file_name": r.photo.file_name,
            "height": r.photo.height,
            "width": r.photo.width,
            "license": licences.index(r.photo.licence or "") + 1,
            EXTENSION: image_extension(r) | own_id(r, ids.images[r.photo.id]),
        }
        for r in records
    }
    return {
        "info": {"description": name},
        "licenses": [{"id": k, "name": v, "url": ""} for k, v in enumerate(licences, start=1)],
        "categories": [{"id": k, "name": v} for k, v in enumerate(names, start=1)],
        "images": [photos[number] for number in sorted(photos)],
        "annotations": [_annotation(r, ids, names.index(category(r)) + 1) for r in records],
    }


def _annotation(record: SampleRecord, ids: Numbers, category_id: int) -> dict[str, Any]:
    truth = record.truth
    with sample_of(record):
        return {
            "id": ids.annotations[record.id],
            "image_id": ids.images[truth.image_id],
            "category_id": category_id,
            "iscrowd": 0,
            "area": masks.area(truth.segmentation),
            "bbox": masks.bbox(truth.segmentation),
            "segmentation": truth.segmentation,
            "visible_mask": masks.checked(truth.visible_mask),
            "invisible_mask": masks.checked(truth.invisible),
            "occlude_rate": truth.occlude_rate,
            EXTENSION: annotation_extension(record),
        }
