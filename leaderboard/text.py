"""Numbers and foreign names as text. Names come from records that anyone may have written, so no format trusts them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from deocc_bench.core.errors import one_line

# Longer names are truncated where they are shown; the CSV and the report's tooltips show up to `FULL_NAME` characters.
SHOWN_NAME = 48
FULL_NAME = 1000
DASH = "–"
UP, DOWN = "↑", "↓"


def clean(text: object) -> str:
    """A name on one line, control and direction-changing characters escaped, at most `FULL_NAME` characters."""
    return one_line(str(text).strip(), FULL_NAME) or "(no name)"


def shown(text: object, limit: int = SHOWN_NAME) -> str:
    """`clean`, cut to `limit` characters with an ellipsis."""
    whole = clean(text)
    return whole if len(whole) <= limit else whole[: limit - 1].rstrip() + "…"


def decimals(values: Iterable[float | None]) -> int:
    """Number of decimals of a column, 1 to 5, by the magnitude of its median: 123.4, 12.34, 0.123, 0.0123."""
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    if not sizes:
        return 3
    typical = sorted(sizes)[len(sizes) // 2]
    return next((places for limit, places in ((100, 1), (10, 2), (0.1, 3), (0.01, 4)) if typical >= limit), 5)


def fixed(value: float | None, places: int, sign: bool = False) -> str:
    """A number with `places` decimals; a dash for None. Negative zero is printed as zero."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    return text.lstrip("-+") if float(text) == 0 else text


def join(texts: Iterable[str], limit: int = 4) -> str:
    """`a, b, c and 7 more`."""
    found = list(texts)
    if len(found) <= limit:
        return ", ".join(found)
    return f"{', '.join(found[:limit])} and {len(found) - limit} more"
