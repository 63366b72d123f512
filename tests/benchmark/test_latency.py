"""The latency protocol on a clock that the test moves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from deocc_bench.benchmark import benchmark_commands, latency, tables, timed_method
from deocc_bench.benchmark.latency import CpuTimer, Effort
from deocc_bench.benchmark.timed_method import TimedMethod
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.types import Batch, MaskOutput
from deocc_bench.methods.loading import Method, load_method


class FakeClock:
    """Seconds that pass only when a method says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Timed:
    """Takes `seconds` for each function, and a quarter and three quarters of them in its stages."""

    def __init__(self, clock: FakeClock, seconds: list[float], log: list[str], name: str = "timed") -> None:
        self.clock, self.seconds, self.log, self.name, self.calls = clock, seconds, log, name, 0

    def _pass(self, share: float = 1.0) -> None:
        self.clock.now += share * self.seconds[self.calls % len(self.seconds)]

    def complete(self, batch: Batch) -> MaskOutput:
        self.log.append(self.name)
        assert batch.modal is None
        assert batch.amodal is None
        assert batch.parsing is None
        self._pass()
        return MaskOutput(batch.initial.copy())

    def recover(self, batch: Batch) -> np.ndarray:
        self._pass(2.0)
        self.calls += 1
        return batch.images

    def latency_stages(self, batch: Batch) -> list[tuple[str, Any]]:
        return [("pre", lambda b: self._pass(0.25)), ("net", lambda b: self._pass(2.75))]


def bench(*seconds: list[float], effort: Effort, throughput: bool = False) -> tuple[dict[str, Any], list[str]]:
    clock, log = FakeClock(), list[str]()
    methods = [(Method(f"m{i}", f"m{i}", "", Timed(clock, s, log, f"m{i}")), None) for i, s in enumerate(seconds)]
    report = latency.measure_methods(
        methods, effort=effort, size=(32, 24), throughput=throughput, timer=CpuTimer(clock), clock=clock
    )
    return report, log


def test_stages_add_up_and_figures_are_right() -> None:
    report, _ = bench([0.010, 0.014], effort=Effort(20, 0.0, 0, 0.0))
    row, null = report["methods"]
    assert [s["name"] for s in row["stages"]] == ["complete", "hand-over", "recover"]
    assert sum(s["mean_ms"] for s in row["stages"]) == pytest.approx(row["end_to_end"]["mean_ms"], rel=1e-12)
    assert sum(s["share"] for s in row["stages"]) == pytest.approx(1.0)
    total = row["end_to_end"]
    assert total["mean_ms"] == pytest.approx(36.0)
    assert total["p50_ms"] == pytest.approx(36.0)
    assert (total["min_ms"], total["p90_ms"]) == (pytest.approx(30.0), pytest.approx(42.0))
    assert total["sd_ms"] == pytest.approx(np.std([30, 42] * 10, ddof=1))
    sub = row["sub_stages"]
    assert [s["name"] for s in sub["stages"]] == ["pre", "net"]
    assert sum(s["mean_ms"] for s in sub["stages"]) == pytest.approx(sub["end_to_end"]["mean_ms"], rel=1e-12)
    assert null["name"] == "null"
    assert null["end_to_end"]["mean_ms"] == 0.0
    assert row["flops"] is None
    assert "hand-over" in tables.format_latency(report)


def test_runs_and_seconds_are_both_reached() -> None:
    few = bench([0.010], effort=Effort(runs=3, seconds=1.0, warmup_runs=0, warmup_seconds=0.0))[0]
    assert few["methods"][0]["end_to_end"]["runs"] == 34
    many = bench([0.010], effort=Effort(runs=50, seconds=0.1, warmup_runs=0, warmup_seconds=0.0))[0]
    assert many["methods"][0]["end_to_end"]["runs"] == 50


def test_warm_up_reaches_runs_and_seconds() -> None:
    clock, log = FakeClock(), list[str]()
    method = Method("m", "m", "", Timed(clock, [0.01], log))
    timed = TimedMethod(
        "m", timed_method.top_stages(method), timed_method.first_inputs(method, timed_method.synthetic_batch(1, 32, 32))
    )
    latency.measure([timed], CpuTimer(clock), Effort(1, 0.0, 10, 0.0), clock)
    assert (len(log), len(timed.runs)) == (11, 1)
    log.clear()
    timed.runs.clear()
    latency.measure([timed], CpuTimer(clock), Effort(1, 0.0, 1, 0.3), clock)
    assert len(log) == 11


