"""`export --format huggingface`: an image folder for `datasets.load_dataset("imagefolder", data_dir=...)`.

It contains OUT/README.md and, for each split, `OUT/<split>/metadata.jsonl` with the folders `images/`, `amodal/`,
`modal/` and others that the dataset has. The library turns the columns `file_name` and `<column>_file_name` into the
images `image`, `complete`, `parsing`, `amodal`, `modal` and `initial`.

The library infers the type of each column from the first rows, and all splits must agree. So every row has the same
columns of the same types, and fields of free form (`occluders`, `parts_hidden`, `provenance`, `extra`) are JSON text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import InputError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.labels import LIP
from deocc_bench.core.markup import plain
from deocc_bench.exchange.exporters.fields import category, new_folder, picture, sample_of

# Images that not every dataset has. If one split has them, the others need them.
_OPTIONAL = ("complete", "parsing", "initial")


def export(dataset: DatasetReader, splits: Sequence[str], out: Path) -> list[Path]:
    """Write the folder `out` and return the metadata files. The metadata of a split is written after its images.

    Raises:
        InputError: a file is not an image, splits differ in what they have, or their names in punctuation only.
        UsageError: the folder is not empty.
    """
    records = {split: list(dataset.records(split)) for split in splits}
    records = {split: found for split, found in records.items() if found}
    folders = {split: re.sub(r"\W+", "_", split) for split in records}
    if len(set(folders.values())) < len(folders):
        raise InputError(dataset.root, "two splits have the same name for the library `datasets`", "rename one")
    columns = _columns(dataset.root, records)
    with_iou = all(any(r.truth.initial_iou is not None for r in found) for found in records.values())
    with new_folder(out):
        for split, found in records.items():
            folder = out / folders[split]
            # The first rows decide on the types: those that have every column come first.
            rows = [_row(r, folder, columns, with_iou) for r in sorted(found, key=lambda r: len(columns - _has(r)))]
            atomic_write(folder / "metadata.jsonl", "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows))
        atomic_write(out / "README.md", _card(dataset, list(folders.values())))
    return [out / folder / "metadata.jsonl" for folder in folders.values()]


def _has(record: SampleRecord) -> set[str]:
    found = (record.complete_path, record.parsing_path, record.initial)
    return {name for name, value in zip(_OPTIONAL, found, strict=True) if value is not None}


def _columns(root: Path, records: Mapping[str, Sequence[SampleRecord]]) -> set[str]:
    """The optional images of the dataset.

    Raises:
        InputError: only some of the splits have them; the library can't read such a folder.
    """
    found = {split: set().union(*map(_has, entries)) for split, entries in records.items()}
    every = set().union(*found.values())
    for split, names in found.items():
        if names < every:
            problem = f"split {split} has no {' or '.join(sorted(every - names))} images, but another split has"
            raise InputError(root, problem, "export the splits one by one with --split")
    return every


def _row(record: SampleRecord, folder: Path, columns: set[str], with_iou: bool) -> dict[str, Any]:
    # `file_name` must be the first of the file names: the library gives it to the first image column.
    row: dict[str, Any] = {"file_name": None}
    row |= {
        f"{name}_file_name": None for name in (*_OPTIONAL, "amodal", "modal") if name in columns | {"amodal", "modal"}
    }
    for column, suffix, data in _images(record):
        name = f"{column or 'images'}/{record.id}{suffix}"
        atomic_write(folder / name, data)
        row[f"{column}_file_name" if column else "file_name"] = name
    with sample_of(record):
        row |= _fixed(record)
        if "initial" in columns:
            row["initial_rle"] = None if record.initial is None else _text_rle(record.initial)
    if "initial" in columns and with_iou:
        iou = record.truth.initial_iou
        row["initial_iou"] = None if iou is None else float(iou)
    truth = record.truth
    free = {
        "occluders": record.occluders,
        "parts_hidden": truth.parts_hidden or {},
        "provenance": truth.provenance or {},
        "extra": {**record.photo.extra, **truth.extra},
    }
    return row | {key: json.dumps(value, sort_keys=True, ensure_ascii=False) for key, value in free.items()}


def _fixed(record: SampleRecord) -> dict[str, Any]:
    """The columns that every dataset has."""
    return {
        "sample_id": record.id,
        "human_id": record.human_id,
        "group_id": record.group_id,
        "variant": record.truth.variant or 0,
        "category": category(record),
        "licence": record.photo.licence or "",
        "height": record.size[0],
        "width": record.size[1],
        "bbox": masks.bbox(record.amodal),
        "area": masks.area(record.amodal),
        "occlude_rate": record.occlusion_ratio,
        "digest": record.truth.digest or "",
        "amodal_rle": _text_rle(record.amodal),
        "modal_rle": _text_rle(record.modal),
        "invisible_rle": _text_rle(record.truth.invisible),
    }


def _images(record: SampleRecord) -> Iterator[tuple[str, str, bytes]]:
    """(column, suffix, bytes) of each image; the column of the photo is ""."""
    for column, path in {"": record.image_path, "complete": record.complete_path}.items():
        if path is not None:
            yield column, *picture(path)
    if record.parsing_path is not None:
        yield "parsing", ".png", images.encode_png(images.read_indices(record.parsing_path), LIP.palette())
    for column, rle in (("amodal", record.amodal), ("modal", record.modal), ("initial", record.initial)):
        if rle is not None:
            with sample_of(record):
                mask = masks.decode(rle)
            yield column, ".png", images.encode_png(mask)


def _text_rle(rle: masks.RLE) -> masks.RLE:
    """The mask with its counts as text and no other keys."""
    rle = masks.checked(rle)
    return rle if isinstance(rle["counts"], str) and len(rle) == 2 else masks.encode(masks.decode(rle))


def _card(dataset: DatasetReader, folders: Sequence[str]) -> str:
    files = "".join(f"      - split: {json.dumps(f)}\n        path: {json.dumps(f + '/**')}\n" for f in folders)
    licences = ", ".join(plain(k or "not stated") for k in sorted(dataset.info.get("licences") or {}))
    return (
        "---\n"
        "configs:\n  - config_name: default\n    data_files:\n" + files + "task_categories:\n  - image-segmentation\n"
        "---\n\n"
        f"# {plain(dataset.name)}\n\n"
        "Occluded humans with amodal ground truth, exported by deocc-bench.\n\n"
        f"Fingerprint: {plain(dataset.fingerprint)}\n\nLicences of the photos and occluders: {licences}\n\n"
        "The columns `occluders`, `parts_hidden`, `provenance` and `extra` are JSON text.\n"
    )
