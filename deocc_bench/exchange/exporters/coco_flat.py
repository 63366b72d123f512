"""`export --format coco`: the flat dialect of detector forks, one JSON a split, which pycocotools opens.

`segmentation` is the amodal mask; beside it `visible_mask`, `invisible_mask`, `occlude_rate`. All masks are RLE.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.files import atomic_write, dump_json
from deocc_bench.exchange.exporters.fields import EXTENSION, category, extension, targets


def export(dataset: DatasetReader, splits: Sequence[str], out: Path, **_: Any) -> list[Path]:
    """Write `out` (a JSON file) or `out/<split>.json`; returns the files. Photos are named relative to the dataset."""
    files = targets(splits, out)
    for split, path in files.items():
        atomic_write(path, dump_json(_content(dataset.name, list(dataset.records(split))), indent=None))
    return list(files.values())


def _content(name: str, records: Sequence[SampleRecord]) -> dict[str, Any]:
    licences = sorted({str(r.image.get("licence", "")) for r in records})
    names = sorted({category(r) for r in records}, key=lambda c: (c != "person", c))
    photos = {
        r.image["id"]: {
            "id": r.image["id"],
            "file_name": r.image["file_name"],
            "height": r.size[0],
            "width": r.size[1],
            "license": licences.index(str(r.image.get("licence", ""))) + 1,
        }
        for r in records
    }
    return {
        "info": {"description": name},
        "licenses": [{"id": k, "name": v, "url": ""} for k, v in enumerate(licences, start=1)],
        "categories": [{"id": k, "name": v} for k, v in enumerate(names, start=1)],
        "images": sorted(photos.values(), key=lambda p: p["id"]),
        "annotations": [
            {
                "id": r.annotation["id"],
                "image_id": r.annotation["image_id"],
                "category_id": names.index(category(r)) + 1,
                "iscrowd": 0,
                "area": r.annotation["area"],
                "bbox": r.annotation["bbox"],
                "segmentation": r.amodal,
                "visible_mask": r.modal,
                "invisible_mask": r.annotation["invisible_mask"],
                "occlude_rate": r.occlusion_ratio,
                EXTENSION: extension(r),
            }
            for r in records
        ],
    }
