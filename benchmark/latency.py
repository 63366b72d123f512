"""The speed table: the latency of methods for one sample, by stage and relative to each other.

Protocol: batch 1; warm-up of at least 10 runs and 1 s; at least 300 runs and 3 s; the device is synchronised before and
after each run (CUDA events on a GPU); the methods alternate run by run (A B A B), so that a slow phase of the machine
affects all of them equally. Consecutive stages of a run share their time marks, so the stages add up to the run, and
their means to the reported mean.

A method may declare its stages: `latency_stages(batch)` returns (name, function) pairs. The first function takes the
batch, each next one the previous result; together they do the work of `complete` and `recover`. Copies, pre-processing
and post-processing are ordinary stages, named `host-to-device`, `device-to-host`, `pre` and `post`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deocc_bench.benchmark.machine import clocks_note, device_name, reset_peak_rss, resident, threads
from deocc_bench.benchmark.timed_method import (
    NULL_METHOD,
    NullMethod,
    TimedMethod,
    Timer,
    first_inputs,
    synthetic_batch,
    top_stages,
)
from deocc_bench.core.errors import DeoccError, describe_error
from deocc_bench.core.provenance import environment
from deocc_bench.core.types import Batch
from deocc_bench.methods.answers import check_content, check_masks
from deocc_bench.methods.devices import on_gpu
from deocc_bench.methods.method import Method

NOISY_IQR = 0.10
THROUGHPUT_BATCHES = (1, 8, 32)
PROTOCOL_RUNS, PROTOCOL_SECONDS = 300, 3.0
WARMUP_RUNS, WARMUP_SECONDS = 10, 1.0


class CpuTimer:
    """The performance counter."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock

    def mark(self) -> float:
        return self._clock()

    def sync(self) -> None:
        pass

    def seconds(self, first: float, second: float) -> float:
        return second - first


class CudaTimer:
    """CUDA events on the current stream of a GPU."""

    def __init__(self, device: str = "cuda") -> None:
        import torch

        self._cuda, self._device = torch.cuda, torch.device(device)

    def mark(self) -> Any:
        event = self._cuda.Event(enable_timing=True)
        event.record(self._cuda.current_stream(self._device))
        return event

    def sync(self) -> None:
        self._cuda.synchronize(self._device)

    def seconds(self, first: Any, second: Any) -> float:
        return float(first.elapsed_time(second)) / 1000.0


@dataclass(frozen=True)
class Effort:
    """How long to measure; the report lists deviations from the protocol."""

    runs: int = PROTOCOL_RUNS
    seconds: float = PROTOCOL_SECONDS
    warmup_runs: int = WARMUP_RUNS
    warmup_seconds: float = WARMUP_SECONDS

    @property
    def deviations(self) -> list[str]:
        """Descriptions of the settings that fall short of the protocol."""
        short = []
        if self.runs < PROTOCOL_RUNS or self.seconds < PROTOCOL_SECONDS:
            short.append(
                f"measured at least {self.runs} runs and {self.seconds:g} s, "
                f"the protocol requires {PROTOCOL_RUNS} and {PROTOCOL_SECONDS:g} s"
            )
        if self.warmup_runs < WARMUP_RUNS or self.warmup_seconds < WARMUP_SECONDS:
            short.append(
                f"warm-up of at least {self.warmup_runs} runs and {self.warmup_seconds:g} s, "
                f"the protocol requires {WARMUP_RUNS} and {WARMUP_SECONDS:g} s"
            )
        return short


