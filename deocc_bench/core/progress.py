"""Progress bars on stderr, shown only if it is a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tqdm import tqdm


def progress_bar(
    what: str, unit: str, total: int | None = None, *, quiet: bool = False, in_bytes: bool = False
) -> tqdm:
    """Return a tqdm bar: a context manager with `update(n)`.

    Args:
        what: the text before the bar.
        unit: name of one counted thing.
        total: final count; None if unknown.
        quiet: do not show the bar.
        in_bytes: the counts are bytes, shown as kB and MB.
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
