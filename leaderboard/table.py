"""The format-independent table: rows, columns, cells, ranks and footnotes. The formats only render it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.core.statistics import rank_with_ties
from deocc_bench.leaderboard.claimed import Claim
from deocc_bench.leaderboard.pairs import Pairs, compare_all
from deocc_bench.leaderboard.records import Group, Run, Unreadable
from deocc_bench.leaderboard.speed import DEFAULT_COUNT, SPEED, Speed
from deocc_bench.leaderboard.text import DOWN, UP, clean, decimals
from deocc_bench.metrics.definition import OWN, MetricSpec, Region

ALPHA = 0.05
# How many metrics of user-supplied feature networks a table shows by default.
_GIVEN_NETWORKS = 2


@dataclass(frozen=True)
class Column:
    """One column. `meaning` and `source` are empty if the definition is unknown to this version.

    `spec`: the spec of a metric; None for a speed column.
    """

    id: str
    heading: str
    unit: str
    higher_is_better: bool
    definition: str
    meaning: str
    source: str
    decimals: int
    spec: MetricSpec | None = None

    @property
    def arrow(self) -> str:
        """An arrow in the direction of better values."""
        return UP if self.higher_is_better else DOWN

    @property
    def speed(self) -> bool:
        """Whether it is a speed column and not a metric."""
        return self.spec is None

    @property
    def time(self) -> bool:
        """Whether it says how long a method takes: quality can be drawn against it."""
        return self.speed and SPEED[self.id].speed and not self.higher_is_better

    @property
    def region(self) -> Region | None:
        """Whether the metric is about masks or recovered pictures; None for a speed column and if unknown."""
        return None if self.spec is None else self.spec.region


@dataclass(frozen=True)
class Cell:
    """One number. `place` is 1 for the best, 2 for the second, else None; `note` is the mark of a footnote."""

    value: float | None
    ci95: tuple[float, float] | None = None
    n: int | None = None
    n_defined: int | None = None
    rank: int | None = None
    place: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Row:
    """One run. `rank`: its rank in the sort column; `notes`: marks of footnotes; `ranked`: whether it is ranked."""

    run: Run
    cells: Mapping[str, Cell]
    rank: int | None
    ranked: bool
    notes: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.run.label

    @property
    def flagged(self) -> bool:
        return self.run.flagged


@dataclass(frozen=True)
class Table:
    """One group as a table.

    Args:
        columns: the shown columns, in order; `every`: all columns of any run, for the CSV.
        sort: id of the column that orders the rows.
        rows: ranked rows, best first, then unranked rows.
        footnotes: mark -> text, in the order of their first use.
        remarks: how the ranks were computed, and other remarks for the reader.
        pairs: metric id -> paired comparison of the rows, in the order of `rows`.
    """

    group: Group
    columns: tuple[Column, ...]
    every: tuple[Column, ...]
    sort: str
    rows: tuple[Row, ...]
    footnotes: Mapping[str, str]
    remarks: tuple[str, ...]
    claims: tuple[Claim, ...] = ()
    pairs: Mapping[str, Pairs] = field(default_factory=dict)

    def column(self, name: str) -> Column:
        return next(c for c in self.every if c.id == name)


class Board(NamedTuple):
    """All that a leaderboard shows: the tables, the claims for datasets without a run, and the unreadable records."""

    tables: tuple[Table, ...]
    claims: tuple[Claim, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()


def build_table(
    group: Group,
    speed: Speed,
    claims: Sequence[Claim] = (),
    columns: Sequence[str] = (),
    sort: str | None = None,
) -> Table:
    """Build the table of one group.

    Args:
        columns: ids to show; ids that the task does not have are ignored. Empty: the default columns.
        sort: id of the column to sort by; None, or an id that the group lacks: the first shown column.
    """
    every = _every_column(group, speed)
    shown = _shown(every, group, columns)
    key = sort if sort in {c.id for c in every} else shown[0].id
    ordered = _ordered(group, speed, next(c for c in every if c.id == key))
    pairs = {c.id: p for c in shown if not c.speed and (p := _pairs(ordered, c)) is not None}
    places = {c.id: _places(ordered, c, pairs.get(c.id), speed) for c in _with_sort(shown, every, key)}
    notes: dict[str, str] = {}
    rows = []
    for run in ordered:
        marks = tuple(_mark(notes, text) for text in _run_notes(run, group))
        cells = {c.id: _cell(run, c, speed, places.get(c.id, {}), notes if c in shown else None) for c in every}
        rows.append(Row(run, cells, cells[key].rank, _competes(run), marks))
    return Table(
        group, shown, every, key, tuple(rows), {m: t for t, m in notes.items()},
        _remarks(group, pairs, speed, rows, shown), tuple(claims), pairs,
    )  # fmt: skip


def check_columns(groups: Sequence[Group], names: Sequence[str]) -> None:
    """Check that every requested column exists in a run.

    Raises:
        UsageError: no run has the column; the message suggests a similar name.
    """
    specs = {m: r.spec(m) for g in groups for r in g.runs for m in r.record.metrics}
    for name in names:
        if name not in specs and name not in SPEED:
            one_each = [clean(metric) for metric, spec in specs.items() if not spec.each_part]
            raise UsageError(unknown("column", name, [*one_each, *SPEED]))


def _every_column(group: Group, speed: Speed) -> tuple[Column, ...]:
    found: dict[str, Column] = {}
    for run in group.runs:
        for name, metric in run.record.metrics.items():
            if name in found:
                continue
            spec = run.spec(name)
            found[name] = Column(
                id=name,
                heading=clean(spec.heading),
                unit=clean(metric["unit"]),
                higher_is_better=bool(metric["higher_is_better"]),
                definition=clean(metric["definition"]),
                meaning=spec.meaning,
                source=spec.source,
                decimals=decimals([_finite(r.record.value(name)) for r in group.runs]),
                spec=spec,
            )
    for name, s in SPEED.items():
        values = [speed.value(r, name) for r in group.runs]
        if any(v is not None for v in values):
            places = 0 if s.whole else decimals(values)
            found[name] = Column(name, s.heading, s.unit, s.higher_is_better, name, s.meaning, OWN, places)
    return tuple(found.values())


def _shown(every: Sequence[Column], group: Group, wanted: Sequence[str]) -> tuple[Column, ...]:
    by_id = {c.id: c for c in every}
    chosen = [by_id[n] for n in wanted if n in by_id]
    if not chosen:
        runs = [r for r in group.runs if _competes(r)] or group.runs
        defined = {name for r in runs for name, m in r.record.metrics.items() if m["value"] is not None}
        usual: list[tuple[int, Column]] = []
        given: list[tuple[int, Column]] = []
        for column in every:
            spec = column.spec
            if spec is not None and group.task in spec.columns and (column.id in defined or spec.column_if_undefined):
                (given if spec.of_given_network and spec.member else usual).append((spec.columns[group.task], column))
        metrics = sorted([*usual, *given[:_GIVEN_NETWORKS]], key=lambda pair: pair[0])
        others = [name for name, s in SPEED.items() if s.by_default and name in by_id]
        speeds = [name for name in others if SPEED[name].speed][:DEFAULT_COUNT]
        others = [name for name in others if not SPEED[name].speed or name in speeds]
        chosen = [*(column for _, column in metrics), *(by_id[name] for name in others)]
    return tuple(dict.fromkeys(chosen)) or tuple(every[:1])


def _with_sort(shown: Sequence[Column], every: Sequence[Column], key: str) -> list[Column]:
    return [*shown, *(c for c in every if c.id == key and c not in shown)]


def _ordered(group: Group, speed: Speed, column: Column) -> list[Run]:
    def order(run: Run) -> tuple[bool, bool, bool, float, str]:
        value = _value(run, column, speed)
        size = 0.0 if value is None else -value if column.higher_is_better else value
        return run.flagged, not _competes(run), value is None, size, run.label

    return sorted(group.runs, key=order)


def _competes(run: Run) -> bool:
    return not run.flagged and run.oracle is None


def _pairs(runs: Sequence[Run], column: Column) -> Pairs | None:
    terms, groups = [], []
    for run in runs:
        found = run.terms(column.spec)
        if found is None or run.samples is None:
            return None
        terms.append(found)
        groups.append(run.samples["group"].to_numpy(dtype=str))
    try:
        return compare_all(terms, groups, [1 / r.record.draws for r in runs], counted=[_competes(r) for r in runs])
    except ValueError:
        return None


def _places(runs: Sequence[Run], column: Column, pairs: Pairs | None, speed: Speed) -> dict[str, tuple[int, int]]:
    """Label -> (rank, place): place 1 for all rows of the best rank, 2 for those of the next rank."""
    values = {r.label: _value(r, column, speed) for r in runs if _competes(r)}
    known = {name: v for name, v in values.items() if v is not None}
    up = column.higher_is_better
    by_value = {n: 1 + sum(w != v and (w > v) == up for w in known.values()) for n, v in known.items()}
    if pairs is None:
        ranks = by_value
    else:
        index = {r.label: i for i, r in enumerate(runs)}
        names = list(known)
        p = {
            (a, b): (None if math.isnan(q) else q)
            for k, a in enumerate(names)
            for b in names[k + 1 :]
            for q in [float(pairs.p[index[a], index[b]])]
        }
        ranks = {n: r.rank for n, r in rank_with_ties(values, p, column.higher_is_better, ALPHA).items()}
    # If no test can be significant, all share rank 1, and bold print of every number would be useless.
    shown = ranks if pairs is None or pairs.has_power(ALPHA) else by_value
    taken = sorted(set(shown.values()))
    return {name: (rank, taken.index(shown[name]) + 1) for name, rank in ranks.items()}


def _cell(
    run: Run, column: Column, speed: Speed, places: Mapping[str, tuple[int, int]], notes: dict[str, str] | None
) -> Cell:
    rank, place = places.get(run.label, (None, None))
    place = place if place in (1, 2) else None
    value = _value(run, column, speed)
    if column.speed:
        note = SPEED[column.id].missing if value is None else None
        return Cell(value, rank=rank, place=place, note=None if note is None or notes is None else _mark(notes, note))
    metric = run.record.metrics.get(column.id)
    if metric is None:
        return Cell(None, note=None if notes is None else _mark(notes, "not reported by the run"))
    ci = metric["ci95"]
    ends = (float(ci[0]), float(ci[1])) if isinstance(ci, list) and len(ci) == 2 and None not in ci else None
    n, defined = metric["n"], metric["n_defined"]
    note = None
    if value is None:
        note = clean(metric.get("reason") or f"undefined for all {n} samples, or not predicted by the method")
    return Cell(
        value, ends, n, defined, rank, place, _mark(notes, note) if note is not None and notes is not None else None
    )


def _run_notes(run: Run, group: Group) -> list[str]:
    notes = [f"UNTRUSTED: {clean(text)}" for text in run.findings]
    if run.oracle:
        notes.append(f"not ranked: {run.oracle}")
    if run.verified is not None and run.verified.startswith("not verified"):
        notes.append(run.verified)
    if run.linked:
        notes.append(f"{run.linked} is a link that leads out of the run; its pictures are left out")
    weights = run.record.method.get("weights")
    stages = weights if isinstance(weights, Mapping) else {"all": weights}
    untrained = [clean(stage) for stage, text in stages.items() if str(text).startswith("none:")]
    if untrained:
        notes.append(f"untrained, with random weights: {', '.join(untrained)}")
    fitted = run.record.protocol.get("fit_dataset")
    if fitted and fitted != group.dataset["fingerprint"]:
        notes.append(f"trained on another dataset ({clean(fitted)[:12]})")
    return notes


def _remarks(
    group: Group, pairs: Mapping[str, Pairs], speed: Speed, rows: Sequence[Row], shown: Sequence[Column]
) -> tuple[str, ...]:
    remarks = []
    if sum(r.ranked for r in rows) < 2:
        remarks.append("Fewer than two runs are ranked, so nothing was compared.")
    elif pairs:
        some = next(iter(pairs.values()))
        how = "all swaps" if some.exact else f"{some.permutations} swaps"
        remarks.append(
            f"Rank is 1 + the number of methods that are significantly better (paired permutation test over "
            f"{some.clusters} source humans, {how}, Holm-corrected, {ALPHA:.0%})."
        )
        # A column without two defined runs was not tested; this does not mean that there are too few humans.
        if some.has_power(ALPHA) or (some.clusters > 1 and not some.tested):
            remarks.append("Bold: rank 1; underlined: the next rank.")
        else:
            remarks.append(
                "With so few source humans no difference can be significant, so all methods share a rank. "
                "Bold: best value; underlined: second best."
            )
    else:
        remarks.append(
            "No significance test was possible; ranks follow the values. Bold: best; underlined: second best."
        )
    remarks.append("The intervals are 95 % bootstrap intervals over source humans.")
    known = [c for c in shown if c.id not in pairs and any(r.cells[c.id].value is not None for r in rows)]
    untested = [c.heading for c in known]
    if pairs and untested:
        remarks.append(f"Ranked by value, without a significance test: {', '.join(untested)}.")
    if any(r.run.verified for r in rows):
        good = sum((r.run.verified or "").startswith("verified") for r in rows)
        remarks.append(f"Verified: scoring the predictions of {good} of {len(rows)} runs again gives the same numbers.")
    machines = {str(r.run.record.environment.get("cpu")) for r in rows}
    for name, s in SPEED.items():
        if s.of_machine and len(machines) > 1 and any(name in r.cells and r.cells[name].value for r in rows):
            remarks.append(f"{s.heading.capitalize()}s come from different machines and can't be compared.")
    for name, definition in group.definitions.items():
        remarks.append(
            f"{clean(name)} uses definition {clean(definition)}; runs with other definitions have separate tables."
        )
    return (*remarks, *speed.notes)


def _mark(notes: dict[str, str], text: str) -> str:
    if text not in notes:
        number, mark = len(notes), ""
        while True:
            mark = chr(ord("a") + number % 26) + mark
            number = number // 26 - 1
            if number < 0:
                break
        notes[text] = mark
    return notes[text]


def _value(run: Run, column: Column, speed: Speed) -> float | None:
    return speed.value(run, column.id) if column.speed else _finite(run.record.value(column.id))


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
