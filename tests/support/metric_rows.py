"""Rows of single samples, as the tests of the metrics write them."""

from __future__ import annotations

from typing import Any

import numpy as np

from deocc_bench.metrics.arrays import SampleArrays
from deocc_bench.metrics.rows import metrics_to_score, sample_row


def truth_row(amodal: np.ndarray, modal: np.ndarray, parsing: np.ndarray | None = None) -> dict[str, Any]:
    """What every row says of the truth."""
    return sample_row(SampleArrays(amodal=amodal, modal=modal, parsing=parsing), ())


def mask_row(amodal: np.ndarray, modal: np.ndarray, predicted: np.ndarray, **more: Any) -> dict[str, Any]:
    """All columns of task mask."""
    return sample_row(SampleArrays(amodal=amodal, modal=modal, predicted=predicted, **more), metrics_to_score("mask"))


def content_row(**arrays: Any) -> dict[str, Any]:
    """All columns of task content."""
    return sample_row(SampleArrays(**arrays), metrics_to_score("content"))
