"""Figures and pictures: what is drawn from what, and what is refused."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deocc_bench.core import images, masks, painting
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.json_files import dump_json
from deocc_bench.leaderboard import figures
from deocc_bench.leaderboard.build import LeaderboardRequest, build_tables, draw_figures
from deocc_bench.leaderboard.samples import sample_values


def test_mask_layer_tells_the_four_cases_apart() -> None:
    amodal = np.array([[1, 1, 1, 0]], bool)
    modal = np.array([[1, 0, 0, 0]], bool)
    predicted = np.array([[1, 1, 0, 1]], bool)
    layer = painting.mask_layer(predicted, amodal, modal)
    assert layer.tolist() == [[painting.SEEN, painting.FOUND, painting.MISSED, painting.EXTRA]]


def test_layer_is_a_small_transparent_png(tmp_path: Path) -> None:
    layer = np.zeros((160, 160), np.uint8)
    layer[40:120, 40:120] = painting.FOUND
    data = painting.encode_layer(layer)
    assert len(data) < 1200
    (tmp_path / "a.png").write_bytes(data)
    rgba = images.read_rgba(tmp_path / "a.png")
    assert rgba[0, 0, 3] == 0
    assert rgba[60, 60, 3] > 200


@pytest.mark.parametrize(("up", "front"), [(True, [(1, 0.5), (3, 0.9)]), (False, [(1, 0.5), (2, 0.4)])])
def test_pareto_front(up: bool, front: list[tuple[float, float]]) -> None:
    assert figures.pareto_front([(1, 0.5), (2, 0.4), (3, 0.9), (4, 0.9)], up) == front


@pytest.fixture
def values(make_run: Any, tmp_path: Path) -> Any:
    (table,), *_ = build_tables(LeaderboardRequest((make_run("a"), make_run("b", 0.1)), tmp_path))
    return sample_values(table)


def test_worst_median_best(values: Any) -> None:
    mean = values.mean
    worst, median, best = figures.choose_samples(values, ("worst", "median", "best"))
    assert mean[worst] == mean.min()
    assert mean[best] == mean.max()
    assert abs(np.sort(mean).tolist().index(mean[median]) - 30) <= 1
    assert len(figures.choose_samples(values, ("worst:3", "h0001-v0"))) == 4
    assert figures.choose_samples(values, ("h9999", "h0001-v0")) == [2]


@pytest.mark.slow
def test_what_no_table_has_is_refused_before_anything_is_drawn(make_run: Any, tmp_path: Path) -> None:
    run = make_run("a")
    (run / "predictions").mkdir()
    runs = (run, make_run("b", 0.1, task="joint"))
    for wrong, says in (({"samples": ("h9999",)}, "unknown sample 'h9999'"), ({"methods": ("b",)}, "predictions 'b'")):
        with pytest.raises(UsageError, match=says):
            draw_figures(LeaderboardRequest(runs, tmp_path / "figures", **wrong))  # type: ignore[arg-type]
    assert not (tmp_path / "figures").exists()
    assert draw_figures(LeaderboardRequest(runs, tmp_path / "figures", methods=("a",), samples=("worst",)))


def test_long_names_above_pictures_take_two_lines() -> None:
    lines = figures._two_lines("chain:nearest-template+mean-colour and more than that").split("\n")
    assert len(lines) == 2
    assert max(map(len, lines)) <= 19
    assert figures._two_lines("telea") == "telea"


def test_undefined_samples_are_neither_worst_nor_best(make_run: Any, tmp_path: Path) -> None:
    request = LeaderboardRequest((make_run("a"),), tmp_path, columns=("invisible_iou_mean",))
    (table,), *_ = build_tables(request)
    found = sample_values(table)
    assert found is not None
    chosen = figures.choose_samples(found, ("worst:99",))
    assert len(chosen) == 48
    assert not np.isnan(found.mean[chosen]).any()


@pytest.mark.slow
def test_figures_are_drawn(make_run: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed (extra `figures`)")
    runs = [make_run("a $x_1$"), make_run("b 🦊", 0.1, seed=2)]
    root = tmp_path / "data"
    amodal = np.zeros((64, 48), bool)
    amodal[8:60, 10:40] = True
    entries: dict[str, list[Any]] = {"images": [], "annotations": []}
    for k in range(60):
        sample = f"h{k // 2:04d}-v{k % 2}"
        name = f"images/test/{sample}.png"
        images.write_png(root / name, np.full((64, 48, 3), 90 + k, np.uint8))
        for run in runs:
            images.write_png(run / f"predictions/masks/{sample}.png", amodal)
        entries["images"].append({"id": k, "file_name": name, "height": 64, "width": 48, "group_id": sample})
        rles = {"segmentation": masks.encode(amodal), "visible_mask": masks.encode(amodal)}
        entries["annotations"].append({"id": k, "image_id": k, "sample_id": sample, "occlude_rate": 0.0, **rles})
    atomic_write(root / "annotations/test.json", dump_json(entries))
    atomic_write(root / "dataset.json", dump_json({"schema_version": 1, "name": "people", "fingerprint": "f" * 64}))
    request = LeaderboardRequest(tuple(runs), tmp_path / "figures", datasets=(DatasetReader(root),))
    written = draw_figures(request)
    kinds = sorted(p.name.split("-")[0] + p.suffix for p in written)
    assert kinds == ["grid.pdf", "grid.png", "pareto.pdf", "pareto.png", "ratio.pdf", "ratio.png"]
    for path in written:
        if path.suffix == ".png":
            assert images.read_rgb(path).std() > 5
        else:
            assert path.read_bytes().startswith(b"%PDF")


def test_without_matplotlib_the_cure_is_named(make_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    runs = (make_run("a"), make_run("b"))
    monkeypatch.setattr(builtins, "__import__", blocked)
    assert not figures.available()
    with pytest.raises(DeoccError, match=r"pip install 'deocc-bench\[figures\]'"):
        draw_figures(LeaderboardRequest(runs, tmp_path / "figures"))


def test_names_of_neighbours_go_to_either_side() -> None:
    points = [(1.0, 0.9), (40.0, 0.50), (50.0, 0.51)]
    assert [figures._has_right_neighbour(p, points) for p in points] == [False, True, False]
