"""Numbers claimed in papers. They are shown next to the measured ones, never mixed with them: they were not reproduced.

The file is a JSON list of {"method", "dataset", "value", "source"}, optionally with "metric", "task", "split", "note".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError
from deocc_bench.core.json_files import read_json
from deocc_bench.leaderboard.records import Group
from deocc_bench.leaderboard.text import clean

_TEXT = ("method", "dataset", "source")
_OPTIONAL = ("metric", "task", "split", "note")
_CURE = 'give a JSON list of {"method", "dataset", "metric", "value", "source"}'


@dataclass(frozen=True)
class Claim:
    """One number of a paper. `dataset` is a name or fingerprint; the optional fields are None if not stated."""

    method: str
    dataset: str
    value: float
    source: str
    metric: str | None = None
    task: str | None = None
    split: str | None = None
    note: str | None = None

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
    if not isinstance(content, list):
        raise InputError(path, "not a list of claims", _CURE)
    return [_claim(path, number, entry) for number, entry in enumerate(content)]


def sort_claims(claims: Iterable[Claim], groups: Sequence[Group]) -> tuple[list[list[Claim]], list[Claim]]:
    """Split claims into those of each group and those for datasets without a run."""
    rest = list(claims)
    of_group = [[c for c in rest if c.belongs(g)] for g in groups]
    used = [c for part in of_group for c in part]
    return of_group, [c for c in rest if c not in used]


def _claim(path: str | Path, number: int, entry: Any) -> Claim:
    if not isinstance(entry, dict):
        raise InputError(path, f"entry {number} is not an object", _CURE)
    for key in _TEXT:
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            raise InputError(path, f"entry {number} has no {key!r}", _CURE)
    for key in _OPTIONAL:
        if not isinstance(entry.get(key), str | None):
            raise InputError(path, f"entry {number}: {key!r} is not a text", _CURE)
    value = entry.get("value")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(path, f"entry {number}: 'value' must be a number", _CURE)
    text = {k: clean(entry[k]) for k in (*_TEXT, *_OPTIONAL) if entry.get(k)}
    return Claim(value=float(value), **text)
