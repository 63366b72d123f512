"""The result record: what it holds, and what a reader is told of one that was changed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from deocc_bench.benchmark.result import build, read_run, timing_field, write_run
from deocc_bench.core.errors import InputError
from deocc_bench.core.results import SCHEMA_VERSION, RunResult, read_result
from deocc_bench.core.samples import to_table


def record(**changes: Any) -> RunResult:
    metric = {"value": 0.1 + 0.2, "ci95": [0.25, 0.35], "n": 2, "n_defined": 2}
    metric |= {"unit": "ratio", "higher_is_better": True, "definition": "amodal_iou_mean/1"}
    empty = {**metric, "value": math.nan, "ci95": None, "n_defined": 0, "reason": "none"}
    values: dict[str, Any] = {
        "method": {"name": "m", "options": {"size": (1, 2)}, "row": "single"},
        "dataset": {"name": "d", "fingerprint": "f", "split": "test", "n": 2, "samples_digest": "s"},
        "task": "mask",
        "protocol": {"initial_mask": "dataset"},
        "metrics": {"amodal_iou_mean": metric, "fid": empty},
        "breakdowns": {"occluders": {"1": {"amodal_iou_mean": metric}}},
        "timing": timing_field({"data": 1.0, "compute": 3.0}, {"data": 2, "compute": 0}),
        "seed": 0,
        "predictions_digest": "p",
    }
    return build(**{**values, **changes})


def table() -> pd.DataFrame:
    return to_table([{"id": "a", "group": "g", "x": 0.1 + 0.2}, {"id": "b", "group": "g", "x": None}])


def test_round_trip(tmp_path: Path) -> None:
    written = write_run(tmp_path, record(), table())
    found, rows = read_run(tmp_path)
    assert found.to_json() == written.to_json()
    assert found.value("amodal_iou_mean") == 0.1 + 0.2
    assert found.value("fid") is None
    assert not found.tampered
    assert found.group == ("f", "test", "s", "mask")
    assert rows["x"][0] == 0.1 + 0.2
    raw = json.loads((tmp_path / "result.json").read_text())
    assert raw["schema_version"] == SCHEMA_VERSION
    assert raw["metrics"]["amodal_iou_mean"]["value"] == 0.1 + 0.2
    assert raw["metrics"]["fid"]["value"] is None
    assert raw["method"]["options"] == {"size": [1, 2]}
    assert {"python", "numpy", "cpu", "platform"} <= set(raw["environment"])
    assert raw["timing"]["share"] == {"data": 0.25, "compute": 0.75}
    assert raw["timing"]["seconds_per_sample"] == {"data": 0.5, "compute": None}
    assert "NaN" not in (tmp_path / "result.json").read_text()


def test_a_changed_record_or_table_is_flagged(tmp_path: Path) -> None:
    write_run(tmp_path, record(), table())
    path = tmp_path / "result.json"
    text = path.read_text()
    assert "0.30000000000000004" in text
    path.write_text(text.replace("0.30000000000000004", "0.40000000000000004"))
    assert read_result(path).problems == ("the record was changed after the run (its digest does not match)",)
    path.write_text(text)
    assert not read_result(path).tampered
    samples = tmp_path / "samples.csv"
    samples.write_text(samples.read_text() + "c,g,1.0\n")
    assert "samples.csv was changed" in read_result(path).problems[0]
    with pytest.raises(InputError, match=r"samples\.csv was changed.*deocc-bench score"):
        read_run(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"schema_version": SCHEMA_VERSION + 1},
            "schema version is 2, but this deocc-bench reads versions up to 1; update",
        ),
        ({"schema_version": None}, "not a result record"),
        ({"metrics": None}, "metrics: expected object, got null"),
        ({"metrics": {"x": {"value": "0.5"}}}, "metric x: value: expected float"),
        ({"task": "other"}, "task: invalid enum value 'other'"),
        ({"dataset": {"name": "d"}}, "dataset: object missing required field fingerprint"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    write_run(tmp_path, record(), table())
    path = tmp_path / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(InputError, match=message) as caught:
        read_result(tmp_path)
    assert "result.json" in str(caught.value)


def test_numbers_must_be_numbers(tmp_path: Path) -> None:
    write_run(tmp_path, record(), table())
    path = tmp_path / "result.json"
    content = json.loads(path.read_text())
    content["metrics"]["amodal_iou_mean"]["value"] = "0.3"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="value: expected float"):
        read_result(path)
    with pytest.raises(InputError, match="no such file"):
        read_result(tmp_path / "nowhere")
