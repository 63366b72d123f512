"""Checkpoints: the complete state of a run in one safetensors file, written atomically and without pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from deocc_bench.core.errors import InputError, describe_error
from deocc_bench.core.files import atomic_write
from deocc_bench.core.json_files import explained, parse_json, require_object
from deocc_bench.models.safetensors_file import read_safetensors

FORMAT = "deocc-bench checkpoint 1"
_CURE = "restart the run without --resume"


class Progress(msgspec.Struct):
    """The type of a checkpoint's `state`; losses and scores may be NaN."""

    step: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    seconds: Annotated[float, msgspec.Meta(ge=0)]
    best: float | None
    scores: dict[str, float]
    losses: dict[str, float]


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file.

    Args:
        path: the file.
        tensors: `part/name` -> tensor, for all parts.
        optimisers: part -> parameter groups without their parameters.
        run: the identity of the run: stage, preset, network and training configuration.
        state: progress of the run, with the fields of `Progress`.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    optimisers: Mapping[str, Any]
    run: Mapping[str, Any]
    state: Mapping[str, Any]


def write_checkpoint(
    path: str | Path,
    modules: Mapping[str, nn.Module],
    optimisers: Mapping[str, Optimizer],
    run: Mapping[str, Any],
    state: Mapping[str, Any],
) -> None:
    """Write all parts atomically: a run that is killed meanwhile keeps its previous file.

    Raises:
        DeoccError: the disk is full or the folder can't be written.
    """
    tensors: dict[str, Tensor] = {"random": torch.get_rng_state()}
    for part, module in modules.items():
        tensors |= {f"{part}/{name}": value for name, value in module.state_dict().items()}
    groups = {}
    for part, optimiser in optimisers.items():
        content = optimiser.state_dict()
        groups[part] = content["param_groups"]
        for i, values in content["state"].items():
            tensors |= {f"{part}/{i}/{name}": torch.as_tensor(value) for name, value in values.items()}
    # Tensors of one network may share memory, which the format does not allow; clones never share it.
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    about = {"optimisers": groups, "run": dict(run), "state": dict(state)}
    metadata = {"format": FORMAT, **{name: json.dumps(value, sort_keys=True) for name, value in about.items()}}
    atomic_write(path, save(stored, metadata))


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        InputError: missing, incomplete, or not a checkpoint.
    """
    metadata, tensors = read_safetensors(
        path,
        FORMAT,
        missing="start without --resume, or give the --out of a stopped run",
        broken=_CURE,
        other=_CURE,
    )
    parts = []
    for name in ("optimisers", "run", "state"):
        at = f"{path}: {name}"
        parts.append(require_object(parse_json(metadata.get(name, "null"), at), at, _CURE))
    try:
        msgspec.convert(parts[2], Progress)
    except msgspec.ValidationError as error:
        raise InputError(path, f"state: {explained(str(error))}", _CURE) from error
    return Checkpoint(Path(path), tensors, *parts)


def check_run(checkpoint: Checkpoint, run: Mapping[str, Any]) -> None:
    """Check that a checkpoint belongs to this run.

    Raises:
        InputError: stage, preset, network or configuration differ; the message lists the differences.
    """
    # Top-level entries (stage, preset) first, because the other differences follow from them.
    wrong = sorted(_differences(run, checkpoint.run, ""), key=lambda text: text.partition(":")[0].count("."))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        problem = f"belongs to a different run ({'; '.join(wrong[:3])}{more})"
        raise InputError(checkpoint.path, problem, "resume with the settings of that run, or choose another --out")


def restore(checkpoint: Checkpoint, modules: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]) -> None:
    """Load all parts and torch's random state.

    Raises:
        InputError: tensors are missing, or the state does not fit the networks and optimisers.
    """
    try:
        _restore(checkpoint, modules, optimisers)
    except (KeyError, ValueError, TypeError, RuntimeError, IndexError, AttributeError) as error:
        problem = f"its state does not fit this run ({describe_error(error)})"
        raise InputError(checkpoint.path, problem, _CURE) from error


def _restore(checkpoint: Checkpoint, modules: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]) -> None:
    for part, module in modules.items():
        found = {k.removeprefix(f"{part}/"): v for k, v in checkpoint.tensors.items() if k.startswith(f"{part}/")}
        expected = module.state_dict()
        for name, value in expected.items():
            if name not in found or found[name].shape != value.shape or found[name].dtype != value.dtype:
                problem = f"its {part} has no {name} of shape {tuple(value.shape)} and type {value.dtype}"
                raise InputError(checkpoint.path, problem, _CURE)
        module.load_state_dict(found)
    for part, optimiser in optimisers.items():
        _check_groups(checkpoint.optimisers[part], optimiser.state_dict()["param_groups"])
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in checkpoint.tensors.items():
            if key.startswith(f"{part}/"):
                _, index, name = key.split("/")
                state.setdefault(int(index), {})[name] = value
        _check_moments(state, [p for group in optimiser.param_groups for p in group["params"]])
        optimiser.load_state_dict({"state": state, "param_groups": checkpoint.optimisers[part]})
    torch.set_rng_state(checkpoint.tensors["random"])


def _check_moments(state: Mapping[int, Mapping[str, Tensor]], parameters: list[Tensor]) -> None:
    """Adam needs a step and two moments of the parameter's shape; a parameter without a gradient has none."""
    for i, values in state.items():
        shapes = {name: tuple(value.shape) for name, value in values.items() if value.dtype == torch.float32}
        parameter = parameters[i]
        if shapes != {"step": (), "exp_avg": tuple(parameter.shape), "exp_avg_sq": tuple(parameter.shape)}:
            raise ValueError(f"the moments of parameter {i}")


def _check_groups(found: Any, expected: list[dict[str, Any]]) -> None:
    """Only the learning rate changes during a run; a group with other values would fail at the next step."""
    if len(found) != len(expected):
        raise ValueError("another number of parameter groups")
    for group, own in zip(found, expected, strict=True):
        rate = group["lr"]
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 <= rate < math.inf:
            raise ValueError(f"a learning rate of {rate!r}")
        wrong = _differences({**own, "lr": rate}, group, "")
        if wrong:
            raise ValueError(wrong[0])


def _differences(wanted: Any, found: Any, where: str) -> list[str]:
    # Convert both through JSON, so that a tuple equals the list that was stored for it.
    wanted, found = json.loads(json.dumps(wanted)), json.loads(json.dumps(found))
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = sorted(set(wanted) | set(found))
        dot = f"{where}." if where else ""
        return [d for k in keys for d in _differences(wanted.get(k), found.get(k), f"{dot}{k}")]
    return [] if wanted == found else [f"{where}: {found!r} in the checkpoint, {wanted!r} here"]
