"""Made-up runs: records and tables written by hand, so that these tests ask nothing of the benchmark's harness."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from deocc_bench.core.files import atomic_write, sha256_file
from deocc_bench.core.results import SAMPLES_FILE, RunResult, write_result
from deocc_bench.metrics.aggregate import sample_terms
from deocc_bench.metrics.spec import get_spec

BINS = ("[0.0, 0.1)", "[0.1, 0.2)", "[0.2, 0.3)")


MEASURED = ("amodal_iou_mean", "invisible_iou_mean", "mask_l1", "part_recall[hair]")


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
            # A prediction inside the truth, of an image of the person's size.
            "height": 40,
            "width": 25,
            "predicted": 1000 * iou,
            "amodal_inter": 1000 * iou,
            "predicted_invisible": [10 * (i % 60) for i in range(n)] * hidden,
            "part_invisible[hair]": 100,
            "part_covered[hair]": 100 * (0.4 + quality),
            "invisible_inter": [10 * (i % 60) for i in range(n)] * hidden,
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
        terms = {m: sample_terms(get_spec(m), table) for m in MEASURED}
        means = {m: float(num.sum() / den.sum()) for m, (num, den) in terms.items()}
        found = {m: _metric(v, get_spec(m).definition, n, up=m != "mask_l1") for m, v in means.items()}
        found["modal_iou_mean"] = _metric(None, "modal_iou_mean/1", n)
        values: dict[str, Any] = {
            "method": {
                "name": name,
                "row": "single",
                "draws": None,
                "truth_given": [],
                "version": "1",
                **(method or {}),
            },
            "dataset": {
                "name": "people",
                "fingerprint": "f" * 64,
                "split": "test",
                "n": n,
                "samples_digest": "d" * 64,
                **(dataset or {}),
            },
            "task": task,
            "protocol": {
                "initial_mask": "dataset",
                "convention": "deocc-bench",
                "fit_dataset": None,
                "fit_split": None,
            },
            "metrics": {**found, **(metrics or {})},
            "breakdowns": {
                "occlusion_ratio": {
                    b: {"amodal_iou_mean": _metric(means["amodal_iou_mean"] - k / 10, "amodal_iou_mean/1", 20)}
                    for k, b in enumerate(BINS)
                }
            },
            "timing": {"seconds_per_sample": {"compute": 0.01 * (1 + seed)}},
            "environment": {"cpu": "a cpu", "python": "3.11"},
            "seed": 0,
            "command": f"deocc-bench evaluate {name}",
            "date": "2026-01-01T00:00:00+00:00",
            "version": "0.1.0",
            "predictions_digest": "p" * 64,
            "notes": tuple(notes),
            "table_digest": sha256_file(out / SAMPLES_FILE),
        }
        write_result(out, RunResult(**(values | fields)))
        return out

    return make
