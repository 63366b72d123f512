"""Functions shared by the exporters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import UsageError


def category(record: SampleRecord) -> str:
    """Category name of the target of a sample; "person" unless the source named another."""
    return record.truth.category or "person"


def targets(splits: Sequence[str], out: Path) -> dict[str, Path]:
    """Map each split to its JSON file: `out` itself if it is a JSON file, otherwise `out/<split>.json`.

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
