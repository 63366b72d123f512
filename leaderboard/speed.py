"""Speed beside quality: what `deocc-bench latency --out FILE` measured, and what the runs themselves took."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError
from deocc_bench.core.files import read_json
from deocc_bench.leaderboard.records import Run
from deocc_bench.leaderboard.text import clean

RUN_TIME = "run_ms_per_sample"
LATENCY = "latency_p50_ms"


@dataclass(frozen=True)
class SpeedColumn:
    """A speed column: its unit, direction and meaning."""

    unit: str
    higher_is_better: bool
    heading: str
    meaning: str


SPEED: Mapping[str, SpeedColumn] = {
    LATENCY: SpeedColumn("ms", False, "latency p50", "median time of one sample at batch 1, by the latency protocol"),
    "latency_p90_ms": SpeedColumn("ms", False, "latency p90", "90th percentile of the same"),
    "latency_ratio": SpeedColumn("x", False, "time ratio", "median of run-by-run times over the reference method's"),
    "throughput_per_s": SpeedColumn("1/s", True, "throughput", "samples a second at the largest batch measured"),
    "parameters": SpeedColumn("count", False, "parameters", "learned numbers of the method"),
    "flops": SpeedColumn("count", False, "FLOPs", "floating-point operations of one sample"),
    "peak_memory_mib": SpeedColumn("MiB", False, "peak memory", "memory that making and running it took"),
    RUN_TIME: SpeedColumn(
        "ms", False, "run time", "compute time of the run itself per sample: its batches, its machine, no protocol"
    ),
}


@dataclass(frozen=True)
class Speed:
    """Speed figures by method name, and where they were measured."""

    by_method: Mapping[str, Mapping[str, float | None]]
    notes: tuple[str, ...] = ()

    def value(self, run: Run, column: str) -> float | None:
        """A figure of a run's method; None where it was not measured."""
        if column == RUN_TIME:
            seconds = (run.record.timing.get("seconds_per_sample") or {}).get("compute")
            return 1000 * seconds if isinstance(seconds, int | float) and seconds > 0 else None
        if run.record.method.get("row", "single") != "single":
            return None
        own = self.by_method.get(clean(run.record.method["name"]), {}).get(column)
        if own is None and column == "parameters":
            own = run.record.method.get("parameters")
        return float(own) if isinstance(own, int | float) else None


def read_speed(paths: Iterable[str | Path]) -> Speed:
    """Read latency reports; the first one that names a method counts.

    Raises:
        InputError: not a report of `deocc-bench latency`.
    """
    found: dict[str, Mapping[str, float | None]] = {}
    notes = []
    for path in paths:
        report = read_json(path)
        rows = report.get("methods") if isinstance(report, dict) else None
        if not isinstance(rows, list) or any("end_to_end" not in r or "name" not in r for r in rows):
            raise InputError(path, "no latency report", "write one with `deocc-bench latency METHOD... --out FILE`")
        for row in rows:
            found.setdefault(clean(row["name"]), _figures(row))
        size = " x ".join(map(str, report["protocol"]["size"]))
        text = f"latency: batch 1, {size}, {clean(report['device'])}, over {clean(report['reference'])}"
        notes.append("; ".join([text, *map(clean, report["protocol"].get("deviations") or ())]))
    if len(notes) > 1:
        notes.append("latencies come from several reports: times of different machines can't be compared")
    return Speed(found, tuple(notes))


def _figures(row: Mapping[str, Any]) -> dict[str, float | None]:
    rates = row.get("throughput") or {}
    memory = row.get("peak_memory_bytes")
    return {
        LATENCY: row["end_to_end"]["p50_ms"],
        "latency_p90_ms": row["end_to_end"]["p90_ms"],
        "latency_ratio": (row.get("ratio") or {}).get("median"),
        "throughput_per_s": rates[max(rates, key=int)] if rates else None,
        "parameters": row.get("parameters"),
        "flops": row.get("flops"),
        "peak_memory_mib": None if memory is None else memory / 2**20,
    }
