"""Runs from disk, and the groups that may stand in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.results import PREDICTIONS_FOLDER, RESULT_FILE, SAMPLES_FILE, RunResult, read_result
from deocc_bench.leaderboard.text import clean

_TEXT = ("id", "group", "occluder_categories")
# Rows of a random method's mean hold every draw, ids `<sample>#<draw>`.
_DRAW = "#"
ORACLE_ROWS = ("best-of-k",)


@dataclass(frozen=True)
class Run:
    """One record with what lies beside it.

    Args:
        record: as it was read; `record.problems` says what was changed after the run.
        folder: where it lies.
        label: its name in tables, unique within its group.
        samples: the per-sample table, sorted by id; None where it is missing or unreadable.
        findings: what is wrong with the run: problems of the record, and what verification adds.
        verified: what was checked by scoring anew; None: was not asked for.
    """

    record: RunResult
    folder: Path
    label: str
    samples: pd.DataFrame | None = None
    findings: tuple[str, ...] = ()
    verified: str | None = None

    @property
    def flagged(self) -> bool:
        """Whether its numbers can't be trusted."""
        return bool(self.findings)

    @property
    def oracle(self) -> str | None:
        """Why it is out of the competition: it saw the truth that others must guess; None where it did not."""
        if self.record.method.get("truth_given"):
            return f"was shown the truth ({', '.join(map(clean, self.record.method['truth_given']))})"
        if self.record.method.get("row") in ORACLE_ROWS:
            return "the truth chose the best among its draws"
        return None

    @property
    def predictions(self) -> Path | None:
        """The folder of its predictions, if it is there and holds one answer a sample."""
        folder = self.folder / PREDICTIONS_FOLDER
        return folder if folder.is_dir() and self.record.method.get("row", "single") in ("single", "vote") else None

    @cached_property
    def sample_ids(self) -> np.ndarray:
        """The sample of each row of `samples`, draws stripped."""
        ids = [] if self.samples is None else self.samples["id"].tolist()
        return np.array([i.rpartition(_DRAW)[0] if self.draws > 1 else i for i in ids], dtype=str)

    @property
    def draws(self) -> int:
        """Rows that each sample has in `samples`."""
        return int(self.record.method.get("draws") or 1) if self.record.method.get("row") == "mean" else 1


@dataclass(frozen=True)
class Group:
    """Runs that may be compared: same samples, task, input masks and definitions."""

    runs: tuple[Run, ...]
    definitions: Mapping[str, str] = field(default_factory=dict)

    @property
    def first(self) -> RunResult:
        return self.runs[0].record

    @property
    def task(self) -> str:
        return self.first.task

    @property
    def dataset(self) -> Mapping[str, Any]:
        return self.first.dataset

    @property
    def initial_mask(self) -> str | None:
        return self.first.protocol.get("initial_mask")

    @property
    def title(self) -> str:
        """Dataset, split and task in words."""
        return f"{clean(self.dataset['name'])}, split {clean(self.dataset['split'])}, task {self.task}"

    @property
    def subtitle(self) -> str:
        """What else two tables may differ in."""
        parts = [f"{self.dataset['n']} samples", f"fingerprint {str(self.dataset['fingerprint'])[:12]}"]
        if self.initial_mask:
            parts.append(f"initial masks: {clean(self.initial_mask)}")
        return ", ".join(parts)

    @property
    def slug(self) -> str:
        """A file-name part that tells this group from every other."""
        words = f"{self.dataset['name']}-{self.dataset['split']}-{self.task}"
        safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in words)[:60].strip("-")
        return f"{safe or 'table'}-{str(self.dataset['fingerprint'])[:8]}"


def load_runs(paths: Iterable[str | Path]) -> list[Run]:
    """Read runs; a folder without a record is searched for runs below it.

    Raises:
        InputError: a path holds no record, or a broken one.
    """
    found: dict[Path, Run] = {}
    for path in paths:
        for file in _records_at(Path(path)):
            key = file.resolve()
            if key not in found:
                found[key] = _load(file)
    if not found:
        raise DeoccError("no run was given; name the folders that `deocc-bench evaluate` wrote")
    return list(found.values())


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Sort runs into groups that may stand in one table, labels made unique within each.

    Fingerprint, split, scored samples, task and initial masks must be equal; where records of such a group give one
    metric id different definitions, each definition gets its own group.
    """
    base: dict[tuple[Any, ...], list[Run]] = {}
    for run in runs:
        base.setdefault((*run.record.group, run.record.protocol.get("initial_mask")), []).append(run)
    groups = []
    for members in base.values():
        definitions: dict[str, set[str]] = {}
        for run in members:
            for name, metric in run.record.metrics.items():
                definitions.setdefault(name, set()).add(str(metric["definition"]))
        torn = sorted(name for name, found in definitions.items() if len(found) > 1)
        parts: dict[tuple[Any, ...], list[Run]] = {}
        for run in members:
            key = tuple(run.record.metrics.get(name, {}).get("definition") for name in torn)
            parts.setdefault(key, []).append(run)
        for key, part in parts.items():
            groups.append(Group(_unique_labels(part), dict(zip(torn, map(str, key), strict=True))))
    return sorted(groups, key=lambda g: (g.title, str(g.dataset["fingerprint"]), str(g.initial_mask)))


def read_samples(path: Path) -> pd.DataFrame:
    """`samples.csv` sorted by id: text columns as str, the others as numbers, empty cells NaN.

    Raises:
        InputError: not a table of samples.
    """
    try:
        text = dict.fromkeys(_TEXT, str)
        table = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise InputError(path, f"not a table ({error})", "score the run anew") from error
    if not {"id", "group"} <= set(table.columns):
        raise InputError(path, "no columns 'id' and 'group'", "score the run anew")
    odd = [c for c in table.columns if c not in _TEXT and not pd.api.types.is_numeric_dtype(table[c])]
    if odd:
        raise InputError(path, f"column {odd[0]!r} holds something that is no number", "score the run anew")
    for name in set(_TEXT) & set(table.columns):
        table[name] = table[name].fillna("").astype(object)
    return table.sort_values("id", kind="stable", ignore_index=True)


def _records_at(path: Path) -> list[Path]:
    if path.is_file() or (path / RESULT_FILE).is_file():
        return [path if path.is_file() else path / RESULT_FILE]
    if not path.is_dir():
        raise InputError(path, "no such run", "give the folder of a finished run (`deocc-bench evaluate`)")
    found = sorted(p for p in path.rglob(RESULT_FILE) if PREDICTIONS_FOLDER not in p.parts)
    if not found:
        raise InputError(path, f"holds no {RESULT_FILE}", "give the folder of a finished run (`deocc-bench evaluate`)")
    return found


def _load(file: Path) -> Run:
    record = read_result(file)
    findings = list(record.problems)
    table = file.with_name(SAMPLES_FILE)
    samples = None
    if table.is_file():
        try:
            samples = read_samples(table)
        except InputError as error:
            findings.append(f"{SAMPLES_FILE}: {error.problem}")
    row = record.method.get("row") or "single"
    label = clean(record.method["name"])
    if row != "single":
        label += f" ({row} of {record.method.get('draws')})"
    return Run(record, file.parent, label, samples, tuple(findings))


def _unique_labels(runs: Sequence[Run]) -> tuple[Run, ...]:
    counts = Counter(r.label for r in runs)
    seen: Counter[str] = Counter()
    named = []
    for run in runs:
        if counts[run.label] > 1:
            seen[run.label] += 1
            run = replace(run, label=f"{run.label} #{seen[run.label]}")
        named.append(run)
    return tuple(named)
