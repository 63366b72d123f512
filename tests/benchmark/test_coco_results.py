"""COCO results and headers from somebody else: read, or refused in one line."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from mutations import mutated

from deocc_bench.benchmark.coco_results import read_coco_results
from deocc_bench.benchmark.evaluate import read_header
from deocc_bench.core import masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError
from deocc_bench.core.predictions import HEADER_FILE, PredictionFolder


def test_polygons_are_clipped_to_the_image(tiny: Path, tmp_path: Path) -> None:
    record = next(DatasetReader(tiny).records("test"))
    height, width = record.size
    path, out = tmp_path / "r.json", PredictionFolder(tmp_path / "out")
    box = [-1e9, -1e9, 10, -1e9, 10, 1e9, -1e9, 1e9]
    path.write_text(json.dumps([{"sample_id": record.id, "segmentation": [box]}]))
    read_coco_results(path, [record], out)
    wanted = np.zeros((height, width), bool)
    wanted[:, :10] = True
    found = out.read(record.id, record.size, "mask").amodal
    assert found is not None
    assert np.array_equal(found, wanted)


@pytest.mark.slow
def test_mutated_results_are_read_or_refused(tiny: Path, tmp_path: Path) -> None:
    records = list(DatasetReader(tiny).records("test"))
    entries = [
        {"sample_id": r.id, "image_id": r.photo.id, "segmentation": r.amodal, "visible_mask": r.modal} for r in records
    ]
    path = tmp_path / "r.json"
    truth = {r.id: masks.decode(r.amodal).shape for r in records}

    @settings(max_examples=300, deadline=None)
    @given(mutated(entries))
    def read(text: str) -> None:
        path.write_text(text)
        out = PredictionFolder(tmp_path / "out")
        with suppress(InputError):  # any other exception fails
            read_coco_results(path, records, out)
        names = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.png")}
        assert names <= {f"out/{kind}/{i}.png" for kind in ("masks", "modal") for i in truth}

    read()


def test_mutated_headers_are_read_or_refused(tmp_path: Path) -> None:
    header = {
        "method": {"name": "m", "options": {"k": 1}, "weights": None, "truth_given": [], "draws": None},
        "dataset": "f" * 64,
        "split": "test",
        "task": "mask",
        "initial_mask": "dataset",
        "seed": 0,
        "fit_dataset": None,
        "fit_split": None,
        "code_digests": ["c" * 64],
    }
    path = tmp_path / HEADER_FILE

    @settings(max_examples=200, deadline=None)
    @given(mutated(header))
    def read(text: str) -> None:
        path.write_text(text)
        with suppress(InputError):
            found = read_header(tmp_path)
            assert found is not None
            assert isinstance(found["method"]["name"], str)

    read()
    path.write_text(json.dumps(header))
    assert read_header(tmp_path) == header
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / HEADER_FILE).symlink_to(path)
    with pytest.raises(InputError, match="is a link that leads out"):
        read_header(tmp_path / "run")
