"""Made-up runs: records and tables written by hand, so that these tests ask nothing of the benchmark's harness."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deocc_bench.core.errors import UsageError
from deocc_bench.core.files import atomic_write, sha256_file
from deocc_bench.core.results import SAMPLES_FILE, RunResult, write_result

BINS = ("[0.0, 0.1)", "[0.1, 0.2)", "[0.2, 0.3)")


@dataclass(frozen=True)
class Toy:
    """A definition as the benchmark gives them: the mean of one column."""

    definition: str
    column: str
    meaning: str = "a made-up metric"
    source: str = "deocc-bench"

    def terms(self, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        values = table[self.column].to_numpy(dtype=np.float64)
        known = ~np.isnan(values)
        return np.where(known, values, 0.0), known.astype(np.float64)


TOYS = {
    "amodal_iou_mean": Toy("amodal_iou_mean/1", "iou"),
    "invisible_iou_mean": Toy("invisible_iou_mean/1", "hidden_iou"),
    "mask_l1": Toy("mask_l1/1", "l1"),
}


def _lookup(metric: str) -> Toy:
    if metric not in TOYS:
        raise UsageError(f"unknown metric {metric}")
    return TOYS[metric]


def _metric(value: float | None, definition: str, n: int, up: bool = True, **more: Any) -> dict[str, Any]:
    ci = None if value is None else [value - 0.01, value + 0.01]
    return {
        "value": value,
        "ci95": ci,
        "n": n,
        "n_defined": 0 if value is None else n,
        "unit": "ratio",
        "higher_is_better": up,
        "definition": definition,
        **more,
    }


@pytest.fixture
def lookup() -> Callable[[str], Toy]:
    """The definitions of the made-up metrics."""
    return _lookup


@pytest.fixture
def metric() -> Callable[..., dict[str, Any]]:
    """A metric of a record: `metric(value, definition, n, up=True, **more)`."""
    return _metric


def samples_table(quality: float, n: int = 60, seed: int = 0) -> pd.DataFrame:
    """`n` samples of n / 2 humans; `quality` shifts all of them, noise is of the sample and of the method."""
    base = np.random.default_rng(7).normal(0.5, 0.1, n)
    own = np.random.default_rng(seed).normal(0, 0.01, n)
    iou = np.clip(base + quality + own, 0, 1)
    hidden = np.where(np.arange(n) % 5 == 0, np.nan, np.clip(iou - 0.2, 0, 1))
    return pd.DataFrame(
        {
            "id": [f"h{i // 2:04d}-v{i % 2}" for i in range(n)],
            "group": [f"h{i // 2:04d}" for i in range(n)],
            "occluder_categories": ["box|pole" if i % 3 else "box" for i in range(n)],
            "amodal": 1000,
            "invisible": [10 * (i % 60) for i in range(n)],
            "iou": iou,
            "hidden_iou": hidden,
            "l1": 1 - iou,
        }
    )


Maker = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> Maker:
    """Write one run and return its folder."""

    def make(
        name: str = "method",
        quality: float = 0.0,
        folder: str | None = None,
        n: int = 60,
        seed: int = 0,
        task: str = "mask",
        metrics: Mapping[str, Any] | None = None,
        dataset: Mapping[str, Any] | None = None,
        method: Mapping[str, Any] | None = None,
        notes: Sequence[str] = (),
        **fields: Any,
    ) -> Path:
        out = tmp_path / (folder or f"run-{len(list(tmp_path.iterdir())):03d}")
        table = samples_table(quality, n, seed)
        text = io.StringIO()
        table.to_csv(text, index=False, lineterminator="\n")
        atomic_write(out / SAMPLES_FILE, text.getvalue())
        means = {m: float(np.sum((t := TOYS[m].terms(table))[0]) / np.sum(t[1])) for m in TOYS}
        found = {m: _metric(v, TOYS[m].definition, n, up=m != "mask_l1") for m, v in means.items()}
        found["modal_iou_mean"] = _metric(None, "modal_iou_mean/1", n)
        found["part_recall[hair]"] = _metric(0.4 + quality, "part_recall[hair]/1", n)
        record = RunResult(
            method={"name": name, "row": "single", "draws": None, "truth_given": [], "version": "1", **(method or {})},
            dataset={
                "name": "people",
                "fingerprint": "f" * 64,
                "split": "test",
                "n": n,
                "samples_digest": "d" * 64,
                **(dataset or {}),
            },
            task=task,
            protocol={"initial_mask": "dataset", "convention": "deocc-bench", "fit_dataset": None, "fit_split": None},
            metrics={**found, **(metrics or {})},
            breakdowns={
                "occlusion_ratio": {
                    b: {"amodal_iou_mean": _metric(means["amodal_iou_mean"] - k / 10, "amodal_iou_mean/1", 20)}
                    for k, b in enumerate(BINS)
                }
            },
            timing={"seconds_per_sample": {"compute": 0.01 * (1 + seed)}},
            environment={"cpu": "a cpu", "python": "3.11"},
            seed=0,
            command=f"deocc-bench evaluate {name}",
            date="2026-01-01T00:00:00+00:00",
            version="0.1.0",
            predictions_digest="p" * 64,
            notes=tuple(notes),
            **{"table_digest": sha256_file(out / SAMPLES_FILE), **fields},
        )
        write_result(out, record)
        return out

    return make
