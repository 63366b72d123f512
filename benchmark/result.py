"""Build result records; write a run's folder (`samples.csv` first, `result.json` last) and read it back."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from deocc_bench import __version__
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError
from deocc_bench.core.files import sha256_file
from deocc_bench.core.provenance import digest, environment
from deocc_bench.core.results import SAMPLES_FILE, RunResult, read_result, write_result
from deocc_bench.core.samples import read_table, write_table
from deocc_bench.metrics.aggregate import MetricValue
from deocc_bench.metrics.breakdown import Breakdown

__all__ = ["RunResult", "build", "dataset_field", "read_result", "read_run", "timing_field", "write_run"]

_SCORE = "re-score the predictions with `deocc-bench score`"


def dataset_field(dataset: DatasetReader, split: str, ids: Sequence[str]) -> dict[str, Any]:
    """The `dataset` field, which identifies the scored samples by content."""
    lines = (f"{i} {dataset.record(split, i).annotation.get('digest', '')}" for i in sorted(ids))
    return {
        "name": dataset.name,
        "fingerprint": dataset.fingerprint,
        "split": split,
        "n": len(ids),
        "samples_digest": digest(*lines),
    }


def timing_field(seconds: Mapping[str, float], samples: Mapping[str, int]) -> dict[str, Any]:
    """The `timing` field.

    Args:
        seconds: part ("fit", "data", "compute", "write", "score") -> wall-clock seconds of this call.
        samples: the same parts -> the number of samples covered; after `--resume` fewer than were scored.

    Returns:
        `seconds`, `samples`, `seconds_per_sample` and `share` by part, and `total_seconds`, their sum.
    """
    total = sum(seconds.values())
    return {
        "seconds": dict(seconds),
        "samples": dict(samples),
        "seconds_per_sample": {k: s / samples[k] if samples.get(k) else None for k, s in seconds.items()},
        "share": {k: s / total if total else None for k, s in seconds.items()},
        "total_seconds": total,
    }


def build(
    *,
    method: Mapping[str, Any],
    dataset: Mapping[str, Any],
    task: str,
    protocol: Mapping[str, Any],
    metrics: Mapping[str, MetricValue],
    breakdowns: Breakdown,
    timing: Mapping[str, Any],
    seed: int,
    predictions_digest: str | None,
    notes: Iterable[str] = (),
) -> RunResult:
    """Build a record with the current time, machine and command line."""
    return RunResult(
        method=method,
        dataset=dataset,
        task=task,
        protocol=protocol,
        metrics=metrics,
        breakdowns=breakdowns,
        timing=timing,
        environment=environment(),
        seed=seed,
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
        predictions_digest=predictions_digest,
        notes=tuple(notes),
    )


def write_run(folder: str | Path, result: RunResult, table: pd.DataFrame) -> RunResult:
    """Write a run's table and record; return the written record, with the table's digest."""
    path = Path(folder) / SAMPLES_FILE
    write_table(path, table)
    values = {**vars(result), "table_digest": sha256_file(path)}
    result = RunResult(**values)
    write_result(folder, result)
    return result


def read_run(folder: str | Path) -> tuple[RunResult, pd.DataFrame]:
    """Read a run's record and table.

    Raises:
        InputError: a file is missing, broken, or was changed after the run.
    """
    result = read_result(folder)
    assert result.path is not None
    if result.problems:
        raise InputError(result.path, result.problems[0], _SCORE)
    path = result.path.with_name(SAMPLES_FILE)
    table = read_table(path)
    if len(table) != result.rows:
        raise InputError(path, f"has {len(table)} rows, not {result.rows} as the record says", _SCORE)
    return result, table
