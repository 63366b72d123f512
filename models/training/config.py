"""The settings of a training run as dataclasses; `settings` fills them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deocc_bench.core.errors import UsageError


@dataclass(frozen=True)
class LossConfig:
    """Weights and options of the loss terms.

    Args:
        weights: term -> weight; `MASK_TERMS` and `CONTENT_TERMS` list the terms of each stage.
        visible_weight: weight of the pixels of the true modal mask in the amodal cross-entropy; with 1, all pixels have
            equal weight.
        union: compute the amodal terms on the final mask, amodal OR modal (the larger of the two margins), instead of
            on the amodal head only, as the paper does.
        composite: weight of the composite relative to the network's own image in the content terms.
        vgg: safetensors or state-dict file of VGG-16; without it, the terms that need it are off.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    visible_weight: float = 1.0
    union: bool = False
    composite: float = 5.0
    vgg: str = ""


@dataclass(frozen=True)
class OptimConfig:
    """The optimiser and its schedule.

    Args:
        name: "adamw" or "adam".
        lr, weight_decay, beta1, beta2: parameters of the network's optimiser.
        adversary_lr: learning rate of the adversary's optimiser.
        batch: samples per step, over all processes.
        accumulate: number of parts in which a step is computed (gradient accumulation).
        steps: length of the run; with 0, `minutes` decides.
        minutes: budget of wall-clock time; 0 for none.
        warmup: steps of linear warm-up.
        final: learning rate at the end of the cosine schedule, as a share of lr.
        clip: maximum norm of the gradient; 0 for no limit.
        ema: decay of the moving average of the weights, 0 for none; the decay starts lower and grows to this value.
    """

    name: str = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    adversary_lr: float = 1e-4
    batch: int = 16
    accumulate: int = 1
    steps: int = 0
    minutes: float = 0.0
    warmup: int = 100
    final: float = 0.01
    clip: float = 1.0
    ema: float = 0.998


@dataclass(frozen=True)
class DataConfig:
    """Sample size, augmentation and worker processes.

    Args:
        size: side of the training images in pixels; 0 uses the preset's size.
        flip: probability of mirroring.
        warp: probability of a small affine map (scale, shift and rotation) and, if `bend` is not 0, a smooth bending.
        warp_size: relative size of the affine map.
        bend: relative size of the shifts of the smooth bending.
        colour: strength of the random colour change, 0 for none.
        perfect: probability that the true modal mask replaces the initial one.
        reuse: number of epochs that use a sample made on the fly, with a new augmentation each time, before another
            sample is made.
        workers: number of worker processes that make samples; with 0 the training process makes them.
    """

    size: int = 0
    flip: float = 0.5
    warp: float = 0.5
    warp_size: float = 0.06
    bend: float = 0.0
    colour: float = 1.0
    perfect: float = 0.4
    reuse: int = 1
    workers: int = 1


@dataclass(frozen=True)
class RunConfig:
    """Settings of the run itself.

    Args:
        seed: seed of initialisation, sample order and augmentation.
        device: "auto", "cpu" or "cuda".
        precision: "float32" or "bfloat16" (autocast). bfloat16 is many times slower on a CPU without bfloat16
            instructions: a step of the plain U-Net took 5.3 s instead of 0.56 s on an EPYC 7003.
        threads: torch threads on a CPU; 0 keeps torch's default.
        validate: minutes between validations; with 0 the run validates only at the end.
        save: minutes between checkpoints.
        log: steps between rows of the log.
    """

    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    threads: int = 0
    validate: float = 5.0
    save: float = 2.0
    log: int = 20


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a run; `plain` returns them in JSON-able form."""

    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        _check(self)

    def plain(self) -> dict[str, Any]:
        """Return the settings as nested dicts of plain values."""
        return dataclasses.asdict(self)


def _check(config: TrainConfig) -> None:
    o, d, r = config.optim, config.data, config.run
    rules = [
        (o.name in ("adamw", "adam"), "optim.name must be adamw or adam"),
        (o.lr > 0, "optim.lr must be positive"),
        (o.batch >= 1 and o.accumulate >= 1, "optim.batch and optim.accumulate must be 1 or more"),
        (o.batch % o.accumulate == 0, "optim.accumulate must divide optim.batch"),
        (0 <= o.ema < 1, "optim.ema must be in [0, 1)"),
        (o.steps >= 0 and o.minutes >= 0 and o.warmup >= 0, "optim.steps, minutes and warmup must not be negative"),
        (all(0 <= p <= 1 for p in (d.flip, d.warp, d.perfect)), "data.flip, warp and perfect must be in [0, 1]"),
        (d.size == 0 or d.size >= 32, "data.size must be 0 or at least 32"),
        (d.workers >= 0, "data.workers must not be negative"),
        (d.reuse >= 1, "data.reuse must be 1 or more"),
        (r.precision in ("float32", "bfloat16"), "run.precision must be float32 or bfloat16"),
        (r.device in ("auto", "cpu", "cuda"), "run.device must be auto, cpu or cuda"),
        (r.log >= 1, "run.log must be 1 or more"),
        (all(w >= 0 for w in config.loss.weights.values()), "loss.weights must not be negative"),
    ]
    for good, problem in rules:
        if not good:
            raise UsageError(problem)
