"""Progress bars: on stderr, and only where a person watches it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(
    what: str, unit: str, total: int | None = None, *, quiet: bool = False, in_bytes: bool = False
) -> tqdm:
    """A tqdm bar; a context manager with `update(n)`.

    Args:
        what: the text before the bar. unit: what is counted.
        total: None where it is not known.
        quiet: never show it.
        in_bytes: counts are bytes, shown as kB and MB.
    """
    from tqdm import tqdm

    return tqdm(
        total=total,
        desc=what,
        unit=unit,
        unit_scale=in_bytes,
        file=sys.stderr,
        disable=quiet or not sys.stderr.isatty(),
        dynamic_ncols=True,
        mininterval=0.5,
    )
