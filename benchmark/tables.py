"""Format results as text for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deocc_bench.benchmark.timed_method import NULL_METHOD
from deocc_bench.core.results import RunResult
from deocc_bench.metrics.spec import spec_of_record


def format_result(result: RunResult) -> str:
    """A record's metrics, one per line, without those of single body parts."""
    d = result.dataset
    lines = [f"{result.label}, task {result.task}, {d['name']} {d['split']} ({d['n']} samples)"]
    lines.append(f"{'metric':<30}{'value':>12}  {'95 % interval':<24}{'defined':>12}  better")
    reasons: dict[str, list[str]] = {}
    for name, m in result.metrics.items():
        if spec_of_record(name, m, result.task).each_part:
            continue
        if m["value"] is None:
            if m.get("reason"):
                reasons.setdefault(m["reason"], []).append(name)
            continue
        interval = "" if m["ci95"] is None else f"[{m['ci95'][0]:.4f}, {m['ci95'][1]:.4f}]"
        unit = "" if m["unit"] == "ratio" else f" {m['unit']}"
        direction = "higher" if m["higher_is_better"] else "lower"
        lines.append(f"{name:<30}{m['value']:>12.4f}  {interval:<24}{m['n_defined']:>6}/{m['n']:<5}  {direction}{unit}")
    lines += [f"not defined: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    lines.append(format_timing(result.timing))
    lines += [f"note: {text}" for text in result.notes]
    return "\n".join(lines)


def format_timing(timing: Mapping[str, Any]) -> str:
    """The time of each part, in one line."""
    parts = []
    for name, seconds in timing["seconds"].items():
        each = timing["seconds_per_sample"][name]
        rate = f", {1000 * each:.2f} ms/sample" if each is not None else ""
        parts.append(f"{name} {seconds:.2f} s ({100 * (timing['share'][name] or 0):.0f} %{rate})")
    return "time: " + "; ".join(parts)


def format_sweep(summary: Mapping[str, Any]) -> str:
    """The curve of a robustness sweep."""
    lines = [f"{'initial mask':<20}{'initial IoU':>12}{summary['metric']:>22}"]
    for point in summary["points"]:
        lines.append(f"{point['initial_mask']:<20}{_number(point['initial_iou']):>12}{_number(point['value']):>22}")
    lines.append(f"area {_number(summary['area'])}; {summary['definition']}")
    return "\n".join(lines)


def format_comparison(report: Mapping[str, Any]) -> str:
    """A comparison, one metric per line; `*` marks significant differences."""
    lines = [f"A = {report['first']}, B = {report['second']}, task {report['task']}, {report['n']} samples, paired"]
    lines.append(
        f"{'metric':<30}{'A':>10}{'B':>10}{'A - B':>10}  {'95 % interval':<22}{'p':>9}{'p (Holm)':>10}  better"
    )
    for name, row in report["metrics"].items():
        interval = "" if row["ci95"] is None else f"[{row['ci95'][0]:+.4f}, {row['ci95'][1]:+.4f}]"
        better = {"first": "A *", "second": "B *"}.get(row["better"], "")
        lines.append(
            f"{name:<30}{_number(row['first']):>10}{_number(row['second']):>10}{_number(row['difference'], '+'):>10}"
            f"  {interval:<22}{_number(row['p']):>9}{_number(row['p_holm']):>10}  {better}"
        )
    lines += [f"note: {text}" for text in report["notes"]]
    return "\n".join(lines)


def format_conventions(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of conventions."""
    lines = [f"{'convention':<13}{'metric':<32}{'value':>9}{'defined':>12}  {'pooling':<17}both empty"]
    for r in rows:
        count = f"{r['n_defined']}/{r['n']}"
        lines.append(
            f"{r['convention']:<13}{r['metric']:<32}{_number(r['value']):>9}{count:>12}"
            f"  {r['pooling']:<17}{r['both_empty']}"
        )
    return "\n".join(lines)


def format_methods(rows: Sequence[Mapping[str, Any]]) -> str:
    """The table of registered methods."""
    if not rows:
        return "no methods are registered; use package.module:Class, file.py:Class or predictions:DIR"
    lines = [f"{'name':<22}{'tasks':<22}{'needs':<26}source"]
    for r in rows:
        if r["problem"]:
            lines.append(f"{r['name']:<22}can't be imported: {r['problem']}")
            continue
        tasks, needs = ", ".join(r["tasks"]), ", ".join(r["needs"]) or "-"
        lines.append(f"{r['name']:<22}{tasks:<22}{needs:<26}{r['source']}")
    return "\n".join(lines)


def format_latency(report: Mapping[str, Any]) -> str:
    """The speed table as text."""
    lines = [
        f"{'method / stage':<28}{'p50':>9}{'p90':>9}{'p99':>9}{'mean':>9}{'sd':>8}{'min':>9}{'share':>8}{'ratio':>8}"
        "   (ms)"
    ]
    for row in report["methods"]:
        factor = "" if row["ratio"] is None else f"{row['ratio']['median']:.3f}"
        lines.append(_line(row["name"], row["end_to_end"], "", factor))
        if len(row["stages"]) > 1:
            lines += [_line("  " + s["name"], s, f"{100 * s['share']:.1f}%", "") for s in row["stages"]]
        sub = row.get("sub_stages")
        if sub:
            lines.append(_line("  in detail", sub["end_to_end"], "", ""))
            lines += [_line("    " + s["name"], s, f"{100 * s['share']:.1f}%", "") for s in sub["stages"]]
    lines.append("")
    for row in report["methods"]:
        if row["name"] == NULL_METHOD:
            continue
        parts = [f"{_count(row['parameters'])} parameters", f"{_count(row['flops'])} FLOPs"]
        parts.append(f"precision {row['precision'] or 'not stated'}")
        memory = row["peak_memory_bytes"]
        parts.append("peak memory unknown" if memory is None else f"peak memory {memory / 2**20:.0f} MiB")
        for n, rate in (row["throughput"] or {}).items():
            parts.append(f"{rate:.1f}/s at batch {n}" if rate else f"batch {n} too fast to measure")
        lines.append(f"{row['name']}: " + ", ".join(parts))
    p = report["protocol"]
    lines.append(
        f"batch 1, {p['size'][0]} x {p['size'][1]}, {report['device']}, {report['clocks']}, "
        f"torch {report['environment'].get('torch', 'not installed')}, threads {report['threads']['torch']}; "
        "the means of the stages add up to the mean of the row above them, percentiles do not; "
        f"ratio: median of the run-by-run time ratios to {report['reference']}; {NULL_METHOD}: the harness itself"
    )
    lines += [f"deviation from the protocol: {text}" for text in p["deviations"]]
    return "\n".join(lines)


def _line(name: str, s: Mapping[str, Any], share: str, factor: str) -> str:
    sd = "" if s["sd_ms"] is None else f"{s['sd_ms']:.3f}"
    noisy = "  noisy: IQR/median {:.0%}".format(s["iqr_over_median"]) if s["noisy"] else ""
    return (
        f"{name:<28}{s['p50_ms']:>9.3f}{s['p90_ms']:>9.3f}{s['p99_ms']:>9.3f}{s['mean_ms']:>9.3f}{sd:>8}"
        f"{s['min_ms']:>9.3f}{share:>8}{factor:>8}{noisy}"
    )


def _count(value: int | None) -> str:
    if value is None:
        return "unknown"
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return str(value)


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"
