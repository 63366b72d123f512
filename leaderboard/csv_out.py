"""CSV: one row per run with every number in full precision, and a tidy table of the breakdowns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from deocc_bench.leaderboard.claimed import Claim
from deocc_bench.leaderboard.table import Board, Row, Table
from deocc_bench.leaderboard.text import clean

# A spreadsheet interprets a cell that starts with one of these as a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_HEAD = (
    *("kind", "table", "dataset", "fingerprint", "split", "samples", "task", "initial_mask", "method", "version"),
    *("row", "rank", "ranked", "flagged", "findings", "verified", "notes", "source"),
)


def leaderboard_csv(board: Board) -> str:
    """All tables: one row per run (kind `measured`), claim (kind `claimed`) or broken record (kind `unreadable`).

    Columns: the identity of the run; for each metric `id` (the value), `id.low`, `id.high`, `id.n_defined`, `id.rank`;
    the speed columns; `claimed.metric` and `claimed.value`, which are empty in measured rows.
    """
    tables = board.tables
    metrics = dict.fromkeys(c.id for t in tables for c in t.every if not c.speed)
    speeds = dict.fromkeys(c.id for t in tables for c in t.every if c.speed)
    head: list[str] = list(_HEAD)
    for name in metrics:
        head += [name, f"{name}.low", f"{name}.high", f"{name}.n_defined", f"{name}.rank"]
    head += [*speeds, "claimed.metric", "claimed.value"]
    lines = []
    for number, table in enumerate(tables, 1):
        for row in table.rows:
            lines.append(_run_line(number, table, row, metrics, speeds))
        lines += [_claim_line(number, c) for c in table.claims]
    lines += [_claim_line(None, c) for c in board.claims]
    for u in board.unreadable:
        told = f"unreadable, because {u.reason}"
        lines.append({"kind": "unreadable", "ranked": False, "flagged": True, "findings": told, "source": str(u.path)})
    return _write(head, lines)


def breakdowns_csv(tables: Sequence[Table]) -> str:
    """Tidy: one row for each run, kind of breakdown, bin and metric."""
    head = ["table", "method", "breakdown", "bin", "metric", "value", "low", "high", "n", "n_defined"]
    lines = []
    for number, table in enumerate(tables, 1):
        for row in table.rows:
            for kind, bins in row.run.record.breakdowns.items():
                for name, metrics in bins.items():
                    for metric, m in metrics.items():
                        low, high = m.get("ci95") or (None, None)
                        counts = (m.get("n"), m.get("n_defined"))
                        values = (number, row.name, kind, name, metric, m.get("value"), low, high, *counts)
                        lines.append(dict(zip(head, values, strict=True)))
    return _write(head, lines)


def _run_line(number: int, table: Table, row: Row, metrics: Iterable[str], speeds: Iterable[str]) -> dict[str, Any]:
    record, data = row.run.record, table.group.dataset
    line: dict[str, Any] = {
        "kind": "measured",
        "table": number,
        "dataset": data["name"],
        "fingerprint": data["fingerprint"],
        "split": data["split"],
        "samples": data["n"],
        "task": record.task,
        "initial_mask": table.group.initial_mask,
        "method": row.name,
        "version": record.method.get("version"),
        "row": record.row,
        "rank": row.rank,
        "ranked": row.ranked,
        "flagged": row.flagged,
        "findings": "; ".join(row.run.findings),
        "verified": row.run.verified,
        "notes": "; ".join([*(table.footnotes[m] for m in row.notes), *map(clean, record.notes)]),
        "source": str(row.run.folder),
    }
    for name in metrics:
        cell = row.cells.get(name)
        if cell is None:
            continue
        line[name], line[f"{name}.n_defined"], line[f"{name}.rank"] = cell.value, cell.n_defined, cell.rank
        line[f"{name}.low"], line[f"{name}.high"] = cell.ci95 or (None, None)
    return line | {name: row.cells[name].value for name in speeds if name in row.cells}


def _claim_line(number: int | None, claim: Claim) -> dict[str, Any]:
    return {
        "kind": "claimed",
        "table": number,
        "dataset": claim.dataset,
        "split": claim.split,
        "task": claim.task,
        "method": claim.method,
        "ranked": False,
        "flagged": False,
        "notes": claim.note,
        "source": claim.source,
        "claimed.metric": claim.metric,
        "claimed.value": claim.value,
    }


def _write(head: Sequence[str], lines: Iterable[dict[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_plain, head))
    for line in lines:
        writer.writerow([_plain(line.get(name)) for name in head])
    return buffer.getvalue()


def _plain(value: Any) -> Any:
    """Numbers in their shortest exact form; text on one line, escaped for spreadsheets."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return repr(value)
    text = clean(value) if value != "" else ""
    return f"'{text}" if text.startswith(_FORMULA) else text
