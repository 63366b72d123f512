"""What a training run is asked for: defaults by stage, a TOML file over them, `key=value` pairs over that."""

from __future__ import annotations

import dataclasses
import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.registry import unknown

# Weights of the loss terms, after the paper's supplement: all terms of each stage. 0 leaves a term out.
MASK_WEIGHTS: Mapping[str, float] = {
    "modal": 0.5,
    "amodal": 0.5,
    "parsing_modal": 0.1,
    "parsing_amodal": 0.1,
    "l1": 0.1,
    "perceptual": 0.1,
    "adversarial": 1.0,
    "invisible_iou": 0.0,
}
CONTENT_WEIGHTS: Mapping[str, float] = {
    "l1": 2.0,
    "correlation": 1.0,
    "style": 40.0,
    "adversarial": 1.0,
    "hole_l1": 0.0,
    "hole_ssim": 0.0,
    "part_colour": 0.0,
}


@dataclass(frozen=True)
class LossConfig:
    """Weights by term, and what shapes the terms.

    Args:
        weights: term -> weight; see `MASK_WEIGHTS` and `CONTENT_WEIGHTS` for the terms of each stage.
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


def default_config(stage: str, preset: str) -> TrainConfig:
    """The defaults of a stage ("mask" or "content"): the paper's losses, or those `tiny` was found to learn best with.

    `paper` and `small` follow the supplement; `tiny` (and the baselines that are compared with it) leave out the
    adversary and what needs VGG-16, and add terms on the invisible region, which is what is measured.
    """
    if preset in ("paper", "small"):
        weights = MASK_WEIGHTS if stage == "mask" else CONTENT_WEIGHTS
        optim = OptimConfig(lr=1e-3 if stage == "mask" else 2e-4, batch=16)
        return TrainConfig(loss=LossConfig(dict(weights)), optim=optim)
    if stage == "mask":
        weights = {
            **dict.fromkeys(MASK_WEIGHTS, 0.0),
            "modal": 1.0,
            "amodal": 1.0,
            "parsing_modal": 0.1,
            "parsing_amodal": 0.1,
            "invisible_iou": 0.5,
        }
        return TrainConfig(
            loss=LossConfig(weights, visible_weight=0.3),
            optim=OptimConfig(lr=2e-3, weight_decay=0.02),
            data=DataConfig(reuse=3),
        )
    weights = {**dict.fromkeys(CONTENT_WEIGHTS, 0.0), "hole_l1": 1.0, "hole_ssim": 0.7, "part_colour": 0.5}
    return TrainConfig(
        loss=LossConfig(weights),
        optim=OptimConfig(lr=2e-3, weight_decay=0.01, batch=8),
        data=DataConfig(reuse=3),
    )


def weights_of(stage: str) -> Mapping[str, float]:
    """The terms that a stage knows, with the paper's weights."""
    return MASK_WEIGHTS if stage == "mask" else CONTENT_WEIGHTS


def read_config(
    base: TrainConfig, stage: str, path: str | Path | None = None, pairs: Sequence[str] = ()
) -> TrainConfig:
    """`base` with a TOML file and then `key=value` pairs laid over it, e.g. `optim.lr=0.001`, `loss.weights.style=40`.

    Raises:
        InputError: no such file, not TOML, a key that is not known (with the nearest one), or a value of another type.
        UsageError: the same in a pair.
    """
    config = base
    if path is not None:
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(path, "no such file", "check the path") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(path, f"not a TOML file that can be read ({error})", "mend that line") from error
        try:
            config = _laid_over(config, content, "", stage)
        except UsageError as error:
            raise InputError(path, str(error), "mend the file") from error
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair!r}: expected key=value, e.g. optim.lr=0.001")
        nested: Any = _parsed(text)
        for part in reversed(key.strip().split(".")):
            nested = {part: nested}
        config = _laid_over(config, nested, "", stage)
    return config


def to_toml(config: TrainConfig) -> str:
    """The configuration as TOML text that `read_config` reads back to the same one."""
    lines: list[str] = []

    def write(table: Mapping[str, Any], name: str) -> None:
        lines.append(f"[{name}]")
        lines.extend(f"{k} = {_toml_value(v)}" for k, v in table.items() if not isinstance(v, Mapping))
        lines.append("")
        for k, v in table.items():
            if isinstance(v, Mapping):
                write(v, f"{name}.{k}")

    for section, table in config.plain().items():
        write(table, section)
    return "\n".join(lines).rstrip() + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return repr(value)


def _parsed(text: str) -> Any:
    try:
        return tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        return text


def _laid_over(value: Any, changes: Any, where: str, stage: str) -> Any:
    if not isinstance(changes, Mapping):
        raise UsageError(f"'{where}' is a section; give one of its keys, e.g. {where}.{next(iter(vars(value)))}")
    known = [f.name for f in dataclasses.fields(value)]
    hints = get_type_hints(type(value))
    new: dict[str, Any] = {}
    for name, change in changes.items():
        path = f"{where}.{name}" if where else name
        if name not in known:
            raise UsageError(unknown("setting", path, [f"{where}.{k}" if where else k for k in known]))
        old = getattr(value, name)
        if dataclasses.is_dataclass(old):
            new[name] = _laid_over(old, change, path, stage)
        elif path == "loss.weights":
            new[name] = {**old, **_weights(change, stage)}
        else:
            new[name] = _typed(change, hints[name], path)
    return dataclasses.replace(value, **new)


def _weights(change: Any, stage: str) -> dict[str, float]:
    terms = weights_of(stage)
    if not isinstance(change, Mapping):
        raise UsageError(f"'loss.weights' is a section; give one of its keys, e.g. loss.weights.{next(iter(terms))}")
    for name in change:
        if name not in terms:
            raise UsageError(unknown(f"term of the {stage} loss", name, terms))
    return {name: _typed(v, float, f"loss.weights.{name}") for name, v in change.items()}


def _typed(value: Any, kind: Any, path: str) -> Any:
    kinds = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise UsageError(f"'{path}' takes {' or '.join(k.__name__ for k in kinds)}, got {value!r}")
    return value


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
