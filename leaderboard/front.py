"""`leaderboard` as a function: the result of `deocc-bench leaderboard` as a pandas table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.results import RunResult, run_folder
from deocc_bench.leaderboard.build import MIB, LeaderboardRequest, build_tables, make
from deocc_bench.leaderboard.table import Row, Table

RunLike = str | Path | RunResult


def leaderboard(
    runs: RunLike | Iterable[RunLike],
    out: str | Path | None = None,
    *,
    columns: Sequence[str] = (),
    sort: str | None = None,
    intervals: bool = False,
    claimed: Sequence[str | Path] = (),
    latency: Sequence[str | Path] = (),
    data: str | Path | Sequence[str | Path] = (),
    verify: bool = LeaderboardRequest.verify,
    title: str = LeaderboardRequest.title,
    embed_mb: float = LeaderboardRequest.embed_bytes / MIB,
    link: bool = LeaderboardRequest.link,
    figures: bool = LeaderboardRequest.figures,
) -> pd.DataFrame:
    """Build the leaderboard of runs, same as `deocc-bench leaderboard`; with `out`, also write its files.

    Args:
        runs: folders of runs, folders with runs below them, or records that `evaluate` wrote to a folder; one or
            several.
        out: folder for `leaderboard.csv`, `.md`, `.tex`, `.html` and figures; None: nothing is written.
        columns: metrics to show; empty: the default columns of the task. sort: the metric that orders the rows.
        intervals: add `<metric>.low` and `<metric>.high`, the ends of the 95 % interval.
        claimed, latency: files with claimed numbers and with latency reports.
        data: datasets of the runs, for pictures and `verify`.
        verify: score the predictions again and compare.
        title, embed_mb, link, figures: options of the report, see `deocc-bench leaderboard --help`.

    Returns:
        One row per run, best first: `dataset`, `split`, `task`, `initial_mask`, `method`, `rank` (`Int64`; empty if the
        run is not ranked), `trusted` (False if the record was changed after the run), and the shown metrics. Runs that
        can't be compared (another dataset, split, task or definition) have a different number in `table`.
        `attrs["unreadable"]` is the reason for each record that can't be read, by its path.

    Raises:
        DeoccError: an input is missing or broken, or no record is readable; the message names the file.
        UsageError: no run has a requested column.
    """
    request = LeaderboardRequest(
        runs=tuple(map(run_folder, _several(runs))),
        out=Path(out or "."),
        columns=tuple(columns),
        sort=sort,
        claimed=tuple(map(Path, claimed)),
        latency=tuple(map(Path, latency)),
        datasets=tuple(map(DatasetReader, _several(data))),
        verify=verify,
        title=title,
        embed_bytes=int(embed_mb * MIB),
        link=link,
        figures=figures,
    )
    if out is None:
        board = build_tables(request)
        tables, unreadable = board.tables, board.unreadable
    else:
        made = make(request)
        tables, unreadable = made.tables, made.unreadable
    frame = to_frame(tables, intervals)
    frame.attrs["unreadable"] = {str(u.path): u.reason for u in unreadable}
    return frame


def to_frame(tables: Sequence[Table], intervals: bool = False) -> pd.DataFrame:
    """The numbers of tables as a data frame, one row per run; see `leaderboard`."""
    rows = [_line(number, table, row, intervals) for number, table in enumerate(tables, 1) for row in table.rows]
    frame = pd.DataFrame(rows, columns=list(dict.fromkeys(name for row in rows for name in row)))
    return frame.astype({"rank": "Int64"})


def _line(number: int, table: Table, row: Row, intervals: bool) -> dict[str, Any]:
    data = table.group.dataset
    line: dict[str, Any] = {
        "table": number,
        "dataset": data["name"],
        "split": data["split"],
        "task": table.group.task,
        "initial_mask": table.group.initial_mask,
        "method": row.name,
        "rank": row.rank,
        "trusted": not row.flagged,
    }
    for column in table.columns:
        cell = row.cells[column.id]
        line[column.id] = math.nan if cell.value is None else cell.value
        if intervals and not column.speed:
            line[f"{column.id}.low"], line[f"{column.id}.high"] = cell.ci95 or (math.nan, math.nan)
    return line


def _several(values: Any) -> tuple[Any, ...]:
    return (values,) if isinstance(values, str | Path | RunResult) else tuple(values)
