"""From runs to files: the order in which the room's parts are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.registry import unknown
from deocc_bench.leaderboard import figures
from deocc_bench.leaderboard.claimed import Claim, read_claims, sort_claims
from deocc_bench.leaderboard.csv_out import breakdowns_csv, leaderboard_csv
from deocc_bench.leaderboard.definitions import Lookup, Rescore, load_definitions, load_rescore
from deocc_bench.leaderboard.latex import leaderboard_latex
from deocc_bench.leaderboard.markdown import leaderboard_markdown
from deocc_bench.leaderboard.pictures import load_pictures
from deocc_bench.leaderboard.records import group_runs, load_runs
from deocc_bench.leaderboard.report import Section, collect_pictures, write_report
from deocc_bench.leaderboard.samples import sample_values
from deocc_bench.leaderboard.speed import read_speed
from deocc_bench.leaderboard.table import Table, build_table, check_columns
from deocc_bench.leaderboard.verify import check_dataset, check_predictions, check_table, find_dataset

FIGURES_FOLDER = "figures"
REPORT = "leaderboard.html"
MIB = 2**20
DEFAULT_SAMPLES = figures.ENDS
_GRID_METHODS = 8


@dataclass(frozen=True)
class LeaderboardRequest:
    """What is to be made.

    Args:
        runs: folders of runs, or of runs below them.
        out: folder that the files go to.
        columns, sort: see `table.build_table`.
        claimed, latency: files; datasets: for pictures and verification.
        verify: score the predictions anew.
        embed_bytes: pictures in the report, all tables together; link: write them beside it instead.
        samples, methods: of the comparison grids.
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
    """What was made: the tables, the files, the tables as markdown, and the runs that can't be trusted and why."""

    tables: tuple[Table, ...]
    files: tuple[Path, ...]
    text: str
    findings: dict[str, tuple[str, ...]]
    verified: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """For `--json`."""
        found = {k: list(v) for k, v in self.findings.items()}
        return {"files": [str(f) for f in self.files], "findings": found, "verified": self.verified}


def make(
    request: LeaderboardRequest,
    say: Callable[[str], object] = lambda text: None,
    lookup: Lookup | None = None,
    rescore: Rescore | None = None,
) -> Made:
    """Write `leaderboard.csv`, `.md`, `.tex`, `.html`, `breakdowns.csv` and `figures/` to `request.out`.

    Args:
        say: told what is going on.
        lookup, rescore: the benchmark's definitions and scoring; None: those of this installation.

    Raises:
        DeoccError: bad input; names the file.
    """
    lookup = lookup or load_definitions()
    if request.verify:
        if not request.datasets:
            raise UsageError("--verify scores predictions against their dataset; name it with --data DIR")
        rescore = rescore or load_rescore()
    tables, others = build_tables(request, lookup, rescore, say)
    out = request.out
    texts = {
        "leaderboard.csv": leaderboard_csv(tables, others),
        "breakdowns.csv": breakdowns_csv(tables),
        "leaderboard.md": leaderboard_markdown(tables, others),
        "leaderboard.tex": leaderboard_latex(tables, others),
    }
    for name, text in texts.items():
        atomic_write(out / name, text)
    written = [out / name for name in texts]
    sections = []
    for table in tables:
        values = sample_values(table, lookup)
        share = request.embed_bytes // len(tables)
        pictures = collect_pictures(table, values, request.datasets, share, out if request.link else None)
        content = sample_values(table, lookup, of_content=True) if table.group.task == "joint" else None
        sections.append(Section(table, values, pictures, content))
    write_report(out / REPORT, sections, others, request.title)
    written.append(out / REPORT)
    if request.figures:
        if figures.available():
            written += _draw(request, tables, lookup, out / FIGURES_FOLDER)
        else:
            say("no figures: they need matplotlib; pip install 'deocc-bench[figures]'")
    runs = [row.run for t in tables for row in t.rows]
    return Made(
        tuple(tables),
        tuple(written),
        "\n".join([texts["leaderboard.md"], *(f"{p}" for p in written)]),
        {str(r.folder): r.findings for r in runs if r.flagged},
        {str(r.folder): r.verified for r in runs if r.verified},
    )


def build_tables(
    request: LeaderboardRequest,
    lookup: Lookup | None,
    rescore: Rescore | None = None,
    say: Callable[[str], object] = lambda text: None,
) -> tuple[list[Table], list[Claim]]:
    """The tables of the runs, checked, and the claims about datasets that no run is about."""
    claims = [c for path in request.claimed for c in read_claims(path)]
    speed = read_speed(request.latency)
    runs = []
    for run in load_runs(request.runs):
        run = check_dataset(check_table(run, lookup), request.datasets)
        if request.verify and rescore is not None:
            say(f"verifying {run.folder}")
            run = check_predictions(run, request.datasets, rescore)
        runs.append(run)
    groups = group_runs(runs)
    check_columns(groups, [*request.columns, *([request.sort] if request.sort else [])])
    of_group, others = sort_claims(claims, groups)
    tables = [
        build_table(g, speed, lookup, c, request.columns, request.sort) for g, c in zip(groups, of_group, strict=True)
    ]
    return tables, others


def draw_figures(request: LeaderboardRequest, lookup: Lookup | None = None) -> list[Path]:
    """Only the figures, into `request.out`; the files written."""
    lookup = lookup or load_definitions()
    tables, _ = build_tables(request, lookup)
    return _draw(request, tables, lookup, request.out)


def _draw(request: LeaderboardRequest, tables: list[Table], lookup: Lookup, folder: Path) -> list[Path]:
    _check_wanted(request, tables, lookup)
    written = []
    for table in tables:
        columns = request.columns or [c.id for c in table.columns]
        known = {c.id for c in table.every}
        written += figures.ratio_curves(table, [c for c in columns if c in known], folder)
        written += figures.pareto(table, folder)
        written += _draw_grids(request, table, lookup, folder)
    return written


def _check_wanted(request: LeaderboardRequest, tables: Sequence[Table], lookup: Lookup) -> None:
    """Refuse methods and samples that no table has, before anything is drawn."""
    names = dict.fromkeys(row.name for t in tables for row in t.rows if row.run.predictions is not None)
    for name in request.methods:
        if name not in names:
            raise UsageError(unknown("method with predictions", name, names))
    found = [v for t in tables if (v := sample_values(t, lookup)) is not None]
    for name in request.samples:
        if found and not any(figures.choose_samples(v, (name,)) for v in found):
            raise UsageError(unknown("sample", name, [*figures.ENDS, *found[0].ids[:5]]))


def _draw_grids(request: LeaderboardRequest, table: Table, lookup: Lookup, folder: Path) -> list[Path]:
    values = sample_values(table, lookup)
    dataset = find_dataset(table.rows[0].run, request.datasets)
    if values is None or dataset is None:
        return []
    with_answers = [k for k, row in enumerate(table.rows) if row.run.predictions is not None]
    rows = with_answers[:_GRID_METHODS]
    if request.methods:
        names = {table.rows[k].name: k for k in with_answers}
        rows = [names[m] for m in request.methods if m in names]
    chosen = figures.choose_samples(values, request.samples)
    if not rows or not chosen:
        return []
    split = str(table.group.dataset["split"])
    pictures = [load_pictures(dataset.record(split, values.ids[i]), [table.rows[k].run for k in rows]) for i in chosen]
    kinds = {what: sample_values(table, lookup, of_content=what == "content") for what in ("mask", "content")}
    return figures.grid(table, kinds, rows, pictures, folder)
