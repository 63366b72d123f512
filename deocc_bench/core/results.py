"""The result record: one JSON file per run, `result.json`, next to the per-sample table `samples.csv`.

The benchmark writes records and the leaderboard reads them; this module alone defines and checks the schema.

schema_version      1
method              name; spec (as typed); source; version; parameters (count or null); weights (text, stage -> text, or
                    null; "none: ..." means untrained); options; code_digest; needs;
                    truth_given (ground truth that it received beyond the task); draws (number of draws of a random
                    method, or null); row (one of `ROWS`)
dataset             name, fingerprint, split, n, samples_digest (ids and content of the scored samples)
task                "mask", "content" or "joint"
protocol            initial_mask, convention, resamples (of the bootstrap), fit_dataset, fit_split
metrics             id -> value, ci95 ([low, high] or null), n, n_defined, unit, higher_is_better, definition,
                    reason (optional)
breakdowns          kind -> bin -> metrics that are defined in the bin
timing              seconds of each part and in total, number of timed samples, seconds per sample, shares
environment         versions and machine
seed, command, date, notes
version             version of deocc-bench
predictions_digest  SHA-256 of the decoded predictions
table_digest        SHA-256 of the bytes of `samples.csv`
digest              SHA-256 of all fields above; it no longer matches if the record is edited
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError, UsageError, one_line
from deocc_bench.core.files import atomic_write, sha256_file
from deocc_bench.core.json_files import checked, dump_json, is_whole, read_json
from deocc_bench.core.paths import check_inside
from deocc_bench.core.record_schema import Metric, Record

SCHEMA_VERSION = 1
RESULT_FILE = "result.json"
SAMPLES_FILE = "samples.csv"
PREDICTIONS_FOLDER = "predictions"
TASKS = ("mask", "content", "joint")
# The kind of a record: one prediction per sample; or, for a random method with several draws per sample, the mean over
# its draws, the best draw by the ground truth, or the per-pixel majority vote of the draws.
SINGLE, MEAN, BEST_OF_K, VOTE = ROWS = ("single", "mean", "best-of-k", "vote")


@dataclass(frozen=True)
class RunResult:
    """One run of one method on one split; the module docstring describes the fields.

    Args:
        path: the file it was read from; None if it is not written yet.
        problems: the problems that `read_result` found; a record with problems was changed after the run.
    """

    method: Mapping[str, Any]
    dataset: Mapping[str, Any]
    task: str
    protocol: Mapping[str, Any]
    metrics: Mapping[str, Mapping[str, Any]]
    breakdowns: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]]
    timing: Mapping[str, Any]
    environment: Mapping[str, Any]
    seed: int
    command: str
    date: str
    version: str
    predictions_digest: str | None = None
    table_digest: str | None = None
    notes: tuple[str, ...] = ()
    path: Path | None = field(default=None, compare=False)
    problems: tuple[str, ...] = field(default=(), compare=False)

    @property
    def tampered(self) -> bool:
        """Whether the record or its table was changed after the run."""
        return bool(self.problems)

    @property
    def group(self) -> tuple[str, str, str, str]:
        """Key of records that are comparable in one table: fingerprint, split, samples, task."""
        d = self.dataset
        return str(d["fingerprint"]), str(d["split"]), str(d["samples_digest"]), self.task

    @property
    def row(self) -> str:
        """The kind of the record, one of `ROWS`."""
        return str(self.method.get("row") or SINGLE)

    @property
    def label(self) -> str:
        """The name in tables: the method, and the kind of row for a random method."""
        name = str(self.method["name"])
        return name if self.row == SINGLE else f"{name} ({self.row} of {self.method.get('draws')})"

    @property
    def of_draws(self) -> bool:
        """Whether the per-sample table has a row for every draw of a random method, with ids `SAMPLE#DRAW`."""
        return self.row == MEAN

    @property
    def draws(self) -> int:
        """Number of rows per sample in the per-sample table."""
        return int(self.method.get("draws") or 1) if self.of_draws else 1

    @property
    def rows(self) -> int:
        """Number of rows of the per-sample table."""
        return int(self.dataset["n"]) * self.draws

    @property
    def one_answer(self) -> bool:
        """Whether its predictions are one folder with one prediction per sample."""
        return self.row in (SINGLE, VOTE)

    def value(self, metric: str) -> float | None:
        """The value of a metric; None if it is undefined or not reported."""
        return self.metrics.get(metric, {}).get("value")

    def to_json(self) -> dict[str, Any]:
        """The JSON content, including `digest`. NaN and infinities become null."""
        content = {f.name: _plain(getattr(self, f.name)) for f in fields(self) if f.name not in ("path", "problems")}
        content["schema_version"] = SCHEMA_VERSION
        content["digest"] = record_digest(content)
        return content

    def __repr__(self) -> str:
        d = self.dataset
        return f"<run of {self.method['name']!r}, task {self.task!r}, {d['n']} samples of {d['name']!r} ({d['split']})>"

    def _repr_html_(self) -> str:
        from deocc_bench.core.notebook import run_html

        d = self.dataset
        title = f"{self.method['name']}, task {self.task}, {d['name']} {d['split']} ({d['n']} samples)"
        return run_html(title, self.metrics, problems=self.problems, notes=self.notes)


def run_folder(run: str | Path | RunResult) -> Path:
    """The folder of a run, given its record or its path.

    Raises:
        UsageError: the record was not written to a folder.
    """
    if not isinstance(run, RunResult):
        return Path(run)
    if run.path is None:
        raise UsageError(f"the run of {run.method['name']!r} was not written to a folder; evaluate it with out=FOLDER")
    return run.path.parent


@dataclass(frozen=True)
class Rescored:
    """A run re-scored from its predictions: metrics as in the record, and the digest of the predictions."""

    metrics: Mapping[str, Mapping[str, Any]]
    predictions_digest: str | None


def record_digest(content: Mapping[str, Any]) -> str:
    """Hex SHA-256 of the content of a record without its `digest`."""
    bare = {k: v for k, v in content.items() if k != "digest"}
    return hashlib.sha256(dump_json(bare, indent=None).encode()).hexdigest()


def write_result(folder: str | Path, result: RunResult) -> Path:
    """Write `folder/result.json` atomically and return its path."""
    path = Path(folder) / RESULT_FILE
    atomic_write(path, dump_json(result.to_json()))
    return path


def read_result(path: str | Path) -> RunResult:
    """Read a record and verify it.

    Args:
        path: the folder of a run, or its `result.json`.

    Returns:
        The record; `problems` lists what was changed in it, or in the table next to it, after the run.

    Raises:
        InputError: the record is missing, has a newer schema, lacks fields, or has fields of another type.
    """
    path = Path(path)
    path = path / RESULT_FILE if path.is_dir() else path
    check_inside(path.parent, path)
    content = read_json(path)
    _check_schema(path, content)
    problems = []
    if record_digest(content) != content["digest"]:
        problems.append("the record was changed after the run (its digest does not match)")
    table = path.with_name(SAMPLES_FILE)
    check_inside(path.parent, table)
    if content["table_digest"] is not None and table.is_file() and sha256_file(table) != content["table_digest"]:
        problems.append(f"{SAMPLES_FILE} was changed after the run (its digest does not match)")
    known = {f.name for f in fields(RunResult)}
    values = {k: v for k, v in content.items() if k in known}
    values["notes"] = tuple(values["notes"])
    return RunResult(**{**values, "path": path, "problems": tuple(problems)})


def _check_schema(path: Path, content: Any) -> None:
    cure = "give the folder of a finished run (`deocc-bench evaluate`)"
    version: Any = content.get("schema_version") if isinstance(content, dict) else None
    if not is_whole(version):
        raise InputError(path, "not a result record: it has no schema_version", cure)
    if version > SCHEMA_VERSION:
        problem = f"schema version is {version}, but this deocc-bench reads versions up to {SCHEMA_VERSION}"
        raise InputError(path, problem, "update deocc-bench")
    try:
        checked(content, Record, path, cure)
    except InputError:
        # The general message does not name the metric.
        for name, metric in content["metrics"].items() if isinstance(content.get("metrics"), dict) else ():
            checked(metric, Metric, f"{path}: metric {one_line(name, 80)}", cure)
        raise


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    if isinstance(value, Path):
        return str(value)
    number = float(value)
    return number if math.isfinite(number) else None