def measure(methods: Sequence[TimedMethod], timer: Timer, effort: Effort, clock: Callable[[], float]) -> None:
    """Warm up each method, then alternate them until each has enough runs and seconds; fills their `runs`."""
    for method in methods:
        start, count = clock(), 0
        while count < effort.warmup_runs or clock() - start < effort.warmup_seconds:
            method.once(timer)
            count += 1
    spent = [0.0] * len(methods)
    # A method with enough runs and seconds stops; otherwise a slow method would be run as often as a fast one needs.
    # The null method continues as long as any other method runs.
    while unfinished := [
        i
        for i, (m, seconds) in enumerate(zip(methods, spent, strict=True))
        if (len(m.runs) < effort.runs or seconds < effort.seconds) and (m.name != NULL_METHOD or len(methods) == 1)
    ]:
        null = [i for i, m in enumerate(methods) if m.name == NULL_METHOD and i not in unfinished]
        for i in (*unfinished, *null):
            taken = methods[i].once(timer)
            methods[i].runs.append(taken)
            spent[i] += sum(taken)


def statistics(seconds: np.ndarray) -> dict[str, Any]:
    """Statistics of run times (N,) in ms: p50, p90, p99, mean, sd, min, iqr_over_median, noisy, runs."""
    ms = np.asarray(seconds, dtype=np.float64) * 1000.0
    q25, p50, q75, p90, p99 = np.percentile(ms, [25, 50, 75, 90, 99])
    spread = float((q75 - q25) / p50) if p50 > 0 else None
    return {
        "p50_ms": float(p50),
        "p90_ms": float(p90),
        "p99_ms": float(p99),
        "mean_ms": float(ms.mean()),
        "sd_ms": float(ms.std(ddof=1)) if len(ms) > 1 else None,
        "min_ms": float(ms.min()),
        "iqr_over_median": spread,
        "noisy": spread is not None and spread > NOISY_IQR,
        "runs": len(ms),
    }


def timing_report(method: TimedMethod) -> dict[str, Any]:
    """Statistics end to end and by stage. The means of the stages add up to the end-to-end mean; percentiles do not."""
    runs = np.array(method.runs)
    stages = [{"name": n, **statistics(runs[:, i])} for i, (n, _) in enumerate(method.stages)]
    total = statistics(runs.sum(axis=1))
    for stage in stages:
        stage["share"] = stage["mean_ms"] / total["mean_ms"] if total["mean_ms"] else None
    return {"end_to_end": total, "stages": stages}


def ratio(method: TimedMethod, reference: TimedMethod) -> dict[str, float] | None:
    """Median and quartiles of the ratio of each run to the reference method's run in the same turn."""
    n = min(len(method.runs), len(reference.runs))
    ours = np.array(method.runs[:n]).sum(axis=1)
    theirs = np.array(reference.runs[:n]).sum(axis=1)
    if not n or not (theirs > 0).all():
        return None
    low, middle, high = np.percentile(ours / theirs, [25, 50, 75])
    return {"median": float(middle), "q25": float(low), "q75": float(high)}


def measure_methods(
    methods: Sequence[tuple[Method, int | None]],
    device: str = "cpu",
    effort: Effort | None = None,
    size: tuple[int, int] = (256, 256),
    *,
    throughput: bool = True,
    timer: Timer | None = None,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[str], object] = lambda text: None,
) -> dict[str, Any]:
    """Measure the speed table of methods; the first is the reference of the ratios.

    Args:
        methods: each with its peak memory in bytes, both from `first_run`.
        device: "cpu", "cuda" or "cuda:N".
        effort: how long to measure.
        size: (height, width) of the sample.

    Returns:
        `protocol`, `device`, `environment`, `clocks`, and `methods`: a list of name, `end_to_end`, `stages`,
        `sub_stages`, `ratio`, `throughput`, `parameters`, `flops`, `peak_memory_bytes`. The last entry is the null
        method, which measures the harness itself.
    """
    effort = effort or Effort()
    timer = timer or (CudaTimer(device) if on_gpu(device) else CpuTimer())
    full = synthetic_batch(1, *size)
    null = Method(NULL_METHOD, NULL_METHOD, "", NullMethod())
    rows = [*methods, (null, None)]
    timed = [TimedMethod(m.name, top_stages(m), first_inputs(m, full)) for m, _ in rows]
    progress("measuring end to end, alternating: " + ", ".join(t.name for t in timed))
    measure(timed, timer, effort, clock)
    report = []
    for (method, memory), own in zip(rows, timed, strict=True):
        row: dict[str, Any] = {"name": method.name, **timing_report(own)}
        row["ratio"] = ratio(own, timed[0])
        if method is not null:
            progress(f"measuring the stages of {method.name}")
            row["sub_stages"] = _sub_stages(method, own.batch, timer, effort, clock)
            row["throughput"] = _throughput(method, size, timer, effort, clock) if throughput else None
            row |= {
                "parameters": method.parameters,
                "flops": flops(own, method),
                "peak_memory_bytes": memory,
                "precision": method.precision,
                "options": dict(method.options),
            }
        report.append(row)
    return {
        "protocol": {
            "batch": 1,
            "size": list(size),
            "runs_at_least": effort.runs,
            "seconds_at_least": effort.seconds,
            "warmup_runs": effort.warmup_runs,
            "warmup_seconds": effort.warmup_seconds,
            "order": "interleaved, run by run",
            "deviations": effort.deviations,
        },
        "device": device_name(device),
        "threads": threads(),
        "clocks": clocks_note(device),
        "environment": environment(),
        "reference": timed[0].name,
        "methods": report,
    }


