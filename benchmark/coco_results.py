"""Convert COCO results (a JSON list with one RLE per entry) to a prediction folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core import masks
from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.json_files import read_json
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
    for key, kind in (("sample_id", str), ("image_id", str | int)):
        if key in entry and not isinstance(entry[key], kind):
            raise InputError(path, f"entry {number}: {key} is {entry[key]!r}", "write the id as in the dataset")
    if "sample_id" in entry:
        if entry["sample_id"] not in by_sample:
            raise InputError(path, f"entry {number}: the split has no sample {entry['sample_id']!r}", "check the split")
        return by_sample[entry["sample_id"]]
    found = by_image.get(entry.get("image_id"), [])
    if not found:
        raise InputError(path, f"entry {number}: the split has no image {entry.get('image_id')!r}", "check the split")
    if len(found) > 1:
        raise InputError(
            path,
            f"entry {number}: image {entry['image_id']} shows {len(found)} samples",
            "identify the sample by sample_id",
        )
    return found[0]
