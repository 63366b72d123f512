"""The ablation: which switches of the networks are trained one by one, and the table of what they score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown

UNET = "unet"
# Row -> network settings that differ from the preset; the plain U-Net is a network of its own.
MASK_ROWS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "frame-templates": {"align_templates": False},
    "no-templates": {"templates": False},
    "no-branches": {"branches": False},
    "no-refinement": {"refinement": False},
    UNET: {},
}
CONTENT_ROWS: Mapping[str, Mapping[str, Any]] = {
    "full": {},
    "body-attention-only": {"pga": "body"},
    "mutual-attention-only": {"pga": "mutual"},
    "no-attention": {"pga": "none"},
}


def rows_of(stage: str, chosen: Sequence[str] = ()) -> dict[str, Mapping[str, Any]]:
    """The rows of a stage, or the chosen ones in the order given.

    Raises:
        UsageError: no such row.
    """
    rows = MASK_ROWS if stage == "mask" else CONTENT_ROWS
    for name in chosen:
        if name not in rows:
            raise UsageError(unknown(f"row of the {stage} ablation", name, rows))
    return {name: rows[name] for name in chosen} if chosen else dict(rows)


def to_markdown(results: Sequence[Mapping[str, Any]]) -> str:
    """Results (one dict a row, "row" first) as a markdown table; the difference to the first row beside each metric."""
    columns = list(dict.fromkeys(k for r in results for k in r))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    base = results[0]
    for result in results:
        cells = []
        for name in columns:
            value = result.get(name)
            if not isinstance(value, float):
                cells.append("" if value is None else str(value))
            elif result is base or not isinstance(base.get(name), float) or name == "minutes":
                cells.append(f"{value:.4f}" if name != "minutes" else f"{value:.1f}")
            else:
                cells.append(f"{value:.4f} ({value - base[name]:+.4f})")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
