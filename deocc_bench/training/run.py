"""One training run: combines data, network, losses and the benchmark's metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.files import LOCK_FILE, atomic_write, sha256_file
from deocc_bench.core.json_files import dump_json
from deocc_bench.core.lock import RESUME, output_folder
from deocc_bench.training.request import TrainingRequest
from deocc_bench.training.sources import amodal_masks, input_digests, mirrored_templates, open_source, read_templates
from deocc_bench.training.validation import validation_of

if TYPE_CHECKING:
    from deocc_bench.models.training.config import TrainConfig
    from deocc_bench.models.training.data import Source
    from deocc_bench.models.training.distributed import World
    from deocc_bench.models.training.loop import Job
    from deocc_bench.models.training.stages import Stage

# Approximate number of examples that are checked for parsing and complete images.
_PROBES = 8

Tell = Callable[[str], None]


def run_training(
    request: TrainingRequest, config: TrainConfig, out: Path, resume: bool, go_on: str = RESUME
) -> dict[str, Any] | None:
    """Run one training, from the options to the record of the weights; return None in all processes but the first.

    Args:
        resume: continue a stopped run; one that was stopped before its first checkpoint starts again.
        go_on: how the user goes on after a fault, see `core.lock.output_folder`.

    Raises:
        DeoccError: an error that the user can correct.
    """
    import torch

    from deocc_bench.models.training.curves import draw_curves
    from deocc_bench.models.training.distributed import world
    from deocc_bench.models.training.loop import train

    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    resume = resume and not _only_begun(out)
    with (
        world(config.run.device, config.optim.batch) as here,
        output_folder(out, go_on) if here.first else nullcontext(),
    ):
        tell = _teller(here.first)
        record = train(_job(request, config, out, resume=resume, here=here, tell=tell), here)
        if not here.first:
            return None
        atomic_write(out / "train.json", dump_json(record))
        try:
            draw_curves(out)
        except DeoccError as error:
            tell(str(error))
        return record


def _job(request: TrainingRequest, config: TrainConfig, out: Path, *, resume: bool, here: World, tell: Tell) -> Job:
    """Set up network, data and losses of a run."""
    from deocc_bench.models.training.data import Feed
    from deocc_bench.models.training.loop import Job

    network = request.network
    net: Any = network.build(request.stage, request.net, request.start, config.run.seed)
    source, about = open_source(request)
    config, stage = _teachable(config, request.stage, source, here, tell)
    if hasattr(net, "reweighting") and not request.start and not resume:
        _fill_templates(net, request, source)
    identity = {"stage": request.stage, "preset": request.preset, "network": network.settings(net), "data": about}
    if request.start:
        identity["started_from"] = sha256_file(request.start)
    return Job(
        net=net,
        stage=stage,
        feed=Feed(source, config.data, config.data.size or network.size(net), config.run.seed),
        config=config,
        out=out,
        identity=identity,
        save=network.save,
        validation=validation_of(request, out) if here.first or request.val else None,
        resume=resume,
        inputs=input_digests(request, source),
        say=tell,
    )


def _only_begun(out: Path) -> bool:
    """Whether the folder holds only what a run leaves that was stopped before its first checkpoint."""
    if not out.is_dir():
        return False
    first = ("config.toml", "weights.safetensors", LOCK_FILE)
    return all(p.name in first or p.name.startswith(".tmp-") for p in out.iterdir())


def _teachable(
    config: TrainConfig, kind: str, source: Source, here: World, tell: Tell
) -> tuple[TrainConfig, Stage[Any]]:
    """Turn off the terms whose needs are not met, with a message for each need; return the settings and the stage."""
    from deocc_bench.models.training.perceptual import load_vgg
    from deocc_bench.models.training.stages import STAGES
    from deocc_bench.models.training.terms import NEEDS, needing

    stage = STAGES[kind]
    weights = dict(config.loss.weights)
    for need in _missing(config, stage, source):
        off = needing(stage.terms, weights, need)
        if off:
            tell(f"{NEEDS[need]}: training without {', '.join(off)}")
        weights |= dict.fromkeys(off, 0.0)
    loss = dataclasses.replace(config.loss, weights=weights)
    vgg = load_vgg(loss.vgg).to(here.device) if needing(stage.terms, weights, "vgg") else None
    return dataclasses.replace(config, loss=loss), stage(loss, vgg)


def _missing(config: TrainConfig, stage: type[Stage[Any]], source: Source) -> list[str]:
    """The needs of loss terms that this run does not meet.

    Raises:
        InputError: the data does not fit the stage.
    """
    step = max(1, len(source) // _PROBES)
    probes = [source.example(0, i) for i in range(0, len(source), step)]
    if stage.needs_complete and any(e.complete is None for e in probes):
        raise InputError("the data", "has samples without a complete image", "use synthesised data to train content")
    needs = {"parsing": all(e.parsing is not None for e in probes), "vgg": bool(config.loss.vgg)}
    return [need for need, met in needs.items() if not met]


def _fill_templates(net: Any, request: TrainingRequest, source: Source) -> None:
    """Read the network's template masks from the user's file, or fit them to the people of the data."""
    count = net.config.template_count
    if request.templates:
        templates = read_templates(request.templates, count)
    else:
        templates = mirrored_templates(amodal_masks(source), count)
    net.reweighting.templates.copy_(templates)


def _teller(first: bool) -> Tell:
    def tell(line: str) -> None:
        if first:
            click.echo(line, err=True)

    return tell
