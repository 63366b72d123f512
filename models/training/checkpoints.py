"""Everything a run needs to go on exactly where it stopped, in one safetensors file: no pickle, whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from deocc_bench.core.errors import InputError
from deocc_bench.core.files import atomic_write
from deocc_bench.models.safetensors_file import read_safetensors

FORMAT = "deocc-bench checkpoint 1"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        tensors: of all parts, `part/name`.
        optimisers: part -> parameter groups without their parameters.
        run: which run this is of: stage, preset, network and training configuration.
        state: JSON-able progress: step, seconds, history.
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
    """Write all parts in one piece: a run killed meanwhile keeps the file it had.

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
    # Tensors of one network may share memory, which the format refuses; clones never do.
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    about = {"optimisers": groups, "run": dict(run), "state": dict(state)}
    metadata = {"format": FORMAT, **{name: json.dumps(value, sort_keys=True) for name, value in about.items()}}
    atomic_write(path, save(stored, metadata))


def read_checkpoint(path: str | Path) -> Checkpoint:
    """The content of a checkpoint.

    Raises:
        InputError: missing, cut short, or not a checkpoint.
    """
    metadata, tensors = read_safetensors(
        path,
        FORMAT,
        missing="start without --resume, or give the --out of a stopped run",
        broken="start the run anew without --resume",
        other="start the run anew",
    )
    parts = (json.loads(metadata[name]) for name in ("optimisers", "run", "state"))
    return Checkpoint(Path(path), tensors, *parts)


def check_run(checkpoint: Checkpoint, run: Mapping[str, Any]) -> None:
    """That a checkpoint is of this run.

    Raises:
        InputError: another stage, preset, network or configuration; says what differs.
    """
    # What stands at the top (stage, preset) first: the rest follows from it.
    wrong = sorted(_differences(run, checkpoint.run, ""), key=lambda text: text.partition(":")[0].count("."))
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        problem = f"is of another run ({'; '.join(wrong[:3])}{more})"
        raise InputError(checkpoint.path, problem, "resume with its own settings, or choose another --out")


def restore(checkpoint: Checkpoint, modules: Mapping[str, nn.Module], optimisers: Mapping[str, Optimizer]) -> None:
    """Load all parts and torch's random state.

    Raises:
        InputError: tensors are missing or of another shape.
    """
    for part, module in modules.items():
        held = {k.removeprefix(f"{part}/"): v for k, v in checkpoint.tensors.items() if k.startswith(f"{part}/")}
        expected = module.state_dict()
        for name, value in expected.items():
            if name not in held or held[name].shape != value.shape:
                problem = f"its {part} has no {name} of shape {tuple(value.shape)}"
                raise InputError(checkpoint.path, problem, "start the run anew")
        module.load_state_dict(held)
    for part, optimiser in optimisers.items():
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in checkpoint.tensors.items():
            if key.startswith(f"{part}/"):
                _, index, name = key.split("/")
                state.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": state, "param_groups": checkpoint.optimisers[part]})
    torch.set_rng_state(checkpoint.tensors["random"])


def _differences(wanted: Any, found: Any, where: str) -> list[str]:
    # Through JSON, so that a tuple equals the list it becomes.
    wanted, found = json.loads(json.dumps(wanted)), json.loads(json.dumps(found))
    if isinstance(wanted, dict) and isinstance(found, dict):
        keys = sorted(set(wanted) | set(found))
        dot = f"{where}." if where else ""
        return [d for k in keys for d in _differences(wanted.get(k), found.get(k), f"{dot}{k}")]
    return [] if wanted == found else [f"{where}: {found!r} there, {wanted!r} here"]