def test_methods_take_turns_and_ratios_are_of_neighbours() -> None:
    # Both slow down by ten times half way: each figure doubles or more, the ratio of neighbours stays.
    slow = [0.01] * 10 + [0.1] * 10
    report, log = bench(slow, [2 * s for s in slow], effort=Effort(20, 0.0, 0, 0.0))
    assert log[:6] == ["m0", "m1"] * 3
    first, second, _ = report["methods"]
    assert first["ratio"]["median"] == pytest.approx(1.0)
    assert second["ratio"] == pytest.approx({"median": 2.0, "q25": 2.0, "q75": 2.0})


def test_a_slow_method_does_not_wait_for_a_fast_one() -> None:
    report, log = bench([0.1], [0.001], effort=Effort(runs=5, seconds=0.9, warmup_runs=0, warmup_seconds=0.0))
    slow, fast, null = report["methods"]
    assert slow["end_to_end"]["runs"] == 5
    assert 300 <= fast["end_to_end"]["runs"] <= 301
    assert fast["ratio"]["median"] == pytest.approx(0.01)
    assert null["end_to_end"]["runs"] == fast["end_to_end"]["runs"]
    assert log[:10] == ["m0", "m1"] * 5


@pytest.mark.parametrize(("seconds", "noisy"), [([0.010, 0.0105], False), ([0.010, 0.012], True)])
def test_wide_spread_is_flagged(seconds: list[float], noisy: bool) -> None:
    report, _ = bench(seconds, effort=Effort(20, 0.0, 0, 0.0))
    assert report["methods"][0]["end_to_end"]["noisy"] is noisy
    assert ("noisy: IQR/median" in tables.format_latency(report)) is noisy


def test_less_than_the_protocol_is_said() -> None:
    assert Effort().deviations == []
    assert len(Effort(runs=10, warmup_runs=2).deviations) == 2
    report, _ = bench([0.01], effort=Effort(10, 0.0, 2, 0.0))
    assert "deviation from the protocol: measured at least 10 runs" in tables.format_latency(report)


def test_throughput() -> None:
    report, _ = bench([0.010], effort=Effort(10, 0.0, 0, 0.0), throughput=True)
    assert report["methods"][0]["throughput"] == {
        "1": pytest.approx(1 / 0.03),
        "8": pytest.approx(8 / 0.03),
        "32": pytest.approx(32 / 0.03),
    }


@pytest.mark.slow
def test_flops_parameters_and_memory_of_a_torch_method() -> None:
    torch = pytest.importorskip("torch")

    class Net:
        name = "net"

        def __init__(self) -> None:
            self.net = torch.nn.Conv2d(1, 4, 3, padding=1, bias=False)

        def complete(self, batch: Batch) -> np.ndarray:
            with torch.no_grad():
                out = self.net(torch.from_numpy(batch.initial[:, None].astype(np.float32)))
            return np.asarray((out[:, 0] > 0).numpy())

    method, memory = latency.first_run(lambda: Method("net", "net", "", Net()), "cpu", (32, 32))
    assert memory is None or memory >= 0
    report = latency.measure_methods([(method, memory)], effort=Effort(2, 0, 0, 0), size=(32, 32), throughput=False)
    row = report["methods"][0]
    assert row["parameters"] == 36
    assert row["flops"] == 2 * 36 * 32 * 32
    assert report["threads"]["torch"] == torch.get_num_threads()


def test_a_method_that_fails_is_named(methods_file: Path) -> None:
    with pytest.raises(DeoccError, match="method 'learner' failed: AttributeError"):
        latency.first_run(lambda: load_method(f"{methods_file}:Learner"), "cpu", (32, 32))


def test_command(methods_file: Path, tmp_path: Path) -> None:
    arguments = [f"{methods_file}:Grow", f"{methods_file}:Full", "--runs", "5", "--seconds", "0", "--size", "32"]
    arguments += ["--device", "cpu", "--out", str(tmp_path / "l.json"), "--no-throughput"]
    result = CliRunner().invoke(benchmark_commands.latency, arguments)
    assert result.exit_code == 0, result.output
    assert [line.split()[0] for line in result.stdout.splitlines()[1:4]] == ["grow", "full", "complete"]
    assert (tmp_path / "l.json").read_text().startswith("{")
    refused = CliRunner().invoke(benchmark_commands.latency, [f"{methods_file}:Learner"])
    assert isinstance(refused.exception, UsageError)
