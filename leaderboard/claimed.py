"""Numbers claimed in papers. They are shown next to the measured ones, never mixed with them: they were not reproduced.

The file is a JSON list of {"method", "dataset", "value", "source"}, optionally with "metric", "task", "split", "note".
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError
from deocc_bench.core.json_files import checked, entries, read_json
from deocc_bench.core.record_schema import Text
from deocc_bench.leaderboard.records import Group
from deocc_bench.leaderboard.text import clean

_TEXT = ("method", "dataset", "source")
_OPTIONAL = ("metric", "task", "split", "note")
_CURE = 'give a JSON list of {"method", "dataset", "metric", "value", "source"}'


@dataclass(frozen=True)
class Claim:
    """One number of a paper. `dataset` is a name or fingerprint; the optional fields are None if not stated."""

    method: Text
    dataset: Text
    value: float
    source: Text
    metric: Text | None = None
    task: Text | None = None
    split: Text | None = None
    note: Text | None = None

    def belongs(self, group: Group) -> bool:
        """Whether it is about the dataset (and, if stated, the task and split) of a group."""
        data = group.dataset
        return (
            self.dataset in (clean(data["name"]), str(data["fingerprint"]))
            and self.task in (None, group.task)
            and self.split in (None, clean(data["split"]))
        )


def read_claims(path: str | Path) -> list[Claim]:
    """Read the claims of one file.

    Raises:
        InputError: the file is not such a list; the message names the wrong entry.
    """
    content = read_json(path)
    if isinstance(content, dict) and isinstance(content.get("claims"), list):
        content = content["claims"]
    return [_claim(where, entry) for where, entry in entries(content, path, _CURE)]


def sort_claims(claims: Iterable[Claim], groups: Sequence[Group]) -> tuple[list[list[Claim]], list[Claim]]:
    """Split claims into those of each group and those for datasets without a run."""
    rest = list(claims)
    of_group = [[c for c in rest if c.belongs(g)] for g in groups]
    used = [c for part in of_group for c in part]
    return of_group, [c for c in rest if c not in used]


def _claim(where: str, entry: Any) -> Claim:
    read = checked(entry, Claim, where, _CURE)
    missing = [k for k in _TEXT if not getattr(read, k).strip()]
    if missing:
        raise InputError(where, f"{missing[0]} is empty", _CURE)
    text: dict[str, Any] = {k: clean(v) if (v := getattr(read, k)) else None for k in (*_TEXT, *_OPTIONAL)}
    return replace(read, **text)
