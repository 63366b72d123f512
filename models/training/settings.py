"""Settings of a run: defaults of the recipe, overridden by a TOML file, then by `key=value` pairs; and back to TOML."""

from __future__ import annotations

import dataclasses
import tomllib
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.models.config import Recipe
from deocc_bench.models.training.config import LossConfig, TrainConfig
from deocc_bench.models.training.stages import STAGES
from deocc_bench.models.training.terms import recipe_weights


def default_config(stage: str, recipe: Recipe) -> TrainConfig:
    """The defaults of a stage ("mask" or "content") in a recipe: weights of the loss terms and other settings."""
    config = TrainConfig(loss=LossConfig(recipe_weights(STAGES[stage].terms, recipe.name)))
    for key, value in recipe.settings(stage).items():
        config = _laid_over(config, _nested(key, value), "", stage)
    return config


def read_config(
    base: TrainConfig, stage: str, path: str | Path | None = None, pairs: Sequence[str] = ()
) -> TrainConfig:
    """Override `base` by a TOML file, then by `key=value` pairs, e.g. `optim.lr=0.001`, `loss.weights.style=40`.

    Raises:
        InputError: no such file, not TOML, an unknown key (the message suggests the nearest one), or a value of the
            wrong type.
        UsageError: an unknown key or a value of the wrong type in a pair.
    """
    config = base
    if path is not None:
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(path, "no such file", "check the path") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(path, f"is not valid TOML ({error})", "correct the file") from error
        try:
            config = _laid_over(config, content, "", stage)
        except UsageError as error:
            raise InputError(path, str(error), "correct the file") from error
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UsageError(f"--set {pair!r}: expected key=value, e.g. optim.lr=0.001")
        config = _laid_over(config, _nested(key.strip(), _parsed(text)), "", stage)
    return config


def to_toml(config: TrainConfig) -> str:
    """Convert the configuration to TOML text, from which `read_config` restores it exactly."""
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


def _nested(key: str, value: Any) -> Any:
    """`optim.lr` -> `{"optim": {"lr": value}}`."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


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
    terms = [term.name for term in STAGES[stage].terms]
    if not isinstance(change, Mapping):
        raise UsageError(f"'loss.weights' is a section; give one of its keys, e.g. loss.weights.{terms[0]}")
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
