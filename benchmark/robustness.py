"""Robustness of a method to worse initial masks: one run per degradation, a curve, and the area under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.benchmark.evaluate import Job, evaluate_method, prepare
from deocc_bench.core.errors import UsageError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.json_files import dump_json
from deocc_bench.core.results import RunResult
from deocc_bench.methods.method import Method

ROBUSTNESS_FILE = "robustness.json"
# Task -> the metric of the curve.
HEADLINE = {"mask": "amodal_iou_mean", "joint": "l1_human"}
AREA_DEFINITION = (
    "x: 1 - initial_iou_mean (how wrong the initial masks are), points sorted by x, equal x averaged; "
    "area: trapezoids over x divided by the range of x, so the mean height of the curve"
)


def folder_name(spec: str) -> str:
    """The subfolder of one degradation: `initial-dilate-3`."""
    return "initial-" + "".join(c if c.isalnum() or c in ".-" else "-" for c in spec)


def sweep(method: Method, job: Job, specs: Sequence[str]) -> tuple[list[RunResult], dict[str, Any]]:
    """Evaluate once per initial mask, each in a separate folder, and write `robustness.json`.

    Returns:
        All records, and the curve (see `curve`).

    Raises:
        UsageError: task `content`, which has no initial mask, or a duplicate spec.
    """
    if job.scoring.task == "content":
        raise UsageError("task 'content' has no initial mask; use --initial-mask only with mask and joint")
    if len(set(specs)) != len(specs):
        raise UsageError("--initial-mask names one degradation twice")
    results: list[RunResult] = []
    firsts: list[RunResult] = []
    fit_seconds: float | None = None
    for spec in specs:
        one = replace(job, out=job.out / folder_name(spec), scoring=replace(job.scoring, initial_mask=spec))
        if fit_seconds is None:
            fit_seconds = prepare(method, one)
        records = evaluate_method(method, one, fit_seconds)
        firsts.append(records[0])
        results += records
    summary = curve(firsts, HEADLINE[job.scoring.task])
    atomic_write(Path(job.out) / ROBUSTNESS_FILE, dump_json(summary))
    return results, summary


def curve(results: Sequence[RunResult], metric: str) -> dict[str, Any]:
    """The points of a sweep and the normalised area under them.

    Returns:
        `metric`, `higher_is_better`, `points` (initial_mask, initial_iou, value, ci95; ordered by error), `area` (None
        with fewer than two different errors) and `definition`.
    """
    points = []
    for r in results:
        initial = r.value("initial_iou_mean")
        points.append(
            {
                "initial_mask": r.protocol["initial_mask"],
                "initial_iou": initial,
                "value": r.value(metric),
                "ci95": r.metrics[metric]["ci95"],
            }
        )
    points.sort(key=lambda p: -p["initial_iou"] if p["initial_iou"] is not None else 1.0)
    known = [(1.0 - p["initial_iou"], p["value"]) for p in points if None not in (p["initial_iou"], p["value"])]
    return {
        "metric": metric,
        "higher_is_better": bool(results[0].metrics[metric]["higher_is_better"]),
        "points": points,
        "area": area([x for x, _ in known], [y for _, y in known]),
        "definition": AREA_DEFINITION,
    }


def area(errors: Sequence[float], values: Sequence[float]) -> float | None:
    """Trapezoidal area under `values` over `errors`, divided by the range of the errors; None if the range is empty."""
    x = np.unique(np.asarray(errors, dtype=np.float64))
    if len(x) < 2:
        return None
    y = np.array([np.mean([v for e, v in zip(errors, values, strict=True) if e == place]) for place in x])
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))
