"""Mutations of JSON for fuzz tests: values of other types, missing and doubled parts, cut text."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**31, 2**63, 10**400, float("nan"), float("inf"), 1e30, 0.5, "", "a", "1", "a\0b", "\ud800x"),
    *("é" * 300, "../../x", "/etc/passwd", "<script>", [], [1], [[]], {}, {"a": 1}, [None]),
    *({"size": [4, 4], "counts": "o"}, {"size": [4, 4], "counts": [16]}, [[1, 1, 5, 5, 9, 1]]),
)


@st.composite
def mutated(draw: st.DrawFn, value: Any) -> str:
    """The JSON text of a copy of `value` with one to three changes."""
    changed = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        places = _places(changed)
        if not places:
            break
        owner, key = places[draw(st.integers(0, len(places) - 1))]
        how = draw(st.sampled_from(["set", "set", "set", "delete", "double"]))
        if how == "delete":
            del owner[key]
        elif how == "double" and isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
        else:
            owner[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))
    text = json.dumps(changed)
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 30)) == 0 else text


def _places(value: Any) -> list[tuple[Any, Any]]:
    """All (owner, key or index) in a value; of long lists the first four entries."""
    keys = list(value) if isinstance(value, dict) else range(min(4, len(value))) if isinstance(value, list) else ()
    return [place for key in keys for place in ((value, key), *_places(value[key]))]
