"""What the exporters share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import UsageError

EXTENSION = "deocc_bench"
"""Key under which an export keeps, per annotation, what its dialect has no field for; `import` reads it back."""


def extension(record: SampleRecord) -> dict[str, Any]:
    """The fields of a sample that no dialect of COCO has. Files are named relative to the dataset."""
    fields: dict[str, Any] = {
        "sample_id": record.id,
        "group_id": record.group_id,
        "human_id": record.human_id,
        "variant": int(record.annotation.get("variant", 0)),
        "licence": str(record.image.get("licence", "")),
        "category": category(record),
        "occluders": record.occluders,
        "provenance": dict(record.annotation.get("provenance", {})),
    }
    if record.initial is not None:
        fields["initial_mask"] = record.initial
    for key in ("complete_file_name", "parsing_file_name"):
        name = record.image.get(key) or record.annotation.get(key)
        if name:
            fields[key] = name
    return fields


def category(record: SampleRecord) -> str:
    """What the sample's target is called; a person unless the source said otherwise."""
    return str(record.annotation.get("category", "person"))


def targets(splits: Sequence[str], out: Path) -> dict[str, Path]:
    """Split -> the JSON file to write: `out` itself if that is one, else `out/<split>.json`.

    Raises:
        UsageError: several splits for one file.
    """
    if out.suffix.lower() != ".json":
        return {split: out / f"{split}.json" for split in splits}
    if len(splits) > 1:
        raise UsageError(
            f"--out {out}: one file holds one split; choose with --split {'|'.join(splits)}, or give a folder"
        )
    return {splits[0]: out}
