"""Convert COCO results (a JSON list with one RLE per entry) to a prediction folder."""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core import masks
from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.json_files import is_text, is_whole, read_json
from deocc_bench.core.predictions import PredictionFolder
from deocc_bench.core.types import Prediction


def read_coco_results(path: str | Path, records: Sequence[SampleRecord], out: PredictionFolder) -> None:
    """Write the masks of a COCO results file as a prediction folder.

    Each entry has `segmentation` (the amodal mask as RLE or polygons), `sample_id` or `image_id` (of an image with only
    one sample), and optionally `visible_mask` (the modal mask).

    Raises:
        InputError: the file is not such a list, an id is not in the split, a sample has two results, or a size is
            wrong.
    """
    entries = read_json(path)
    cure = "give a JSON list of {image_id or sample_id, segmentation}"
    if not isinstance(entries, list):
        raise InputError(path, "not COCO results: the file is not a JSON list", cure)
    by_sample = {r.id: r for r in records}
    by_image: dict[Any, list[SampleRecord]] = {}
    for r in records:
        by_image.setdefault(r.image["id"], []).append(r)
    found: dict[str, tuple[masks.RLE, masks.RLE | None]] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or "segmentation" not in entry:
            raise InputError(path, f"entry {number} has no segmentation", cure)
        record = _matched(path, number, entry, by_sample, by_image)
        if record.id in found:
            raise InputError(path, f"sample {record.id!r} has two results (entry {number})", "keep one per sample")
        try:
            amodal, modal = (
                None if entry.get(key) is None else masks.from_coco(entry[key], *record.size)
                for key in ("segmentation", "visible_mask")
            )
            if amodal is None:
                raise DeoccError("its segmentation is null")
        except (DeoccError, ValueError, TypeError) as error:
            raise InputError(path, f"sample {record.id!r} (entry {number}): {error}", "write the mask again") from error
        found[record.id] = amodal, modal
    # Everything is read before anything is written, so that a broken file leaves no partial run behind.
    for sample_id, (amodal, modal) in found.items():
        out.write(Prediction(sample_id, masks.decode(amodal), None if modal is None else masks.decode(modal)))


def _matched(
    path: str | Path,
    number: int,
    entry: dict[str, Any],
    by_sample: dict[str, SampleRecord],
    by_image: dict[Any, list[SampleRecord]],
) -> SampleRecord:
    for key, fits in (("sample_id", is_text), ("image_id", lambda v: is_text(v) or is_whole(v))):
        if key in entry and not fits(entry[key]):
            shown = reprlib.repr(entry[key])
            raise InputError(path, f"entry {number}: {key} is {shown}", "write the id as in the dataset")
    if "sample_id" in entry:
        record = by_sample.get(entry["sample_id"])
        shown = reprlib.repr(entry["sample_id"])
        if record is None:
            raise InputError(path, f"entry {number}: the split has no sample {shown}", "check the split")
        if "image_id" in entry and entry["image_id"] != record.photo.id:
            problem = f"entry {number}: sample {shown} is in image {record.photo.id!r}, not in {entry['image_id']!r}"
            raise InputError(path, problem, "keep the id that is right")
        return record
    found = by_image.get(entry.get("image_id"), [])
    if not found:
        shown = reprlib.repr(entry.get("image_id"))
        told = f"entry {number}: the split has no image {shown}"
        if _other_type(entry.get("image_id")) in by_image:
            raise InputError(
                path, f"{told}, only {_other_type(entry.get('image_id'))!r}", "write the id as it is there"
            )
        raise InputError(path, told, "check the split")
    if len(found) > 1:
        raise InputError(
            path,
            f"entry {number}: image {entry['image_id']} shows {len(found)} samples",
            "identify the sample by sample_id",
        )
    return found[0]


def _other_type(value: Any) -> Any:
    """An id as text instead of a number, and the reverse."""
    if isinstance(value, str):
        return int(value) if value.isdecimal() and len(value) <= 18 else value
    return str(value)
