"""`deocc-bench train` and `ablate`: the command line of training."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deocc_bench.core.errors import UsageError
from deocc_bench.models.config import DEFAULT_PRESET, PRESETS, preset
from deocc_bench.synth.spec import DEFAULTS, count_range_text, ratio_text
from deocc_bench.training.ablation import rows_of, run_ablation, to_markdown
from deocc_bench.training.networks import UNET
from deocc_bench.training.request import TrainingRequest
from deocc_bench.training.run import run_training
from deocc_bench.training.sources import amodal_masks, fitted, open_source

if TYPE_CHECKING:
    from deocc_bench.models.training.config import TrainConfig

_PRESETS_HELP = f"One of {', '.join(PRESETS)}; for masks also {UNET}."


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """The options that the commands of this module share."""
    folder = click.Path(path_type=Path)
    options = [
        click.option("--preset", default=DEFAULT_PRESET, show_default=True, help=_PRESETS_HELP),
        click.option(
            "--out", required=True, type=folder, help="The run's folder; new, or a stopped run's with --resume."
        ),
        click.option("--data", type=folder, help="A dataset folder to learn from."),
        click.option("--split", default="train", show_default=True, help="Of the data or the photos."),
        click.option(
            "--humans", multiple=True, metavar="KIND:PATH", help="Instead: make samples on the fly. Repeatable."
        ),
        click.option("--occluders", multiple=True, metavar="KIND:PATH", help="Cut-out objects. Repeatable."),
        click.option(
            "--holdout", default=DEFAULTS.holdout, metavar="N", help="Never learn from photos whose number N divides."
        ),
        click.option(
            "--ratio", default=ratio_text(DEFAULTS.ratios), show_default=True, help="Occlusion ratio, as for synth."
        ),
        click.option(
            "--occluders-per-sample",
            "per_sample",
            default=count_range_text(DEFAULTS.per_sample),
            show_default=True,
            metavar="N|LOW-HIGH",
        ),
        click.option("--placement", default=DEFAULTS.placement, show_default=True, help="Of occluders, as for synth."),
        click.option("--initial", default=DEFAULTS.initial, show_default=True, help="Initial masks, as for synth."),
        click.option("--allow-bags", is_flag=True, help="Learn from people with bags too; what bags hide is ignored."),
        click.option(
            "--synth-seed", default=DEFAULTS.seed, show_default=True, help="Seed of the samples made on the fly."
        ),
        click.option("--val", type=folder, help="A dataset folder to validate on."),
        click.option("--val-split", default="val", show_default=True),
        click.option("--val-limit", type=click.IntRange(min=1), help="Validate on the first N samples only."),
        click.option("--templates", type=folder, help="Template masks of `train templates`; else fitted to the data."),
        click.option("--start", type=folder, help="Weights to begin with."),
        click.option("--net", multiple=True, metavar="KEY=VALUE", help="A network setting, e.g. branches=false."),
        click.option("--config", "file", type=folder, help="TOML file of training settings."),
        click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE", help="A setting, e.g. optim.lr=0.001."),
        click.option("--steps", type=click.IntRange(min=1), help="Steps of the run."),
        click.option("--minutes", type=float, help="Wall-clock budget of the run; the schedule is fitted to it."),
        click.option("--seed", type=int, help="Of initialisation, order and augmentation."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _begin(stage: str, options: Mapping[str, Any]) -> tuple[TrainingRequest, TrainConfig]:
    """The shared options, apart: what is trained on what, and the settings of the training."""
    from deocc_bench.models.training.settings import default_config, read_config

    request, settings = _apart(stage, options)
    named = {"optim.steps": settings["steps"], "optim.minutes": settings["minutes"], "run.seed": settings["seed"]}
    pairs = (*settings["pairs"], *(f"{k}={v}" for k, v in named.items() if v is not None))
    return request, read_config(default_config(stage, request.network.recipe), stage, settings["file"], pairs)


def _apart(stage: str, options: Mapping[str, Any]) -> tuple[TrainingRequest, dict[str, Any]]:
    asked = {f.name for f in dataclasses.fields(TrainingRequest)}
    request = TrainingRequest(stage=stage, **{k: v for k, v in options.items() if k in asked})
    return request, {k: v for k, v in options.items() if k not in asked}


@click.group(short_help="Train a stage of the network, or fit template masks.")
def train() -> None:
    """Train a stage of the network from a dataset folder or on the fly; several processes under torchrun.

    A run's folder holds weights.safetensors (what `evaluate two-stage --option weights=` takes), last.ckpt (for
    --resume), log.csv, curves.png, config.toml and train.json.
    """


def _stage_command(stage: str, short_help: str, text: str) -> None:
    @train.command(stage, short_help=short_help, help=text)
    @_shared
    @click.option("--resume", is_flag=True, help="Go on with a stopped run, exactly where it was.")
    def command(out: Path, resume: bool, **options: Any) -> None:
        request, config = _begin(stage, options)
        record = run_training(request, config, out, resume)
        if record is not None:
            _told(record, out)


_stage_command(
    "mask",
    "Train stage 1, the refined mask completion.",
    "Train stage 1: from image and initial mask to modal and amodal masks and parsing.",
)
_stage_command(
    "content",
    "Train stage 2, the content recovery.",
    "Train stage 2: from the visible part, true masks and parsing to what is hidden.",
)


@train.command("templates", short_help="Fit the template masks of stage 1.")
@_shared
@click.option("--count", type=click.IntRange(min=1), help="How many; by default what the preset's network has.")
def train_templates(out: Path, count: int | None, **options: Any) -> None:
    """Fit template masks by k-means and write them to the file --out."""
    from safetensors.torch import save

    from deocc_bench.core.files import atomic_write

    request, _ = _apart("mask", options)
    count = count or preset(request.preset).mask.template_count
    source, _ = open_source(request)
    masks = amodal_masks(source)
    atomic_write(out, save({"templates": fitted(masks, count)}))
    click.echo(f"{count} templates of {len(masks)} people in {out}")


@click.command(short_help="Train and score the switches of a network, one table.")
@click.argument("stage", type=click.Choice(("mask", "content")))
@_shared
@click.option("--rows", default="", metavar="NAME,...", help="Only these rows.")
def ablate(stage: str, out: Path, rows: str, **options: Any) -> None:
    """Train each switch of a stage's network under one budget, score it on --val, and print one table.

    Rows that are finished in --out are not trained again.
    """
    request, config = _begin(stage, options)
    if request.val is None:
        raise UsageError("ablate needs --val DATASET to score on")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("ablate runs in one process; start it without torchrun, or train its rows one by one")
    chosen = rows_of(stage, tuple(r for r in rows.split(",") if r))
    click.echo(to_markdown(run_ablation(request, config, out, chosen)), nl=False)


def _told(record: Mapping[str, Any], out: Path) -> None:
    scores = ", ".join(f"{k} {v:.4f}" for k, v in record["validation"].items())
    minutes = record["seconds"] / 60
    click.echo(f"{record['steps']} steps in {minutes:.1f} min{': ' + scores if scores else ''}")
    click.echo(f"weights {out / 'weights.safetensors'}")
