"""The metrics: pure functions from arrays to per-sample rows, and from the table of rows to numbers.

Each metric is one `MetricSpec`. A sample (`SampleArrays`) becomes one flat row of sufficient statistics
(`rows.sample_row`); the rows form a table (`core.samples`); every number is a function of that table (`aggregate`) or
of two feature matrices (`distribution`). Batching, sharding, resuming and re-scoring therefore cannot change a number.

The metrics are also available as `torchmetrics.Metric` classes: `from deocc_bench.metrics import AmodalIoU, HumanL1`.
The classes are looked up on first access, because they need torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_DATA = {"MetricSpec": "definition", "SampleArrays": "arrays"}
_TORCH = "torch_metrics"


def __getattr__(name: str) -> Any:
    # Module names are lower-case: Python calls this function for them before it looks for a file.
    if name[:1].isupper() or name == "metric_class":
        return getattr(import_module(f"{__name__}.{_DATA.get(name, _TORCH)}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    from deocc_bench.metrics.spec import all_metrics

    classes = (spec.torch_class for spec in all_metrics().values() if spec.torch_class)
    return sorted({*globals(), *_DATA, *classes, "PartRecall", "metric_class"})
