"""What the exporters share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import UsageError


def category(record: SampleRecord) -> str:
    """What the sample's target is called; a person unless the source said otherwise."""
    return record.truth.category or "person"


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
