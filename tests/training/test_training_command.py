"""`train` and `ablate` from the command line, on drawn people."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest

from deocc_bench.core.dataset_writer import finish, write_sample
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.lock import output_folder
from deocc_bench.core.types import Sample
from deocc_bench.models.training.curves import read_log
from deocc_bench.models.weights import load_weights, read_info
from deocc_bench.synth.run import synthesise
from deocc_bench.synth.spec import SynthSpec
from deocc_bench.training.ablation import rows_of, to_markdown
from deocc_bench.training.sources import OnlineSource
from deocc_bench.training.train_commands import ablate, train

PEOPLE = ["--humans", "mannequin:6", "--occluders", "shapes:12"]
SHORT = ["--steps", "2", *(f"--set={s}" for s in ("optim.batch=2", "run.log=1", "data.workers=0", "data.size=64"))]


def run(command: click.Command, *arguments: Any) -> int:
    """The command as the console runs it, errors included."""
    return int(command.main([str(a) for a in arguments], standalone_mode=False) or 0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve drawn samples at 64 x 64 in the splits train and test."""
    out = tmp_path_factory.mktemp("data") / "drawn"
    spec = SynthSpec(("mannequin:12",), ("shapes:24",), variants=1, size=64, holdout=3)
    synthesise(spec, out, quiet=True)
    return out


@pytest.mark.slow
def test_mask_stage_on_the_fly_then_resumed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    run(train, "mask", *PEOPLE, *SHORT, "--out", out)
    told = capsys.readouterr()
    assert "2 steps" in told.out
    assert "weights" in told.out
    assert "step 2/2" in told.err
    assert {p.name for p in out.iterdir()} >= {
        "weights.safetensors",
        "last.ckpt",
        "log.csv",
        "config.toml",
        "train.json",
    }
    net, info = load_weights(out / "weights.safetensors")
    assert info.preset == "tiny"
    assert info.training["data"]["on_the_fly"]["humans"] == ["mannequin:6"]
    # The templates were fitted to the people.
    assert float(net.reweighting.templates.mean()) > 0.1
    with pytest.raises(InputError, match="--resume"):
        run(train, "mask", *PEOPLE, *SHORT, "--out", out)
    run(train, "mask", *PEOPLE, *SHORT, "--steps", 3, "--out", out, "--resume")
    assert [row["step"] for row in read_log(out / "log.csv")] == [1, 2, 3]
    with pytest.raises(InputError, match="branches"):
        run(train, "mask", *PEOPLE, *SHORT, "--out", out, "--resume", "--net", "branches=false")
    with pytest.raises(InputError, match=r"belongs to a different run \(.*preset: 'tiny' in the checkpoint, 'unet'"):
        run(train, "mask", *PEOPLE, *SHORT, "--out", out, "--resume", "--preset", "unet")
    started = ["--start", out / "weights.safetensors", "--out", tmp_path / "other"]
    with pytest.raises(InputError, match=r"another configuration \(branches: False here, True in the file"):
        run(train, "mask", *PEOPLE, *SHORT, *started, "--net", "branches=false")
    with pytest.raises(InputError, match="holds a mask network, not a content network"):
        run(train, "content", *PEOPLE, *SHORT, *started)


@pytest.mark.slow
def test_resume_refuses_data_that_changed_and_begins_anew_without_a_checkpoint(dataset: Path, tmp_path: Path) -> None:
    data, out = shutil.copytree(dataset, tmp_path / "data"), tmp_path / "run"
    arguments = ["mask", "--data", data, *SHORT, "--out", out]
    with pytest.raises(InputError, match="start without --resume"):
        run(train, *arguments, "--resume")
    assert not out.exists()
    out.mkdir()
    for name in (".lock", "config.toml", ".tmp-x"):
        (out / name).write_text("of a run that was killed")
    run(train, *arguments, "--resume")
    assert not {".lock", ".tmp-x"} & {p.name for p in out.iterdir()}
    with output_folder(out), pytest.raises(DeoccError, match="in use by process"):
        run(train, *arguments, "--resume")
    path = data / "annotations" / "train.json"
    path.write_text(path.read_text() + " ")
    with pytest.raises(InputError, match=r"belongs to a different run \(inputs\..*annotations/train\.json"):
        run(train, *arguments, "--resume")


