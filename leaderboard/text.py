"""Numbers and foreign names as text. Names come from records that anybody may have written: no format trusts them."""

from __future__ import annotations

import math
from collections.abc import Iterable

from deocc_bench.core.errors import one_line

# Longer names are cut where they are shown; the CSV and the report's tooltips hold up to `FULL_NAME`.
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
    """How many decimals a column gets, 1 to 5, by the size of its middle value: 123.4, 12.34, 0.123, 0.0123."""
    sizes = [abs(v) for v in values if v is not None and math.isfinite(v) and v != 0]
    if not sizes:
        return 3
    typical = sorted(sizes)[len(sizes) // 2]
    return next((places for limit, places in ((100, 1), (10, 2), (0.1, 3), (0.01, 4)) if typical >= limit), 5)


def fixed(value: float | None, places: int, sign: bool = False) -> str:
    """A number with `places` decimals; the dash where there is none. Minus zero is zero."""
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:+.{places}f}" if sign else f"{value:.{places}f}"
    return text.lstrip("-+") if float(text) == 0 else text


def join(items: Iterable[str], limit: int = 4) -> str:
    """`a, b, c and 7 more`."""
    found = list(items)
    if len(found) <= limit:
        return ", ".join(found)
    return f"{', '.join(found[:limit])} and {len(found) - limit} more"
