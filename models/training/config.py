"""The settings of a training run as records; `settings` fills them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deocc_bench.core.errors import UsageError


@dataclass(frozen=True)
class LossConfig:
    """Weights by term, and what shapes the terms.

    Args:
        weights: term -> weight; `MASK_TERMS` and `CONTENT_TERMS` are the terms of each stage.
        visible_weight: weight in the amodal cross-entropy of pixels that the true modal mask holds; 1 treats all alike.
        union: take the terms of the amodal mask on the one that is used in the end, amodal OR modal, as the larger of
            the two margins; otherwise on the amodal head alone, as the paper does.
        composite: how many times the composite counts beside the network's own picture in the content terms.
        vgg: safetensors or state-dict file of VGG-16; without it the terms that need it are off.
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
        lr, weight_decay, beta1, beta2: of the network's optimiser; `adversary_lr` of the adversary's.
        batch: samples a step, over all processes; accumulate: parts that a step is computed in.
        steps: steps of the run; 0 leaves the length to `minutes`.
        minutes: budget of wall-clock time; 0 for none.
        warmup: steps of linear warm-up; final: where the cosine ends, as a share of lr.
        clip: largest norm of the gradient; 0 for none.
        ema: decay of the moving average of the weights, 0 for none; it starts short and grows to this.
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
    """What happens to a sample on its way to the network.

    Args:
        size: side in pixels that the network is trained at; 0 takes the preset's.
        flip: chance of mirroring; warp: chance of a small scaling, shift and rotation, of relative size `warp_size`,
            and of a smooth bending of the whole picture, by shifts of relative size `bend`.
        colour: strength of the random colour change, 0 for none.
        perfect: chance that the true modal mask stands in for the initial one.
        reuse: how many epochs see a sample made on the fly, augmented anew each time, before another is made.
        workers: processes that make samples beside the training one; 0 makes them in it.
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
    """How the run goes.

    Args:
        seed: of initialisation, order and augmentation.
        device: "auto", "cpu" or "cuda"; precision: "float32" or "bfloat16" (autocast; on a CPU without
            bfloat16 instructions many times slower: a step of the plain U-Net took 5.3 s for 0.56 s on an EPYC 7003).
        threads: of torch on a CPU; 0 leaves torch's own number.
        validate: minutes between validations; 0 validates at the end alone.
        save: minutes between checkpoints.
        log: steps between lines of the log.
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
    """All settings of a run, JSON-able through `plain`."""

    loss: LossConfig = field(default_factory=LossConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    data: DataConfig = field(default_factory=DataConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        _check(self)

    def plain(self) -> dict[str, Any]:
        """Nested dicts of plain values."""
        return dataclasses.asdict(self)


def _check(config: TrainConfig) -> None:
    o, d, r = config.optim, config.data, config.run
    rules = [
        (o.name in ("adamw", "adam"), "optim.name must be adamw or adam"),
        (o.lr > 0, "optim.lr must be over 0"),
        (o.batch >= 1 and o.accumulate >= 1, "optim.batch and optim.accumulate must be 1 or more"),
        (o.batch % o.accumulate == 0, "optim.accumulate must divide optim.batch"),
        (0 <= o.ema < 1, "optim.ema must be in [0, 1)"),
        (o.steps >= 0 and o.minutes >= 0 and o.warmup >= 0, "optim.steps, minutes and warmup must not be negative"),
        (all(0 <= p <= 1 for p in (d.flip, d.warp, d.perfect)), "data.flip, warp and perfect are chances in [0, 1]"),
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
