"""Columns for speed and size, from `deocc-bench latency --out FILE` or from the runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deocc_bench.core.json_files import checked, read_json
from deocc_bench.core.record_schema import LatencyReport
from deocc_bench.core.record_schema import Speed as Entry
from deocc_bench.core.results import SINGLE, RunResult
from deocc_bench.leaderboard.records import Run
from deocc_bench.leaderboard.text import clean

Number = float | int | None


@dataclass(frozen=True, kw_only=True)
class SpeedColumn:
    """One column; to add a column, add a row to `SPEED`.

    Args:
        heading, unit, higher_is_better, meaning: as tables print them.
        of_report: reads the number from a method's entry in a latency report; None: no report has it.
        of_run: reads the number from a run's record if no report has it; None: no record has it.
        every_row: whether the mean and the vote of a random method also have it.
        whole: whether it is printed without decimals.
        speed: whether it measures time; otherwise it is a size, such as memory or the number of weights.
        by_default: whether tables show it, in the order of the rows, at most `DEFAULT_COUNT` columns.
        time_axis: whether the plot of quality against time may use it; the first available one is used.
        of_machine: whether it depends on the machine of the run.
    """

    heading: str
    unit: str
    meaning: str
    higher_is_better: bool = False
    of_report: Callable[[Entry], Number] | None = None
    of_run: Callable[[RunResult], Number] | None = None
    every_row: bool = False
    whole: bool = False
    speed: bool = True
    by_default: bool = False
    time_axis: bool = False
    of_machine: bool = False

    @property
    def missing(self) -> str:
        """The footnote for a run without it."""
        return "not measured" if self.speed else "not in the run or in a latency report"


def _throughput(entry: Entry) -> Number:
    rates = entry.throughput or {}
    return rates[max(rates, key=int)] if rates else None


def _memory(entry: Entry) -> Number:
    return None if entry.peak_memory_bytes is None else entry.peak_memory_bytes / 2**20


def _run_time(record: RunResult) -> Number:
    seconds = (record.timing.get("seconds_per_sample") or {}).get("compute")
    return 1000 * seconds if isinstance(seconds, int | float) and seconds > 0 else None


DEFAULT_COUNT = 2
SPEED: Mapping[str, SpeedColumn] = {
    "latency_p50_ms": SpeedColumn(
        heading="latency p50",
        unit="ms",
        meaning="median time per sample at batch 1, measured by the latency protocol",
        of_report=lambda entry: entry.end_to_end.p50_ms,
        by_default=True,
        time_axis=True,
    ),
    "latency_p90_ms": SpeedColumn(
        heading="latency p90",
        unit="ms",
        meaning="90th percentile of the time per sample at batch 1, measured by the latency protocol",
        of_report=lambda entry: entry.end_to_end.p90_ms,
    ),
    "latency_ratio": SpeedColumn(
        heading="time ratio",
        unit="x",
        meaning="median of the run-by-run time ratios to the reference method",
        of_report=lambda entry: entry.ratio.median if entry.ratio else None,
        by_default=True,
    ),
    "throughput_per_s": SpeedColumn(
        heading="throughput",
        unit="1/s",
        meaning="samples per second at the largest measured batch size",
        higher_is_better=True,
        of_report=_throughput,
    ),
    "parameters": SpeedColumn(
        heading="parameters",
        unit="count",
        meaning="number of learned parameters",
        of_report=lambda entry: entry.parameters,
        of_run=lambda record: record.method.get("parameters"),
        whole=True,
        speed=False,
    ),
    "flops": SpeedColumn(
        heading="FLOPs",
        unit="count",
        meaning="floating-point operations per sample",
        of_report=lambda entry: entry.flops,
        whole=True,
        speed=False,
    ),
    "peak_memory_mib": SpeedColumn(
        heading="peak memory",
        unit="MiB",
        meaning="memory used to create and run the method",
        of_report=_memory,
        speed=False,
    ),
    "run_ms_per_sample": SpeedColumn(
        heading="run time",
        unit="ms",
        meaning="compute time per sample in the evaluation run, with its batch size and machine, without a protocol",
        of_run=_run_time,
        every_row=True,
        by_default=True,
        time_axis=True,
        of_machine=True,
    ),
}


@dataclass(frozen=True)
class Speed:
    """The numbers of latency reports by method name, with notes about the measurements."""

    by_method: Mapping[str, Mapping[str, Number]]
    notes: tuple[str, ...] = ()

    def value(self, run: Run, name: str) -> float | None:
        """The number in a column for a run; None if it was not measured."""
        column = SPEED[name]
        if run.record.row != SINGLE and not column.every_row:
            return None
        found = self.by_method.get(clean(run.record.method["name"]), {}).get(name)
        if found is None and column.of_run is not None:
            found = column.of_run(run.record)
        return float(found) if isinstance(found, int | float) else None


def read_speed(paths: Iterable[str | Path]) -> Speed:
    """Read latency reports; for each method, the first report with that method is used.

    Raises:
        InputError: a file is not a report of `deocc-bench latency`.
    """
    found: dict[str, Mapping[str, Number]] = {}
    notes = []
    for path in paths:
        cure = "write a latency report with `deocc-bench latency METHOD... --out FILE`"
        report = checked(read_json(path), LatencyReport, path, cure)
        for entry in report.methods:
            figures = {name: c.of_report(entry) for name, c in SPEED.items() if c.of_report is not None}
            found.setdefault(clean(entry.name), figures)
        size = " x ".join(map(str, report.protocol.size))
        text = f"latency: batch 1, {size}, {clean(report.device)}, relative to {clean(report.reference)}"
        notes.append("; ".join([text, *map(clean, report.protocol.deviations or ())]))
    if len(notes) > 1:
        notes.append("latencies come from several reports; times from different machines can't be compared")
    return Speed(found, tuple(notes))
