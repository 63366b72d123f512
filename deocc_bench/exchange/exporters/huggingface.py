"""`export --format huggingface`: an image folder for `datasets.load_dataset("imagefolder", data_dir=...)`.

It contains OUT/README.md and, for each split, `OUT/<split>/metadata.jsonl` with the folders `images/`, `amodal/`,
`modal/` and others that the dataset has. Columns that end in `file_name` become images; the metadata also contains the
masks as RLE.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.files import atomic_write
from deocc_bench.core.lock import AGAIN, output_folder

# Annotation fields that are exported under another column name, are file names, or are COCO ids.
_OTHERWISE = frozenset(
    {
        *("segmentation", "visible_mask", "invisible_mask", "initial_mask", "complete_file_name", "parsing_file_name"),
        *("id", "image_id", "category_id", "iscrowd"),
    }
)


def export(dataset: DatasetReader, splits: Sequence[str], out: Path) -> list[Path]:
    """Write the folder `out` and return the metadata files. Existing files with the same names are replaced."""
    written = []
    with output_folder(out, AGAIN, within=splits):
        for split in splits:
            rows = [_sample(record, out / split) for record in dataset.records(split)]
            path = out / split / "metadata.jsonl"
            atomic_write(path, "".join(json.dumps(r, sort_keys=True, ensure_ascii=False) + "\n" for r in rows))
            written.append(path)
        atomic_write(out / "README.md", _card(dataset, splits))
    return written


def _sample(record: SampleRecord, folder: Path) -> dict[str, Any]:
    own = {k: v for k, v in record.annotation.items() if k not in _OTHERWISE}
    row: dict[str, Any] = {**record.photo.extra, **own} | {
        "sample_id": record.id,
        "human_id": record.human_id,
        "group_id": record.group_id,
        "licence": record.photo.licence or "",
        "height": record.size[0],
        "width": record.size[1],
        "amodal_rle": record.amodal,
        "modal_rle": record.modal,
        "invisible_rle": record.truth.invisible,
        "occluders": record.occluders,
    }
    if record.initial is not None:
        row["initial_rle"] = record.initial
    files = {"": record.image_path, "complete_": record.complete_path, "parsing_": record.parsing_path}
    for column, path in files.items():
        if path is not None:
            images.check_complete(path)
            name = f"{column.rstrip('_') or 'images'}/{record.id}{path.suffix.lower()}"
            atomic_write(folder / name, path.read_bytes())
            row[f"{column}file_name"] = name
    for column, rle in (("amodal", record.amodal), ("modal", record.modal), ("initial", record.initial)):
        if rle is not None:
            name = f"{column}/{record.id}.png"
            images.write_png(folder / name, masks.decode(rle))
            row[f"{column}_file_name"] = name
    return row


def _card(dataset: DatasetReader, splits: Sequence[str]) -> str:
    files = "\n".join(f"      - split: {split}\n        path: {split}/**" for split in splits)
    licences = ", ".join(sorted(k or "not stated" for k in dataset.info.get("licences", {})))
    return (
        "---\n"
        "configs:\n  - config_name: default\n    data_files:\n" + files + "\n"
        "task_categories:\n  - image-segmentation\n"
        "---\n\n"
        f"# {dataset.name}\n\n"
        "Occluded humans with amodal ground truth, exported by deocc-bench.\n\n"
        f"Fingerprint: `{dataset.fingerprint}`\n\nLicences of the photos and occluders: {licences}\n"
    )
