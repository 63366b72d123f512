"""Text from strangers in Markdown: names, licences and categories must not become markup."""

from __future__ import annotations

import re

from deocc_bench.core.errors import one_line

_SPECIAL = re.compile(r"[\\`*\[\]|~$#]")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def plain(text: object, limit: int = 200) -> str:
    """Text for a paragraph, heading or table cell: one line, shown as it is, never read as markup."""
    return _SPECIAL.sub(r"\\\g<0>", one_line(text, limit)).translate(_ENTITIES)


def fenced(text: str) -> str:
    """A code block. The fence is longer than any run of backticks in `text`, which keeps its lines."""
    lines = "\n".join(one_line(line, 10_000) for line in text.split("\n"))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}\n{lines}\n{fence}"
