"""One sample's row of `samples.csv`: the columns that the metrics read, each computed once."""

from __future__ import annotations

from collections.abc import Iterable

from deocc_bench.metrics.arrays import SampleArrays
from deocc_bench.metrics.conventions import CONVENTIONS
from deocc_bench.metrics.definition import MetricSpec, RowValue
from deocc_bench.metrics.masks import truth_row
from deocc_bench.metrics.spec import all_metrics


def metrics_to_score(task: str) -> tuple[MetricSpec, ...]:
    """The metrics whose columns `evaluate` writes in a task, including those of other papers' conventions."""
    of_conventions = (spec for convention in CONVENTIONS.values() for spec in convention.specs)
    return tuple(spec for spec in (*all_metrics().values(), *of_conventions) if task in spec.tasks)


def sample_row(sample: SampleArrays, specs: Iterable[MetricSpec]) -> dict[str, RowValue]:
    """The columns of `masks.truth_row`, and those of every metric whose arrays are present.

    The caller adds `core.samples.identity_row`, which identifies the sample.

    Raises:
        ValueError: a metric can't use an array.
    """
    row: dict[str, RowValue] = dict(truth_row(sample))
    for compute, inputs in dict.fromkeys((spec.row, spec.inputs) for spec in specs):
        if compute is not None and sample.holds(inputs):
            row |= compute(sample)
    return row
