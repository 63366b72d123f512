"""The commands `deocc-bench train` and `deocc-bench ablate`."""

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
from deocc_bench.training.sources import amodal_masks, mirrored_templates, open_source

if TYPE_CHECKING:
    from deocc_bench.models.training.config import TrainConfig

_PRESETS_HELP = f"The network: {', '.join(PRESETS)}; for masks also {UNET}."


def _shared(command: Callable[..., None]) -> Callable[..., None]:
    """The options that the commands of this module share."""
    folder = click.Path(path_type=Path)
    options = [
        click.option("--preset", default=DEFAULT_PRESET, show_default=True, help=_PRESETS_HELP),
        click.option(
            "--out",
            required=True,
            type=folder,
            help="Folder of the run: a new one, or with --resume that of a stopped run.",
        ),
        click.option("--data", type=folder, help="Dataset folder to train on."),
        click.option("--split", default="train", show_default=True, help="Split of the dataset or of the photos."),
        click.option(
            "--humans",
            multiple=True,
            metavar="KIND:PATH",
            help="Source of people, to make samples on the fly instead of --data. Repeatable.",
        ),
        click.option(
            "--occluders",
            multiple=True,
            metavar="KIND:PATH",
            help="Source of occluders for samples made on the fly. Repeatable.",
        ),
        click.option(
            "--holdout",
            default=DEFAULTS.holdout,
            metavar="N",
            help="Exclude photos whose number is divisible by N from training.",
        ),
        click.option(
            "--ratio",
            default=ratio_text(DEFAULTS.ratios),
            show_default=True,
            help="Occlusion ratio; same values as `synth --ratio`.",
        ),
        click.option(
            "--occluders-per-sample",
            "per_sample",
            default=count_range_text(DEFAULTS.per_sample),
            show_default=True,
            metavar="N|LOW-HIGH",
            help="Number of occluders per sample; same values as in `synth`.",
        ),
        click.option(
            "--placement",
            default=DEFAULTS.placement,
            show_default=True,
            help="Placement of occluders; same values as `synth --placement`.",
        ),
        click.option(
            "--initial",
            default=DEFAULTS.initial,
            show_default=True,
            help="Initial masks; same values as `synth --initial`.",
        ),
        click.option(
            "--allow-bags", is_flag=True, help="Include people with bags; regions occluded by bags are ignored."
        ),
        click.option(
            "--synth-seed", default=DEFAULTS.seed, show_default=True, help="Seed of the samples made on the fly."
        ),
        click.option("--val", type=folder, help="Dataset folder to validate on."),
        click.option("--val-split", default="val", show_default=True, help="Split of the validation dataset."),
        click.option("--val-limit", type=click.IntRange(min=1), help="Validate on the first N samples only."),
        click.option(
            "--templates",
            type=folder,
            help="File of template masks from `train templates`; by default they are fitted to the training data.",
        ),
        click.option("--start", type=folder, help="Initial weights; random without this option."),
        click.option(
            "--net", multiple=True, metavar="KEY=VALUE", help="Network setting, e.g. branches=false. Repeatable."
        ),
        click.option("--config", "file", type=folder, help="TOML file with training settings."),
        click.option(
            "--set",
            "pairs",
            multiple=True,
            metavar="KEY=VALUE",
            help="A training setting, e.g. optim.lr=0.001.",
        ),
        click.option("--steps", type=click.IntRange(min=1), help="Number of training steps."),
        click.option("--minutes", type=float, help="Wall-clock budget of the run; the schedule adapts to it."),
        click.option("--seed", type=int, help="Seed of initialisation, sample order and augmentation."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def _begin(stage: str, options: Mapping[str, Any]) -> tuple[TrainingRequest, TrainConfig]:
    """Convert the shared options to a request and the training settings."""
    from deocc_bench.models.training.settings import default_config, read_config

    request, settings = _split_options(stage, options)
    named = {"optim.steps": settings["steps"], "optim.minutes": settings["minutes"], "run.seed": settings["seed"]}
    pairs = (*settings["pairs"], *(f"{k}={v}" for k, v in named.items() if v is not None))
    return request, read_config(default_config(stage, request.network.recipe), stage, settings["file"], pairs)


def _split_options(stage: str, options: Mapping[str, Any]) -> tuple[TrainingRequest, dict[str, Any]]:
    """The options as a request, and those that are not part of it."""
    names = {f.name for f in dataclasses.fields(TrainingRequest)}
    request = TrainingRequest(stage=stage, **{k: v for k, v in options.items() if k in names})
    return request, {k: v for k, v in options.items() if k not in names}


@click.group(short_help="Train a stage of the network, or fit template masks.")
def train() -> None:
    """Train a stage of the network on a dataset folder or on samples made on the fly.

    Use torchrun to train with several processes. The folder of a run contains weights.safetensors (for `evaluate
    two-stage --option weights=`), last.ckpt (for --resume), log.csv, curves.png, config.toml and train.json.
    """


def _stage_command(stage: str, short_help: str, text: str) -> None:
    @train.command(stage, short_help=short_help, help=text)
    @_shared
    @click.option("--resume", is_flag=True, help="Continue a stopped run exactly where it stopped.")
    def command(*, out: Path, resume: bool, **options: Any) -> None:
        request, config = _begin(stage, options)
        record = run_training(request, config, out, resume)
        if record is not None:
            _print_summary(record, out)


_stage_command(
    "mask",
    "Train stage 1, refined mask completion.",
    "Train stage 1, which predicts modal and amodal masks and parsing from an image and an initial mask.",
)
_stage_command(
    "content",
    "Train stage 2, content recovery.",
    "Train stage 2, which recovers the hidden part of a person from the visible part, true masks and parsing.",
)


@train.command("templates", short_help="Fit the template masks of stage 1.")
@_shared
@click.option("--count", type=click.IntRange(min=1), help="Number of templates; by default that of the preset.")
def train_templates(*, out: Path, count: int | None, **options: Any) -> None:
    """Fit template masks by k-means and write them to the file --out."""
    from safetensors.torch import save

    from deocc_bench.core.files import atomic_write

    request, _ = _split_options("mask", options)
    count = count or preset(request.preset).mask.template_count
    source, _ = open_source(request)
    masks = amodal_masks(source)
    atomic_write(out, save({"templates": mirrored_templates(masks, count)}))
    click.echo(f"wrote {count} templates, fitted to {len(masks)} people, to {out}")


@click.command(short_help="Train a network with each switch and print a table of scores.")
@click.argument("stage", type=click.Choice(("mask", "content")))
@_shared
@click.option("--rows", default="", metavar="NAME,...", help="Train only these rows of the table.")
def ablate(*, stage: str, out: Path, rows: str, **options: Any) -> None:
    """Train the network of a stage with each switch, score it on --val, and print one table.

    All rows have the same budget. Rows that are finished in --out are not trained again.
    """
    request, config = _begin(stage, options)
    if request.val is None:
        raise UsageError("ablate needs --val DATASET to score on")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError("ablate runs in one process; start it without torchrun, or train the rows one by one")
    chosen = rows_of(stage, tuple(r for r in rows.split(",") if r))
    click.echo(to_markdown(run_ablation(request, config, out, chosen)), nl=False)


def _print_summary(record: Mapping[str, Any], out: Path) -> None:
    scores = ", ".join(f"{k} {v:.4f}" for k, v in record["validation"].items())
    minutes = record["seconds"] / 60
    click.echo(f"{record['steps']} steps in {minutes:.1f} min{': ' + scores if scores else ''}")
    click.echo(f"weights: {out / 'weights.safetensors'}")
