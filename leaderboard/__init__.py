"""Turn result records into tables: CSV, markdown, LaTeX, an HTML report and figures.

`deocc_bench.leaderboard` is both this package and the function `deocc_bench.leaderboard.front.leaderboard`: the module
is callable, so that the name behaves the same before and after the package is imported.
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