def first_run(make: Callable[[], Method], device: str, size: tuple[int, int] = (256, 256)) -> tuple[Method, int | None]:
    """Create a method, run it once and check its output.

    Returns:
        The method, and the peak memory in bytes of its creation and first run: on a GPU the memory allocated by torch,
        on a CPU the growth of the resident set (a lower bound, because freed memory may be reused); None if unknown.
    """
    batch = synthetic_batch(1, *size)
    torch = sys.modules.get("torch")
    if on_gpu(device) and torch is not None:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    before = reset_peak_rss()
    method = make()
    _checked_run(method, first_inputs(method, batch))
    if on_gpu(device):
        torch = sys.modules.get("torch")
        return method, None if torch is None else int(torch.cuda.max_memory_allocated(device))
    peak = resident("VmHWM")
    return method, None if before is None or peak is None else max(0, peak - before)


def flops(timed: TimedMethod, method: Method) -> int | None:
    """Floating-point operations of one run by `torch.utils.flop_counter`; None for methods outside torch.

    A method with operations that the counter does not support may provide `countable()`, a context in which it uses
    supported ones.
    """
    if "torch" not in sys.modules:
        return None
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    with method.countable(), counter:
        value = timed.batch
        for _, function in timed.stages:
            value = function(value)
    return int(counter.get_total_flops()) or None


def _checked_run(method: Method, batch: Batch) -> None:
    value: Any = batch
    try:
        for name, function in top_stages(method):
            value = function(value)
            if name == "complete":
                check_masks(value[1] if isinstance(value, tuple) else value, batch)
            elif name == "recover":
                check_content(value, batch)
    except DeoccError as error:
        raise DeoccError(f"method {method.name!r}: {error}") from error
    except Exception as error:
        raise DeoccError(f"method {method.name!r} failed: {describe_error(error)}") from error


def _sub_stages(
    method: Method, batch: Batch, timer: Timer, effort: Effort, clock: Callable[[], float]
) -> dict[str, Any] | None:
    stages = method.latency_stages(batch)
    if stages is None:
        return None
    timed = TimedMethod(method.name, stages, batch)
    measure([timed], timer, effort, clock)
    return timing_report(timed)


def _throughput(
    method: Method, size: tuple[int, int], timer: Timer, effort: Effort, clock: Callable[[], float]
) -> dict[str, float | None]:
    # A tenth of the protocol is enough: a throughput is a mean over a whole batch, and three batch sizes are measured.
    short = Effort(max(3, effort.runs // 30), effort.seconds / 10, 1, 0.0)
    found: dict[str, float | None] = {}
    for n in THROUGHPUT_BATCHES:
        timed = TimedMethod(method.name, top_stages(method), first_inputs(method, synthetic_batch(n, *size)))
        measure([timed], timer, short, clock)
        total = float(np.array(timed.runs).sum())
        found[str(n)] = n * len(timed.runs) / total if total > 0 else None
    return found
