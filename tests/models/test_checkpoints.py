"""Checkpoints from somebody else: what is in them is checked before a run goes on from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from deocc_bench.core.errors import InputError
from deocc_bench.models.training.checkpoints import read_checkpoint, restore, write_checkpoint

STATE = {"step": 3, "seconds": 1.5, "best": None, "scores": {}, "losses": {"loss": float("nan")}}


def parts() -> tuple[dict[str, torch.nn.Module], dict[str, torch.optim.Optimizer]]:
    torch.manual_seed(0)
    net = torch.nn.Linear(2, 1)
    optimiser = torch.optim.AdamW(net.parameters(), lr=0.5)
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return {"net": net}, {"optim": optimiser}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "last.ckpt", *parts(), {"stage": "mask"}, STATE)
    return tmp_path / "last.ckpt"


def change(path: Path, name: str, edit: Any) -> None:
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - no mapping
    content = json.loads(metadata[name])
    edit(content)
    save_file(tensors, path, metadata | {name: json.dumps(content)})


def test_a_checkpoint_is_restored(path: Path) -> None:
    modules, optimisers = parts()
    wanted = modules["net"].state_dict()["weight"].clone()
    with torch.no_grad():
        modules["net"].weight.zero_()
    optimisers["optim"].param_groups[0]["lr"] = 0.1
    checkpoint = read_checkpoint(path)
    restore(checkpoint, modules, optimisers)
    assert torch.equal(modules["net"].state_dict()["weight"], wanted)
    assert optimisers["optim"].param_groups[0]["lr"] == 0.5
    assert checkpoint.state["step"] == 3


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda s: s.update(step="3"), "state: step: expected int, got str"),
        (lambda s: s.update(step=-1), "state: step"),
        (lambda s: s.update(seconds=None), "state: seconds: expected float, got null"),
        (lambda s: s.pop("losses"), "state: object missing required field losses"),
        (lambda s: s.update(scores=[1]), "state: scores: expected object, got array"),
    ],
)
def test_a_state_of_other_types_is_refused(path: Path, edit: Any, says: str) -> None:
    change(path, "state", edit)
    with pytest.raises(InputError, match=says):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda o: o.clear(), "KeyError"),
        (lambda o: o.update(optim=5), "TypeError"),
        (lambda o: o.update(optim=[]), "another number of parameter groups"),
        (lambda o: o.update(optim=["a"]), "TypeError"),
        (lambda o: o["optim"][0].update(lr="a"), "a learning rate of 'a'"),
        (lambda o: o["optim"][0].update(lr=float("nan")), "a learning rate of nan"),
        (lambda o: o["optim"][0].update(eps=None), "eps: None in the checkpoint"),
        (lambda o: o["optim"][0].update(params=[0]), "params: "),
    ],
)
def test_optimisers_that_do_not_fit_are_refused(path: Path, edit: Any, says: str) -> None:
    change(path, "optimisers", edit)
    with pytest.raises(InputError, match=says) as caught:
        restore(read_checkpoint(path), *parts())
    assert "restart the run without --resume" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net/weight", torch.zeros(1, 2, dtype=torch.bfloat16)),
        ("net/weight", torch.zeros(2, 1)),
        ("optim/0/exp_avg", torch.zeros(3)),
        ("optim/0/exp_avg", torch.zeros(1, 2, dtype=torch.int64)),
        ("optim/9/step", torch.zeros(())),
        ("optim/x", torch.zeros(())),
        ("random", torch.zeros(4)),
    ],
)
def test_tensors_that_do_not_fit_are_refused(path: Path, name: str, value: torch.Tensor) -> None:
    with safe_open(path, framework="pt") as file:
        metadata, tensors = file.metadata(), {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 - no mapping
    save_file(tensors | {name: value}, path, metadata)
    with pytest.raises(InputError, match="restart the run without --resume"):
        restore(read_checkpoint(path), *parts())
