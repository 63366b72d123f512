"""Two runs on the same samples: paired differences, intervals and p-values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from deocc_bench.benchmark.result import read_run
from deocc_bench.benchmark.score import DRAW_MARK
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.core.results import RunResult
from deocc_bench.core.samples import to_table
from deocc_bench.metrics import aggregate
from deocc_bench.metrics.spec import specs_for

_INPUT = "initial_iou_mean"
_GROUP = ("dataset fingerprint", "split", "scored samples", "task")


def compare_runs(
    first: str | Path, second: str | Path, metrics: Iterable[str] | None = None, seed: int = 0
) -> dict[str, Any]:
    """Compare two runs' folders metric by metric.

    Args:
        metrics: ids to compare; None: all but those of single body parts and of the input, which would only cost the
            others power in the correction.

    Returns:
        `first`, `second` (names), `task`, `n`, `metrics` (see `metrics.aggregate.compare`) and `notes`.

    Raises:
        DeoccError: the runs are not of the same samples and task, or were changed after the run.
    """
    (one, table_one), (two, table_two) = read_run(first), read_run(second)
    check_comparable(one, two)
    known = specs_for(one.task, table_one)
    if metrics is None:
        chosen = [m for m in known if m != _INPUT and ("[" not in m or m.startswith("lpips"))]
    else:
        chosen = list(metrics)
        for name in chosen:
            if name not in known:
                raise UsageError(unknown("metric", name, known))
    table_one, table_two = align_draws(table_one, table_two)
    rows = aggregate.compare(table_one, table_two, one.task, chosen, seed)
    notes = []
    for field in ("initial_mask", "fit_dataset", "fit_split"):
        a, b = one.protocol.get(field), two.protocol.get(field)
        if a != b:
            notes.append(f"the runs differ in {field}: {a} and {b}")
    for run in (one, two):
        if run.method.get("truth_given"):
            notes.append(f"{label(run)} was shown the truth: {', '.join(run.method['truth_given'])}")
        if run.method.get("row") == "best-of-k":
            notes.append(f"{label(run)} is an oracle's choice among draws")
    return {
        "first": label(one),
        "second": label(two),
        "task": one.task,
        "n": one.dataset["n"],
        "metrics": rows,
        "notes": notes,
    }


def label(run: RunResult) -> str:
    """The name of a run in tables: the method, and which row of a random one."""
    row = run.method.get("row", "single")
    return str(run.method["name"]) + ("" if row == "single" else f" ({row} of {run.method['draws']})")


def check_comparable(one: RunResult, two: RunResult) -> None:
    """Refuse runs that can't be paired.

    Raises:
        DeoccError: says what differs.
    """
    odd = [name for name, a, b in zip(_GROUP, one.group, two.group, strict=True) if a != b]
    if odd:
        raise DeoccError(
            f"{one.path} and {two.path} differ in {', '.join(odd)}; compare runs of one dataset, split, limit and task"
        )


def align_draws(one: pd.DataFrame, two: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Give a table of single answers one row for each draw of the other one, so that the two can be paired."""
    draws_one, draws_two = _draws(one), _draws(two)
    if draws_one == draws_two:
        return one, two
    if not draws_one:
        return _repeat(one, draws_two), two
    if not draws_two:
        return one, _repeat(two, draws_one)
    raise DeoccError(
        f"the runs have {len(draws_one)} and {len(draws_two)} draws; compare their best-of-k or vote, or equal draws"
    )


def _draws(table: pd.DataFrame) -> list[str]:
    return sorted({i.rpartition(DRAW_MARK)[2] for i in table["id"] if DRAW_MARK in i})


def _repeat(table: pd.DataFrame, draws: list[str]) -> pd.DataFrame:
    parts = [table.assign(id=[f"{i}{DRAW_MARK}{k}" for i in table["id"]]) for k in draws]
    return to_table(pd.concat(parts).astype(object).to_dict("records"))
