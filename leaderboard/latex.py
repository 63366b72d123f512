"""LaTeX tables to be \\input into a paper: plain pdfLaTeX with only the package booktabs."""

from __future__ import annotations

from collections.abc import Sequence

from deocc_bench.leaderboard.claimed import Claim
from deocc_bench.leaderboard.table import Board, Cell, Column, Row, Table
from deocc_bench.leaderboard.text import fixed, shown

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": r"{[}",
    "]": r"{]}",
    "*": r"{*}",
    "–": r"\textendash{}",
    "…": r"\ldots{}",
    "⚠": r"$\triangle$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "×": r"$\times$",
}
# The non-ASCII characters of pdfLaTeX's standard fonts: Latin-1 letters and the European letters of T1.
_LAST_LETTER = 0x17F
_PREAMBLE = (
    "% Written by deocc-bench. Needs \\usepackage{booktabs}; \\usepackage[T1]{fontenc} and \\usepackage{textcomp} "
    "for names beyond ASCII.\n"
)


def leaderboard_latex(board: Board) -> str:
    """All tables as `table` environments; claimed numbers are in separate tables, unreadable records in comments."""
    parts = [_PREAMBLE, *(_table(t, n) for n, t in enumerate(board.tables, 1))]
    for number, table in enumerate(board.tables, 1):
        if table.claims:
            title = f"Claimed by papers, not measured here: {table.group.title}"
            parts.append(_claims(table.claims, title, f"claimed-{number}"))
    if board.claims:
        parts.append(_claims(board.claims, "Claimed by papers for datasets without a run", "claimed-others"))
    parts += [f"% {escape(u.path, 200)}: unreadable, because {escape(u.reason, 300)}" for u in board.unreadable]
    return "\n".join(parts) + ("\n" if board.unreadable else "")


def document(body: str) -> str:
    """A complete document around `body`, for a preview."""
    return (
        "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage[utf8]{inputenc}\n\\usepackage{textcomp}\n"
        "\\usepackage{booktabs}\n\\usepackage[landscape,margin=1cm]{geometry}\n\\begin{document}\n"
        f"{body}\n\\end{{document}}\n"
    )


def escape(text: object, limit: int = 60) -> str:
    """Escape foreign text: one line, truncated, no commands; letters without a pdfLaTeX glyph by code point."""
    # An empty group keeps two hyphens from becoming a dash.
    return "".join(_letter(c) for c in shown(text, limit)).replace("--", "-{}-")


def _letter(c: str) -> str:
    if c in _SPECIAL:
        return _SPECIAL[c]
    if ord(c) < 0x7F or (0xC0 <= ord(c) <= _LAST_LETTER and c.isalpha()):
        return c
    return f"(U+{ord(c):04X})"


def _table(table: Table, number: int) -> str:
    columns = "rl" + "r" * len(table.columns)
    head = ["", "method", *(_heading(c) for c in table.columns)]
    ranked = [r for r in table.rows if r.ranked]
    others = [r for r in table.rows if not r.ranked]
    lines = [*map(_line, (_cells(table, r) for r in ranked))]
    if ranked and others:
        lines.append("\\midrule")
    lines += [_line(_cells(table, r)) for r in others]
    caption = f"{escape(table.group.title, 160)} ({escape(table.group.subtitle, 160)}). "
    caption += " ".join(escape(r, 400) for r in table.remarks)
    notes = [f"\\textsuperscript{{{m}}}\\,{escape(t, 300)}" for m, t in table.footnotes.items()]
    foot = f"\n\\par\\smallskip\n{{\\footnotesize\\raggedright {'; '.join(notes)}.\\par}}" if notes else ""
    return (
        "\\begin{table}[tbp]\n\\centering\n\\small\n\\setlength{\\tabcolsep}{4pt}\n"
        f"\\caption{{{caption}}}\n\\label{{tab:leaderboard-{number}}}\n\\smallskip\n"
        f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{_line(head)}\n\\midrule\n"
        + "\n".join(lines)
        + f"\n\\bottomrule\n\\end{{tabular}}{foot}\n\\end{{table}}\n"
    )


def _heading(column: Column) -> str:
    unit = f" ({escape(column.unit)})" if column.unit not in ("ratio", "count") else ""
    words = column.heading.split()
    # Two lines, split so that the longer one is as short as possible: a table of seven metrics must fit on a page.
    cut = min(range(len(words)), key=lambda k: max(len(" ".join(words[:k])), len(" ".join(words[k:])) + len(unit)))
    lines = [escape(" ".join(part)) for part in (words[:cut], words[cut:]) if part]
    lines[-1] += f"{unit} {_SPECIAL[column.arrow]}"
    return lines[0] if len(lines) == 1 else f"\\shortstack[r]{{{lines[0]}\\\\{lines[1]}}}"


def _cells(table: Table, row: Row) -> list[str]:
    name = escape(row.name, 48) + "".join(f"\\textsuperscript{{{m}}}" for m in row.notes)
    if row.flagged:
        name = f"\\textbf{{CHANGED}} {name}"
    return ["--" if row.rank is None else str(row.rank), name, *(_number(row.cells[c.id], c) for c in table.columns)]


def _number(cell: Cell, column: Column) -> str:
    text = "--" if cell.value is None else _minus(fixed(cell.value, column.decimals))
    text = f"\\textbf{{{text}}}" if cell.place == 1 else f"\\underline{{{text}}}" if cell.place == 2 else text
    if cell.ci95 is not None and cell.value is not None:
        low, high = (_minus(fixed(v, column.decimals)) for v in cell.ci95)
        return f"\\begin{{tabular}}[t]{{@{{}}r@{{}}}}{text}\\\\[-2pt]{{\\tiny [{low}, {high}]}}\\end{{tabular}}"
    return text + (f"\\textsuperscript{{{cell.note}}}" if cell.note else "")


def _minus(number: str) -> str:
    return number.replace("-", "$-$")


def _claims(claims: Sequence[Claim], title: str, label: str) -> str:
    lines = []
    for c in claims:
        who = [escape(c.method), escape(c.dataset), escape(c.metric or "not stated")]
        lines.append(_line([*who, _minus(repr(c.value)), escape(c.source, 100)]))
    head = _line(["method", "dataset", "metric", "claimed", "source"])
    return (
        f"\\begin{{table}}[tbp]\n\\centering\n\\small\n\\caption{{{escape(title, 200)}}}\n\\label{{tab:{label}}}\n"
        f"\\begin{{tabular}}{{lllrl}}\n\\toprule\n{head}\n\\midrule\n"
        + "\n".join(lines)
        + "\n\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + " \\\\"
