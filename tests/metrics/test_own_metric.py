"""A metric from an installed package: computed, printed, ranked, verified; and records of it where it is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from metrics_package import POINTS, install

from deocc_bench.core.errors import DeoccError
from deocc_bench.core.results import read_result
from deocc_bench.leaderboard.build import LeaderboardRequest, build_tables, look_into, make
from deocc_bench.metrics.spec import all_metrics, get_spec, spec_of_record

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent.parent
SECTION = (ROOT / "docs" / "extending.md").read_text().split("## A metric of your own")[1]
(PRINTED,) = re.findall(r"```python\n(.*?)```", SECTION, re.S)
# A name that says nothing of what is judged: no rule on names can know that this is no mask metric.
CODE = PRINTED.replace("contrast_human", "dists_human").replace("HumanContrast", "HumanDISTS")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages, with the one of the page."""
    return install(tmp_path_factory.mktemp("packages") / "site", CODE)


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The same in this process."""
    monkeypatch.syspath_prepend(site)
    all_metrics.cache_clear()
    yield
    all_metrics.cache_clear()
    sys.modules.pop("my_metrics", None)


def command(site: Path | None, *arguments: object) -> str:
    environment = os.environ | ({"PYTHONPATH": os.pathsep.join((str(ROOT), str(site)))} if site else {})
    line = [sys.executable, "-m", "deocc_bench.cli", *map(str, arguments)]
    done = subprocess.run(line, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def runs(tiny: Path, methods_file: Path, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of each task, evaluated with the package installed."""
    out = tmp_path_factory.mktemp("own") / "runs"
    for name, method, task in (("a", "Full", "joint"), ("b", "Paint", "content"), ("c", "Grow", "mask")):
        spec = f"{methods_file}:{method}"
        options = ("--data", tiny, "--task", task, "--resamples", 20, "--out", out / name)
        text = command(site, "evaluate", spec, *options)
        assert ("dists_human" in text) == (task != "mask")
    return out


def test_evaluate_and_samples_csv_show_it(runs: Path) -> None:
    record, table = read_result(runs / "b"), pd.read_csv(runs / "b" / "samples.csv")
    metric = record.metrics["dists_human"]
    assert (metric["n_defined"], metric["definition"], metric["higher_is_better"]) == (14, "dists_human/1", False)
    assert metric["value"] == pytest.approx(table["dists_human"].mean(), rel=1e-12)
    assert metric["ci95"][0] <= metric["value"] <= metric["ci95"][1]
    assert "dists_human" in next(iter(record.breakdowns["occlusion_ratio"].values()))
    assert "dists_human" not in read_result(runs / "c").metrics


def test_the_leaderboard_prints_it_in_its_place_and_as_no_mask_metric(
    runs: Path, tiny: Path, site: Path, tmp_path: Path, installed: None
) -> None:
    command(site, "leaderboard", runs, "--out", tmp_path / "board", "--data", tiny, "--verify", "--no-figures")
    head = next(line for line in (tmp_path / "board/leaderboard.md").read_text().splitlines() if "PSNR" in line)
    names = [cell.strip() for cell in head.split("|")[3:-1]]
    assert names[1:4] == ["PSNR invisible (dB) ↑", "contrast, human ↓", "SSIM invisible ↑"]
    request = LeaderboardRequest((runs / "a",), tmp_path / "x", columns=("dists_human",))
    (table,), *_ = build_tables(request)
    assert table.column("dists_human").region == "content"
    section = look_into(table, ())
    assert section.of_region["mask"] is None
    values = section.of_region["content"]
    assert values is not None
    assert values.column.id == "dists_human"


def test_a_record_with_a_metric_that_is_not_installed_loads_and_prints(runs: Path, tiny: Path, tmp_path: Path) -> None:
    request = LeaderboardRequest((runs,), tmp_path / "board", columns=("dists_human",), figures=False, embed_bytes=0)
    text = make(request).text
    assert text.count("dists human ↓") == 2
    joint, content = (read_result(runs / name) for name in "ab")
    for record, region in ((joint, None), (content, "content")):
        spec = spec_of_record("dists_human", record.metrics["dists_human"], record.task)
        assert (spec.region, spec.terms, spec.higher_is_better) == (region, None, False)
    (table,), *_ = build_tables(LeaderboardRequest((runs / "a",), tmp_path / "x", columns=("dists_human",)))
    assert look_into(table, ()).of_region == {"mask": None, "content": None}
    for commandline in (("compare", runs / "a", runs / "a"), ("score", runs / "b", "--data", tiny, "--json")):
        assert command(None, *commandline)


def test_an_older_definition_stands_in_its_place_but_is_not_computed() -> None:
    spec = get_spec("l1_human")
    recorded = {"unit": "ratio", "higher_is_better": False, "definition": "l1_human/0"}
    old = spec_of_record("l1_human", recorded, "joint")
    assert (old.region, old.columns, old.heading) == (spec.region, spec.columns, spec.heading)
    assert (old.terms, old.meaning, old.definition) == (None, "", "l1_human/0")
    assert spec_of_record("l1_human", {**recorded, "definition": "l1_human/1"}, "joint") is spec


def test_its_torch_class_is_imported_by_name(installed: None) -> None:
    import torch

    from deocc_bench.metrics import HumanDISTS, metric_class

    assert HumanDISTS is metric_class("dists_human")
    black, mask = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.ones(2, 8, 8, dtype=torch.bool)
    striped = black.clone()
    striped[:, :, ::2] = 255
    metric = HumanDISTS()
    metric.update(recovered=striped, image=black, complete=black, amodal=mask, modal=~mask)
    assert metric.compute() == 0.5
    assert metric.higher_is_better is False


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        (CODE.replace('id="dists_human"', 'id="l1_human"'), "'l1_human' of entry point 'contrast' .* already exists"),
        (CODE.replace('id="dists_human"', 'id="fd[mine]"'), "already exists"),
        (CODE.replace('region="content"', 'region="picture"'), "to be 'mask' or 'content', got 'picture'; fix or"),
        ("CONTRAST = 3", "provides a int, not a MetricSpec"),
        ("CONTRASTS = 3", "can't be imported"),
    ],
)
def test_a_bad_package_is_named_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, problem: str
) -> None:
    monkeypatch.syspath_prepend(install(tmp_path / "site", code))
    all_metrics.cache_clear()
    try:
        with pytest.raises(DeoccError, match=problem) as caught:
            get_spec("amodal_iou_mean")
        assert "\n" not in str(caught.value)
    finally:
        all_metrics.cache_clear()
        sys.modules.pop("my_metrics", None)


def test_the_page_tells_the_entry_point() -> None:
    assert json.dumps(POINTS.split("= ")[1].strip()) in SECTION