@pytest.mark.slow
def test_content_stage_from_a_folder_with_validation(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    size = ["--set", "data.size=128", "--val", dataset, "--val-split", "test", "--val-limit", 2]
    run(train, "content", "--data", dataset, *SHORT, *size, "--out", out)
    (row,) = read_log(out / "validation.csv")
    assert set(row) == {"step", "seconds", "ssim_invisible", "l1_invisible", "garment_delta_e"}
    assert 0 < row["l1_invisible"] < 1
    record = json.loads((out / "train.json").read_text())
    assert record["validation"]["l1_invisible"] == row["l1_invisible"]
    assert read_info(out / "weights.safetensors").kind == "content"
    assert "ssim_invisible" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "size", "missing", "kept"),
    [("mask", 64, "parsing_modal, parsing_amodal", "amodal"), ("content", 128, "part_colour", "hole_l1")],
)
def test_a_dataset_without_parsing_trains_without_those_terms_and_says_so(
    stage: str,
    size: int,
    missing: str,
    kept: str,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from deocc_bench.core.dataset import DatasetReader

    bare = tmp_path / "bare"
    lines = []
    reader = DatasetReader(dataset)
    for i in reader.ids("train"):
        sample: Sample = dataclasses.replace(reader.sample("train", i), parsing=None)
        lines.append(write_sample(bare, sample))
    finish(bare, "bare", {"train": lambda: iter(lines)}, {"kind": "test"})
    out = tmp_path / "run"
    run(train, stage, "--data", bare, *SHORT, "--set", f"data.size={size}", "--out", out)
    assert f"no parsing in the data: training without {missing}\n" in capsys.readouterr().err
    row = read_log(out / "log.csv")[-1]
    assert not set(missing.split(", ")) & set(row)
    assert row[kept] > 0


@pytest.mark.slow
def test_terms_that_need_vgg_are_off_with_a_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = ["--set", "loss.weights.perceptual=0.1"]
    run(train, "mask", *PEOPLE, *SHORT, *pairs, "--out", tmp_path / "run")
    assert "no VGG-16 weights (loss.vgg): training without perceptual" in capsys.readouterr().err


@pytest.mark.slow
def test_templates_are_fitted_once_and_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from safetensors.torch import load_file

    file = tmp_path / "t.safetensors"
    run(train, "templates", *PEOPLE, "--out", file, "--count", 32)
    templates = load_file(file)["templates"]
    assert templates.shape == (32, 32, 32)
    run(train, "mask", *PEOPLE, *SHORT, "--out", tmp_path / "run", "--templates", file)
    net, _ = load_weights(tmp_path / "run" / "weights.safetensors")
    np.testing.assert_allclose(net.reweighting.templates, templates, atol=1e-3)
    with pytest.raises(InputError, match="32 templates, the network has 16"):
        run(
            train,
            "mask",
            *PEOPLE,
            *SHORT,
            "--net=template_count=16",
            "--templates",
            file,
            "--out",
            tmp_path / "other",
        )


@pytest.mark.slow
def test_ablation_trains_and_scores_its_rows(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "ablation"
    arguments = ["mask", "--data", dataset, "--val", dataset, "--val-split", "test", "--val-limit", 2, "--out", out]
    run(ablate, *arguments, *SHORT, "--rows", "full,no-branches,no-refinement,unet")
    table = capsys.readouterr().out
    assert table == (out / "ablation.md").read_text()
    names = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
    assert names == ["full", "no-branches", "no-refinement", "unet"]
    assert "amodal_iou_mean" in table
    assert "(+" in table or "(-" in table
    # A second call trains nothing anew.
    before = (out / "full" / "train.json").stat().st_mtime_ns
    run(ablate, *arguments, *SHORT, "--rows", "full")
    assert (out / "full" / "train.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_two_processes_train_one_network_and_one_speaks(tmp_path: Path) -> None:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*launcher, "-m", "deocc_bench.cli", "train", "mask", *PEOPLE, *SHORT, "--out", str(tmp_path / "run")]
    root = str(Path(__file__).resolve().parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("2 steps in") == 1
    assert done.stderr.count("step 2/2") == 1
    record = json.loads((tmp_path / "run" / "train.json").read_text())
    assert (record["processes"], record["samples"]) == (2, 4)
    load_weights(tmp_path / "run" / "weights.safetensors")


def test_ablation_under_torchrun_is_refused(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="without torchrun"):
        run(ablate, "mask", "--data", dataset, "--val", dataset, *SHORT, "--out", tmp_path / "ablation")


def test_rows_and_table() -> None:
    assert next(iter(rows_of("content"))) == "full"
    with pytest.raises(UsageError, match="did you mean 'no-templates'"):
        rows_of("mask", ["no-template"])
    table = to_markdown([{"row": "full", "iou": 0.5, "steps": 3}, {"row": "less", "iou": 0.25, "steps": 3}])
    assert table.splitlines()[3] == "| less | 0.2500 (-0.2500) | 3 |"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["mask", *SHORT], "either --data"),
        (["mask", "--humans", "mannequin:4", *SHORT], "--occluders"),
        (["mask", *PEOPLE, *SHORT, "--preset", "tinny"], "did you mean 'tiny'"),
        (["mask", *PEOPLE, *SHORT, "--set", "optim.lrr=1"], "optim.lr"),
        (["mask", *PEOPLE, *SHORT, "--net", "branch=false"], "branches"),
        (["mask", *PEOPLE, *SHORT, "--net", "branches=perhaps"], "expected a value like true"),
        (["content", *PEOPLE, *SHORT, "--preset", "unet"], "completes masks"),
        (["mask", *PEOPLE], "--minutes"),
        (["mask", "--data", "nowhere", *SHORT], "no such dataset"),
        (["mask", *PEOPLE, *SHORT, "--start", "none.safetensors"], "no such file"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(DeoccError) as caught:
        run(train, *arguments, "--out", tmp_path / "run")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_what_bags_hide_is_unknown(real_data: Path) -> None:
    spec = SynthSpec((f"ccp:{real_data / 'ccp'}",), ("shapes:20",), size=64, allow_bags=True, holdout=5)
    source = OnlineSource(spec, "train")
    index = {e.id: i for i, e in enumerate(source.samples.entries)}
    clean = (real_data / "ccp" / "clean.txt").read_text().split()
    bare = next(f"ccp-{stem}" for stem in clean if f"ccp-{stem}" in index)
    assert source.example(0, index[bare]).unknown is None
    example = source.example(0, index["ccp-0007"])
    assert example.unknown is not None
    assert example.unknown.shape == (64, 64)
    assert 5 < example.unknown.sum() < 1000
    assert not (example.unknown & example.amodal).any()
