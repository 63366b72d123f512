"""Result records become tables: CSV, markdown, LaTeX, an HTML report and figures.

`deocc_bench.leaderboard` is this room and, for Python, the function `deocc_bench.leaderboard.front.leaderboard`: the
module can be called, so that the name means the same before and after the room is imported.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd


class _Room(ModuleType):
    def __call__(self, *arguments: Any, **options: Any) -> pd.DataFrame:
        from deocc_bench.leaderboard.front import leaderboard

        return leaderboard(*arguments, **options)


sys.modules[__name__].__class__ = _Room
