"""One training run: where data, network, losses and the benchmark's metrics are brought together."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.models.training.ablate import UNET
from deocc_bench.training.request import TrainingRequest, build_net, saver, train_size
from deocc_bench.training.sources import amodal_masks, fitted, open_source, read_templates
from deocc_bench.training.validation import validation_of

if TYPE_CHECKING:
    from deocc_bench.models.training.config import TrainConfig
    from deocc_bench.models.training.data import Source

# How many examples are looked at to learn whether the data has parsing and complete images.
_PROBES = 8


def run_training(request: TrainingRequest, config: TrainConfig, out: Path, resume: bool) -> dict[str, Any] | None:
    """One run from the options to the record that goes with the weights; None in all processes but the first.

    Raises:
        DeoccError: whatever a user can mend.
    """
    import torch

    from deocc_bench.core.files import atomic_write, dump_json
    from deocc_bench.models.training.config import to_toml
    from deocc_bench.models.training.curves import draw_curves
    from deocc_bench.models.training.data import Feed
    from deocc_bench.models.training.distributed import world
    from deocc_bench.models.training.loop import Job, train
    from deocc_bench.models.training.stages import ContentStage, MaskStage

    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    with world(config.run.device, config.optim.batch) as here:
        tell = _teller(here.first)
        net: Any = build_net(request, config.run.seed)
        source, about = open_source(request)
        config, vgg = _possible(config, request.stage, source, tell)
        if vgg is not None:
            vgg = vgg.to(here.device)
        if hasattr(net, "reweighting") and not request.start and not resume:
            count = net.config.template_count
            given = read_templates(request.templates, count) if request.templates else None
            net.reweighting.templates.copy_(fitted(amodal_masks(source), count) if given is None else given)
        stage = MaskStage(config.loss, vgg) if request.stage == "mask" else ContentStage(config.loss, vgg)
        settings = dataclasses.asdict(net.config) if request.preset != UNET else {"width": net.width}
        identity = {"stage": request.stage, "preset": request.preset, "network": settings, "data": about}
        if request.start:
            from deocc_bench.core.files import sha256_file

            identity["started_from"] = sha256_file(request.start)
        if here.first:
            atomic_write(out / "config.toml", to_toml(config))
        size = config.data.size or train_size(request, net)
        job = Job(
            net=net,
            stage=stage,
            feed=Feed(source, config.data, size, config.run.seed),
            config=config,
            out=out,
            identity=identity,
            save=saver(request.preset),
            validation=validation_of(request, out) if here.first or request.val else None,
            resume=resume,
            say=tell,
        )
        record = train(job, here)
        if here.first:
            atomic_write(out / "train.json", dump_json(record))
            try:
                draw_curves(out)
            except DeoccError as error:
                tell(str(error))
    return record if here.first else None


def _teller(first: bool) -> Callable[[str], None]:
    def tell(line: str) -> None:
        if first:
            click.echo(line, err=True)

    return tell


def _possible(config: TrainConfig, stage: str, source: Source, tell: Callable[[str], None]) -> tuple[TrainConfig, Any]:
    """The settings without the terms that data or files can't give, each said once; and VGG-16 where it is used."""
    from deocc_bench.models.training.losses import needs_vgg
    from deocc_bench.models.training.perceptual import load_vgg

    step = max(1, len(source) // _PROBES)
    probes = [source.example(0, i) for i in range(0, len(source), step)]
    weights, off = dict(config.loss.weights), []
    if any(e.parsing is None for e in probes):
        off = [n for n in ("parsing_modal", "parsing_amodal", "part_colour") if weights.get(n, 0) > 0]
        if off:
            tell(f"no parsing in the data: trained without {', '.join(off)}")
    if stage == "content" and any(e.complete is None for e in probes):
        raise InputError("the data", "has samples without a complete image", "use synthesised data to train content")
    wanting = needs_vgg(weights)
    if wanting and not config.loss.vgg:
        tell(f"no VGG-16 weights (loss.vgg): trained without {', '.join(wanting)}")
        off += wanting
    weights |= dict.fromkeys(off, 0.0)
    loss = dataclasses.replace(config.loss, weights=weights)
    vgg = load_vgg(config.loss.vgg) if needs_vgg(weights) else None
    return dataclasses.replace(config, loss=loss), vgg
