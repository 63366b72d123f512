"""Read runs from disk and group those that may share a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from deocc_bench.core.errors import DeoccError, InputError, one_line
from deocc_bench.core.paths import leads_out
from deocc_bench.core.results import (
    BEST_OF_K,
    PREDICTIONS_FOLDER,
    RESULT_FILE,
    SAMPLES_FILE,
    RunResult,
    read_result,
)
from deocc_bench.core.samples import read_table, sample_of
from deocc_bench.leaderboard.text import clean
from deocc_bench.metrics.aggregate import sample_terms
from deocc_bench.metrics.definition import MetricSpec
from deocc_bench.metrics.spec import spec_of_record
from deocc_bench.metrics.terms import Terms


@dataclass(frozen=True)
class Run:
    """A result record and the files in its folder.

    Args:
        record: as it was read; `record.problems` lists changes after the run.
        folder: the folder of the run.
        label: its name in tables, unique within its group.
        samples: the per-sample table, sorted by id; None if it is missing or unreadable.
        findings: problems of the run, from reading the record and from verification.
        verified: the result of the verification; None: not requested.
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
        """How it used ground truth that other methods must predict, the reason why it is not ranked; None if not."""
        if self.record.method.get("truth_given"):
            return f"has access to the ground truth ({', '.join(map(clean, self.record.method['truth_given']))})"
        if self.record.row == BEST_OF_K:
            return "its best draws were selected with the ground truth"
        return None

    @property
    def predictions(self) -> Path | None:
        """The folder of its predictions, if it exists and has one prediction per sample."""
        folder = self.folder / PREDICTIONS_FOLDER
        there = folder.is_dir() and not leads_out(self.folder, folder)
        return folder if there and self.record.one_answer else None

    @property
    def linked(self) -> str | None:
        """The first folder of pictures that is a link out of the run; its pictures are left out."""
        names = (PREDICTIONS_FOLDER, *(f"{PREDICTIONS_FOLDER}/{kind}" for kind in ("masks", "images")))
        return next((name for name in names if leads_out(self.folder, self.folder / name)), None)

    @cached_property
    def sample_ids(self) -> np.ndarray:
        """The sample id of each row of `samples`, without the draw."""
        ids = [] if self.samples is None else self.samples["id"].tolist()
        return np.array([sample_of(i) if self.record.of_draws else i for i in ids], dtype=str)

    def spec(self, metric: str) -> MetricSpec:
        """The spec of a metric in the record."""
        return spec_of_record(metric, self.record.metrics[metric], self.record.task)

    def terms(self, spec: MetricSpec | None) -> Terms | None:
        """Numerators and denominators of a metric over `samples`, float64 (N, K); None if there are none."""
        if spec is None or spec.terms is None or self.samples is None:
            return None
        return sample_terms(spec, self.samples)


@dataclass(frozen=True)
class Group:
    """Comparable runs: same samples, task, initial masks and definitions. `slug`: its part of file names, unique."""

    runs: tuple[Run, ...]
    definitions: Mapping[str, str] = field(default_factory=dict)
    slug: str = ""

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
        """Sample count, fingerprint and initial masks in words."""
        parts = [f"{self.dataset['n']} samples", f"fingerprint {str(self.dataset['fingerprint'])[:12]}"]
        if self.initial_mask:
            parts.append(f"initial masks: {clean(self.initial_mask)}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Unreadable:
    """A record that can't be read, and why."""

    path: Path
    reason: str


def load_runs(paths: Iterable[str | Path]) -> tuple[list[Run], list[Unreadable]]:
    """Read runs, and the records that can't be read; a folder without a record is searched for runs below it.

    Raises:
        InputError: a path contains no record, or all records are unreadable.
    """
    found: dict[Path, Run] = {}
    broken: dict[Path, tuple[Path, InputError]] = {}
    for path in paths:
        for file in _records_at(Path(path)):
            key = file.resolve()
            if key not in found and key not in broken:
                try:
                    found[key] = _load(file)
                except InputError as error:
                    broken[key] = file, error
    if not found and broken:
        raise next(iter(broken.values()))[1]
    if not found:
        raise DeoccError("no runs; name folders that `deocc-bench evaluate` wrote")
    return list(found.values()), [_unreadable(file, error) for file, error in broken.values()]


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Group runs that may share a table, and make labels unique within each group.

    Fingerprint, split, scored samples, task and initial masks must be equal. If records of such a group have different
    definitions for one metric id, each definition has its own group.
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
    groups.sort(key=lambda g: (g.title, str(g.dataset["fingerprint"]), str(g.initial_mask)))
    used: Counter[str] = Counter()
    named = []
    for group in groups:
        slug = _slug(group)
        used[slug] += 1
        named.append(replace(group, slug=slug if used[slug] == 1 else f"{slug}-{used[slug]}"))
    return named


def _records_at(path: Path) -> list[Path]:
    if path.is_file() or (path / RESULT_FILE).is_file():
        return [path if path.is_file() else path / RESULT_FILE]
    if not path.is_dir():
        raise InputError(path, "no such run", "use the folder of a finished run (`deocc-bench evaluate`)")
    found = sorted(p for p in path.rglob(RESULT_FILE) if PREDICTIONS_FOLDER not in p.parts)
    if not found:
        raise InputError(path, f"has no {RESULT_FILE}", "use the folder of a finished run (`deocc-bench evaluate`)")
    return found


def _slug(group: Group) -> str:
    """Dataset, split, task and fingerprint as a part of file names."""
    words = f"{group.dataset['name']}-{group.dataset['split']}-{group.task}"
    return f"{_safe(words)[:60].strip('-') or 'table'}-{_safe(str(group.dataset['fingerprint'])[:8])}"


def _safe(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "-" for c in text)


def _unreadable(file: Path, error: InputError) -> Unreadable:
    part = error.where.removeprefix(str(file)).lstrip(": ")
    return Unreadable(file, one_line(f"{part}: {error.problem}" if part else error.problem, 400))


def _load(file: Path) -> Run:
    record = read_result(file)
    findings = list(record.problems)
    table = file.with_name(SAMPLES_FILE)
    samples = None
    if table.is_file():
        try:
            samples = read_table(table)
        except InputError as error:
            findings.append(f"{SAMPLES_FILE}: {error.problem}")
    return Run(record, file.parent, clean(record.label), samples, tuple(findings))


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
