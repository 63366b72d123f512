"""Markdown tables that GitHub, GitLab and pandoc render the same way."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deocc_bench.leaderboard.claimed import Claim
from deocc_bench.leaderboard.table import Board, Cell, Column, Row, Table
from deocc_bench.leaderboard.text import DASH, fixed, shown

# Characters that start markup: backslash first; `<` and `&` become entities, because HTML passes through markdown.
_SPECIAL = re.compile(r"([\\`*_{}\[\]#|~^$])")
_URL = re.compile(r"(?i)(https?|ftp|www)([:.])")


def leaderboard_markdown(board: Board) -> str:
    """All tables, each with its footnotes; claimed numbers and unreadable records are in separate tables."""
    parts = ["# Leaderboard", *map(_section, board.tables)]
    if board.claims:
        parts += ["## Claimed for datasets without a run", _claims(board.claims)]
    if board.unreadable:
        lines = [_line(["record", "unreadable, because"]), _line([":---", ":---"])]
        lines += [_line([escape(u.path, 200), escape(u.reason, 300)]) for u in board.unreadable]
        parts += ["## Unreadable records", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def escape(text: object, limit: int = 80) -> str:
    """Escape foreign text: one line, truncated, without markup, table pipes or live links."""
    safe = _SPECIAL.sub(r"\\\1", shown(text, limit))
    safe = safe.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;")
    return _URL.sub(r"\1&#58;" if "://" in safe else r"\1\2", safe)


def _section(table: Table) -> str:
    head = ["rank", "method", *(_heading(c) for c in table.columns)]
    lines = [_line(head), _line(["---:", ":---", *["---:"] * len(table.columns)])]
    lines += [_line(_cells(table, row)) for row in table.rows]
    parts = [f"## {escape(table.group.title, 160)}", escape(table.group.subtitle, 200), "\n".join(lines)]
    notes = [f"<sup>{mark}</sup> {escape(text, 400)}" for mark, text in table.footnotes.items()]
    if notes:
        parts.append("  \n".join(notes))
    parts.append(" ".join(escape(r, 400) for r in table.remarks))
    if table.claims:
        parts += ["### Claimed by papers, not measured here", _claims(table.claims)]
    return "\n\n".join(parts)


def _heading(column: Column) -> str:
    unit = f" ({escape(column.unit)})" if column.unit not in ("ratio", "count") else ""
    return f"{escape(column.heading)}{unit} {column.arrow}"


def _cells(table: Table, row: Row) -> list[str]:
    name = escape(row.name, 48) + "".join(f"<sup>{m}</sup>" for m in row.notes)
    if row.flagged:
        name = f"⚠ CHANGED {name}"
    rank = DASH if row.rank is None else str(row.rank)
    return [rank, name, *(_number(row.cells[c.id], c) for c in table.columns)]


def _number(cell: Cell, column: Column) -> str:
    text = fixed(cell.value, column.decimals)
    # Markdown has no underline; viewers either support <u> or show it as text.
    text = f"**{text}**" if cell.place == 1 else f"<u>{text}</u>" if cell.place == 2 else text
    if cell.ci95 is not None and cell.value is not None:
        low, high = (fixed(v, column.decimals) for v in cell.ci95)
        text += f" \\[{low}, {high}\\]"
    return text + (f"<sup>{cell.note}</sup>" if cell.note else "")


def _claims(claims: Sequence[Claim]) -> str:
    lines = [_line(["method", "dataset", "metric", "claimed value", "source"])]
    lines.append(_line([":---", ":---", ":---", "---:", ":---"]))
    for c in claims:
        value = repr(c.value)
        lines.append(
            _line([escape(c.method), escape(c.dataset), escape(c.metric or "not stated"), value, escape(c.source, 160)])
        )
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"
