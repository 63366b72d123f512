"""The data of the report's script: plain JSON from the same tables as the other formats."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from deocc_bench.leaderboard.samples import SampleValues, Section
from deocc_bench.leaderboard.table import Column, Row, Table
from deocc_bench.leaderboard.text import clean, shown
from deocc_bench.metrics.definition import MetricSpec

KINDS = {
    "occlusion_ratio": "occlusion ratio",
    "occluder_category": "occluder",
    "body_part": "hidden body part",
    "occluders": "number of occluders",
    "cut_by_frame": "person cut by the frame",
}
_CHARTED = 8


def embed_json(value: Any) -> str:
    """JSON that is safe inside a `<script>`: ASCII, and without `<`, `>` and `&`."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def group_payload(section: Section, number: int, pictures: Mapping[str, Any]) -> dict[str, Any]:
    """One table's data; rows and columns in the table's order."""
    table, values = section.table, section.values
    content = section.of_region.get("content") if table.group.task == "joint" else None
    return {
        "id": number,
        "task": table.group.task,
        "sort": table.sort,
        "columns": [_column(c) for c in table.columns],
        "rows": [_row(r, table) for r in table.rows],
        "breakdowns": _breakdowns(table),
        "pairs": {name: _pairs(p) for name, p in table.pairs.items()},
        "samples": None if values is None else _samples(values, content),
        "pictures": pictures,
    }


def _column(c: Column) -> dict[str, Any]:
    return {
        "id": c.id,
        "heading": c.heading,
        "unit": "" if c.unit in ("ratio", "count") else c.unit,
        "up": c.higher_is_better,
        "decimals": c.decimals,
        "speed": c.speed,
        "time": c.time,
    }


def _row(row: Row, table: Table) -> dict[str, Any]:
    cells = [row.cells[c.id] for c in table.columns]
    return {
        "name": shown(row.name, 40),
        "full": clean(row.name),
        "rank": row.rank,
        "ranked": row.ranked,
        "flagged": row.flagged,
        "values": [_short(c.value) for c in cells],
        "ci": [None if c.ci95 is None else [_short(v) for v in c.ci95] for c in cells],
    }


def _breakdowns(table: Table) -> list[dict[str, Any]]:
    metrics = [c.id for c in table.columns if not c.speed][:_CHARTED]
    found = []
    for kind, title in KINDS.items():
        bins = _bins(table, kind)
        charts = {m: lines for m in metrics if (lines := _lines(table, kind, bins, m)) is not None}
        if charts:
            counts = [_count(table, kind, b) for b in bins]
            names = [shown(b, 24) for b in bins]
            found.append({"kind": kind, "title": title, "bins": names, "n": counts, "metrics": charts})
    return [*found, *_parts(table)]


def _bins(table: Table, kind: str) -> list[str]:
    names: dict[str, None] = {}
    for row in table.rows:
        names |= dict.fromkeys(row.run.record.breakdowns.get(kind, {}))
    return sorted(names) if kind == "occlusion_ratio" else list(names)


def _lines(table: Table, kind: str, bins: Sequence[str], metric: str) -> list[Any] | None:
    lines = []
    for row in table.rows:
        parts = row.run.record.breakdowns.get(kind, {})
        lines.append([_point(parts.get(b, {}).get(metric)) for b in bins])
    return lines if any(p for line in lines for p in line) else None


def _count(table: Table, kind: str, name: str) -> int:
    sizes = (
        m.get("n") or 0
        for row in table.rows
        for m in list(row.run.record.breakdowns.get(kind, {}).get(name, {}).values())[:1]
    )
    return max(sizes, default=0)


def _parts(table: Table) -> list[dict[str, Any]]:
    """One chart for each family of metrics by body part."""
    families: dict[tuple[str, str], list[MetricSpec]] = {}
    for spec in (c.spec for c in table.every if c.spec is not None and c.spec.each_part):
        families.setdefault((spec.family, spec.each_part), []).append(spec)
    found = []
    for (family, title), specs in families.items():
        metrics = [row.run.record.metrics for row in table.rows]
        used = [s for s in specs if any(_point(m.get(s.id)) for m in metrics)]
        if used:
            counts = [max((m.get(s.id, {}).get("n_defined") or 0) for m in metrics) for s in used]
            lines = [[_point(m.get(s.id)) for s in used] for m in metrics]
            names = [clean(s.member) for s in used]
            found.append({"kind": family, "title": title, "bins": names, "n": counts, "metrics": {family: lines}})
    return found


def _point(metric: Mapping[str, Any] | None) -> list[float | None] | None:
    if metric is None or metric.get("value") is None:
        return None
    low, high = metric.get("ci95") or (None, None)
    return [_short(metric["value"]), _short(low), _short(high)]


def _pairs(pairs: Any) -> dict[str, Any]:
    upper = np.triu_indices(len(pairs.difference), 1)
    return {
        "clusters": pairs.clusters,
        **{k: _list(getattr(pairs, n)[upper]) for k, n in (("d", "difference"), ("lo", "low"), ("hi", "high"))},
        "p": [None if math.isnan(v) else float(f"{v:.3g}") for v in pairs.p[upper]],
    }


def _samples(values: SampleValues, content: SampleValues | None) -> dict[str, Any]:
    of_content = None
    if content is not None and content.ids == values.ids:
        of_content = {"metric": _column(content.column), "values": [_list(row) for row in content.values]}
    return {
        "content": of_content,
        "metric": {**_column(values.column)},
        "ids": [shown(i, 80) for i in values.ids],
        "values": [_list(row) for row in values.values],
        "ratio": [None if math.isnan(v) else round(float(v), 4) for v in values.ratio],
        "occluders": [shown(o, 80) if o else "" for o in values.occluders],
    }


def _list(values: Iterable[float]) -> list[float | None]:
    return [_short(float(v)) for v in values]


def _short(value: float | None) -> float | None:
    """Round to four significant digits: enough for a chart, in a third of the bytes."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")
