"""Two runs on the same samples: paired differences, intervals and p-values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from deocc_bench.benchmark.result import read_run
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.core.results import BEST_OF_K, VOTE, RunResult
from deocc_bench.core.samples import join_tables, mark_draw
from deocc_bench.metrics import aggregate
from deocc_bench.metrics.spec import specs_for

_GROUP = ("dataset fingerprint", "split", "scored samples", "task")


def compare_runs(
    first: str | Path, second: str | Path, metrics: Iterable[str] | None = None, seed: int = 0
) -> dict[str, Any]:
    """Compare the folders of two runs, metric by metric.

    Args:
        metrics: ids to compare; None: all except metrics of single body parts and of the input, which would reduce the
            power of the other tests through Holm's correction.

    Returns:
        `first`, `second` (names), `task`, `n`, `metrics` (see `metrics.aggregate.compare`) and `notes`.

    Raises:
        DeoccError: the runs have different samples or tasks, or were changed after the run.
    """
    (one, table_one), (two, table_two) = read_run(first), read_run(second)
    check_comparable(one, two)
    known = specs_for(one.task, table_one)
    if metrics is None:
        chosen = [name for name, spec in known.items() if not (spec.of_input or spec.each_part)]
    else:
        chosen = list(metrics)
        for name in chosen:
            if name not in known:
                raise UsageError(unknown("metric", name, known))
    table_one, table_two = _align_draws(one, table_one, two, table_two)
    rows = aggregate.compare(table_one, table_two, one.task, chosen, seed=seed)
    notes = []
    for field in ("initial_mask", "fit_dataset", "fit_split"):
        a, b = one.protocol.get(field), two.protocol.get(field)
        if a != b:
            notes.append(f"the runs differ in {field}: {a} and {b}")
    for run in (one, two):
        if run.method.get("truth_given"):
            notes.append(f"{run.label} had access to the ground truth: {', '.join(run.method['truth_given'])}")
        if run.row == BEST_OF_K:
            notes.append(f"{run.label} is an oracle: its draws were selected with the ground truth")
    return {
        "first": one.label,
        "second": two.label,
        "task": one.task,
        "n": one.dataset["n"],
        "metrics": rows,
        "notes": notes,
    }


def check_comparable(one: RunResult, two: RunResult) -> None:
    """Check that two runs can be paired.

    Raises:
        DeoccError: the runs differ in a field that must be equal; the message names it.
    """
    odd = [name for name, a, b in zip(_GROUP, one.group, two.group, strict=True) if a != b]
    if odd:
        raise DeoccError(
            f"{one.path} and {two.path} differ in {', '.join(odd)}; "
            "compare runs with the same dataset, split, limit and task"
        )


def _align_draws(
    one: RunResult, table_one: pd.DataFrame, two: RunResult, table_two: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Repeat the rows of a table without draws for every draw of the other table, so that the two can be paired."""
    if one.of_draws and two.of_draws and one.draws != two.draws:
        raise DeoccError(
            f"the runs have {one.draws} and {two.draws} draws; compare their {BEST_OF_K} or {VOTE} runs, "
            "or runs with equally many draws"
        )
    if two.of_draws and not one.of_draws:
        table_one = _repeat(table_one, two.draws)
    if one.of_draws and not two.of_draws:
        table_two = _repeat(table_two, one.draws)
    return table_one, table_two


def _repeat(table: pd.DataFrame, draws: int) -> pd.DataFrame:
    return join_tables(mark_draw(table, draw) for draw in range(draws))
