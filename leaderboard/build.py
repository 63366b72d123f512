"""The pipeline from runs to files: read and check runs, group them, build tables, add sample values, write files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.registry import unknown
from deocc_bench.leaderboard import figures
from deocc_bench.leaderboard.claimed import read_claims, sort_claims
from deocc_bench.leaderboard.csv_out import breakdowns_csv, leaderboard_csv
from deocc_bench.leaderboard.latex import leaderboard_latex
from deocc_bench.leaderboard.markdown import leaderboard_markdown
from deocc_bench.leaderboard.pictures import load_pictures
from deocc_bench.leaderboard.records import Run, Unreadable, group_runs, load_runs
from deocc_bench.leaderboard.report import collect_pictures, write_report
from deocc_bench.leaderboard.samples import Section, sample_values
from deocc_bench.leaderboard.speed import read_speed
from deocc_bench.leaderboard.table import Board, Table, build_table, check_columns
from deocc_bench.leaderboard.verify import (
    Rescore,
    check_dataset,
    check_predictions,
    check_table,
    find_dataset,
    load_rescore,
)
from deocc_bench.metrics.definition import REGIONS, TASKS_OF

FIGURES_FOLDER = "figures"
REPORT = "leaderboard.html"
MIB = 2**20
DEFAULT_SAMPLES = figures.ENDS
_GRID_METHODS = 8


@dataclass(frozen=True)
class LeaderboardRequest:
    """The inputs and options of a leaderboard.

    Args:
        runs: folders of runs, or folders with runs below them.
        out: output folder.
        columns, sort: see `table.build_table`.
        claimed, latency: input files; datasets: for pictures and verification.
        verify: score the predictions again.
        embed_bytes: maximum size of the pictures in the report, over all tables; link: write them to separate files.
        samples, methods: rows and columns of the comparison grids.
    """

    runs: tuple[Path, ...]
    out: Path
    columns: tuple[str, ...] = ()
    sort: str | None = None
    claimed: tuple[Path, ...] = ()
    latency: tuple[Path, ...] = ()
    datasets: tuple[DatasetReader, ...] = ()
    verify: bool = False
    title: str = "Leaderboard"
    embed_bytes: int = 6 * MIB
    link: bool = False
    figures: bool = True
    samples: tuple[str, ...] = DEFAULT_SAMPLES
    methods: tuple[str, ...] = ()


@dataclass(frozen=True)
class Made:
    """The result: tables, files, the tables as markdown, findings about untrusted runs, verification results, and the
    records that can't be read.
    """

    tables: tuple[Table, ...]
    files: tuple[Path, ...]
    text: str
    findings: dict[str, tuple[str, ...]]
    verified: dict[str, str]
    unreadable: tuple[Unreadable, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The output of `--json`."""
        return {
            "files": [str(f) for f in self.files],
            "findings": {k: list(v) for k, v in self.findings.items()},
            "verified": self.verified,
            "unreadable": {str(u.path): u.reason for u in self.unreadable},
        }


def make(
    request: LeaderboardRequest, say: Callable[[str], object] = lambda text: None, rescore: Rescore | None = None
) -> Made:
    """Write `leaderboard.csv`, `.md`, `.tex`, `.html`, `breakdowns.csv` and `figures/` to `request.out`.

    Args:
        say: called with progress messages.
        rescore: scoring function for `request.verify`; None: the one of this installation.

    Raises:
        DeoccError: an input is missing or broken; the message names the file.
    """
    board = build_tables(request, say, rescore)
    sections = [look_into(table, request.datasets) for table in board.tables]
    texts = {
        "leaderboard.csv": leaderboard_csv(board),
        "breakdowns.csv": breakdowns_csv(board.tables),
        "leaderboard.md": leaderboard_markdown(board),
        "leaderboard.tex": leaderboard_latex(board),
    }
    written = [
        *_write_texts(request.out, texts),
        _write_report(request, sections, board),
        *_draw_if_possible(request, sections, say),
    ]
    runs = [row.run for t in board.tables for row in t.rows]
    return Made(
        board.tables,
        tuple(written),
        "\n".join([texts["leaderboard.md"], *(f"{p}" for p in written)]),
        {str(r.folder): r.findings for r in runs if r.flagged},
        {str(r.folder): r.verified for r in runs if r.verified},
        board.unreadable,
    )


def draw_figures(request: LeaderboardRequest) -> list[Path]:
    """Write only the figures to `request.out`; return the paths of the files."""
    tables = build_tables(request).tables
    return _draw(request, [look_into(table, request.datasets) for table in tables], request.out)


def build_tables(
    request: LeaderboardRequest,
    say: Callable[[str], object] = lambda text: None,
    rescore: Rescore | None = None,
) -> Board:
    """Build the tables of the checked runs. Args: same as `make`."""
    claims = [claim for path in request.claimed for claim in read_claims(path)]
    speed = read_speed(request.latency)
    runs, unreadable = load_runs(request.runs)
    groups = group_runs(_check_runs(runs, request, say, rescore))
    check_columns(groups, [*request.columns, *([request.sort] if request.sort else [])])
    of_group, others = sort_claims(claims, groups)
    tables = [
        build_table(group, speed, own, request.columns, request.sort)
        for group, own in zip(groups, of_group, strict=True)
    ]
    return Board(tuple(tables), tuple(others), tuple(unreadable))


def look_into(table: Table, datasets: Sequence[DatasetReader]) -> Section:
    """Combine a table with the per-sample values and the dataset of its samples."""
    dataset = find_dataset(table.rows[0].run, datasets)
    if dataset is not None and table.group.dataset["split"] not in dataset.splits:
        dataset = None
    return Section(
        table,
        dataset,
        sample_values(table),
        {region: sample_values(table, region) for region in REGIONS if table.group.task in TASKS_OF[region]},
    )


def _check_runs(
    runs: Sequence[Run], request: LeaderboardRequest, say: Callable[[str], object], rescore: Rescore | None
) -> list[Run]:
    checked = [check_dataset(check_table(run), request.datasets) for run in runs]
    if not request.verify:
        return checked
    if not request.datasets:
        raise UsageError("--verify needs the dataset of the predictions; name it with --data DIR")
    for split, dataset in {(str(r.record.dataset["split"]), find_dataset(r, request.datasets)) for r in checked}:
        with suppress(UsageError):  # an unknown split is a finding
            next(iter(dataset.records(split) if dataset else ()), None)  # a broken dataset stops here
    rescore = rescore or load_rescore()
    verified = []
    for run in checked:
        say(f"verifying {run.folder}")
        verified.append(check_predictions(run, request.datasets, rescore))
    return verified


def _write_texts(out: Path, texts: Mapping[str, str]) -> list[Path]:
    for name, text in texts.items():
        atomic_write(out / name, text)
    return [out / name for name in texts]


def _write_report(request: LeaderboardRequest, sections: Sequence[Section], board: Board) -> Path:
    path = request.out / REPORT
    share, linked = request.embed_bytes // len(sections), request.out if request.link else None
    pictures = [collect_pictures(section, share, linked) for section in sections]
    write_report(path, sections, pictures, board, request.title)
    return path


def _draw_if_possible(
    request: LeaderboardRequest, sections: Sequence[Section], say: Callable[[str], object]
) -> list[Path]:
    if request.figures and not figures.available():
        say("skipped the figures, which need matplotlib; pip install 'deocc-bench[figures]'")
    elif request.figures:
        return _draw(request, sections, request.out / FIGURES_FOLDER)
    return []


def _draw(request: LeaderboardRequest, sections: Sequence[Section], folder: Path) -> list[Path]:
    _check_wanted(request, sections)
    written = []
    for section in sections:
        table = section.table
        known = {c.id for c in table.every}
        columns = request.columns or [c.id for c in table.columns]
        written += figures.ratio_curves(table, [c for c in columns if c in known], folder)
        written += figures.pareto(table, folder)
        written += _draw_grids(request, section, folder)
    return written


def _check_wanted(request: LeaderboardRequest, sections: Sequence[Section]) -> None:
    """Check that every requested method and sample exists in a table, before anything is drawn."""
    names = dict.fromkeys(row.name for s in sections for row in s.table.rows if row.run.predictions is not None)
    for name in request.methods:
        if name not in names:
            raise UsageError(unknown("method with predictions", name, names))
    found = [s.values for s in sections if s.values is not None]
    for name in request.samples:
        if found and not any(figures.choose_samples(v, (name,)) for v in found):
            raise UsageError(unknown("sample", name, [*figures.ENDS, *found[0].ids[:5]]))


def _draw_grids(request: LeaderboardRequest, section: Section, folder: Path) -> list[Path]:
    table, values = section.table, section.values
    if values is None or section.dataset is None:
        return []
    with_answers = {row.name: k for k, row in enumerate(table.rows) if row.run.predictions is not None}
    names = request.methods or tuple(with_answers)[:_GRID_METHODS]
    rows = [with_answers[name] for name in names if name in with_answers]
    split = str(table.group.dataset["split"])
    known = set(section.dataset.ids(split))
    chosen = [i for i in figures.choose_samples(values, request.samples) if values.ids[i] in known]
    if not rows or not chosen:
        return []
    records = [section.dataset.record(split, values.ids[i]) for i in chosen]
    pictures = [load_pictures(record, [table.rows[k].run for k in rows]) for record in records]
    return figures.grid(table, section.of_region, rows, pictures, folder)
