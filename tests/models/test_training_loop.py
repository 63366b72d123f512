"""The loop: overfits, resumes exactly, stops at NaN, survives being killed, and shares its work among processes."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from torch import nn

from deocc_bench.core import files
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.models.config import QUICK, ContentConfig, MaskConfig
from deocc_bench.models.training import loop
from deocc_bench.models.training.checkpoints import read_checkpoint
from deocc_bench.models.training.config import (
    DataConfig,
    LossConfig,
    OptimConfig,
    RunConfig,
    TrainConfig,
)
from deocc_bench.models.training.curves import PICTURE, draw_curves, read_log
from deocc_bench.models.training.data import Example, Feed
from deocc_bench.models.training.distributed import World
from deocc_bench.models.training.loop import CHECKPOINT, WEIGHTS, Job, Validation, train
from deocc_bench.models.training.schedule import MovingAverage
from deocc_bench.models.training.settings import default_config
from deocc_bench.models.training.stages import ContentStage, MaskStage, Stage
from deocc_bench.models.weights import build, load_weights, save_weights

ALONE = World(0, 1, torch.device("cpu"))
MASK = MaskConfig(width=4, branch_width=4, modal_width=4, amodal_width=4, template_width=4, template_count=8, size=32)
BARE = dataclasses.replace(MASK, width=12, branches=False)
CONTENT = ContentConfig(width=8, window_mean=True, size=128, pga="none")
PLAIN = DataConfig(flip=0, warp=0, colour=0, perfect=0, workers=0)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Drawn:
    """Ellipses in two colours, part of each hidden by a bar; the same every epoch."""

    def __init__(self, size: int, count: int = 8) -> None:
        self.size, self.count = size, count

    def __len__(self) -> int:
        return self.count

    def example(self, epoch: int, index: int) -> Example:
        s, random = self.size, np.random.default_rng(index)
        canvas = np.zeros((s, s), np.uint8)
        centre = tuple(int(v) for v in random.integers(int(0.4 * s), int(0.6 * s), 2))
        cv2.ellipse(canvas, centre, (s // 6, s // 3), 0, 0, 360, 1, -1)
        amodal = canvas > 0
        complete = np.full((s, s, 3), 60, np.uint8)
        complete[amodal] = (200, 80, 40)
        cover = np.zeros((s, s), bool)
        cover[centre[1] : centre[1] + s // 5] = True
        image = complete.copy()
        image[cover] = (30, 160, 220)
        modal = amodal & ~cover
        parsing = np.where(amodal, np.uint8(5), np.uint8(0))
        return Example(image, amodal, modal, complete, modal.copy(), parsing)


def config(steps: int, batch: int = 4, **loss: float) -> TrainConfig:
    weights = loss or {"modal": 1.0, "amodal": 1.0, "parsing_amodal": 0.1, "parsing_modal": 0.1}
    optim = OptimConfig(lr=1e-2, steps=steps, batch=batch, warmup=2, weight_decay=0.0, ema=0.9)
    return TrainConfig(LossConfig(weights), optim, PLAIN, RunConfig(log=2, save=0, validate=0))


def job(out: Path, settings: TrainConfig, net: nn.Module | None = None, stage: Stage | None = None, **more: Any) -> Job:
    made = net or build(MASK, seed=0)
    stage = stage or MaskStage(settings.loss)
    size = 128 if stage.kind == "content" else 32

    def save(weights: Any, path: Path, training: dict[str, Any]) -> None:
        save_weights(path, weights, "tiny", training)

    feed = Feed(Drawn(size), settings.data, size, settings.run.seed)
    return Job(made, stage, feed, settings, out, {"preset": "tiny"}, save, say=lambda line: None, **more)


def rarely(settings: TrainConfig) -> TrainConfig:
    """Log and save at the ends only."""
    return dataclasses.replace(settings, run=dataclasses.replace(settings.run, log=20, save=60))


@pytest.mark.slow
def test_mask_stage_overfits_eight_samples(tmp_path: Path) -> None:
    settings = config(120, 8, modal=1.0, amodal=1.0, invisible_iou=0.5)
    train(job(tmp_path, rarely(settings), build(BARE, seed=0)), ALONE)
    rows = read_log(tmp_path / "log.csv")
    assert rows[-1]["loss"] < 0.05 * rows[0]["loss"]
    net, info = load_weights(tmp_path / WEIGHTS)
    assert info.training["steps"] == 120
    with torch.inference_mode():
        for i in range(8):
            e = Drawn(32).example(0, i)
            image = torch.from_numpy(e.image).permute(2, 0, 1)[None].float() / 127.5 - 1
            out = net(image, torch.from_numpy(e.modal)[None, None].float())
            found = (out.amodal[0, 1] > out.amodal[0, 0]).numpy()
            assert (found & e.amodal).sum() / (found | e.amodal).sum() > 0.97


@pytest.mark.slow
def test_content_stage_overfits_eight_samples(tmp_path: Path) -> None:
    settings = rarely(config(60, 8, hole_l1=1.0))
    train(job(tmp_path, settings, build(CONTENT, seed=0), ContentStage(settings.loss)), ALONE)
    rows = read_log(tmp_path / "log.csv")
    assert rows[-1]["hole_l1"] < 0.1 * rows[0]["hole_l1"]


@pytest.mark.slow
def test_a_resumed_run_is_the_undisturbed_run(tmp_path: Path) -> None:
    def settings() -> TrainConfig:
        made = config(8, modal=1.0, amodal=1.0, adversarial=0.1)
        return dataclasses.replace(made, data=DataConfig(workers=0, reuse=2))

    train(job(tmp_path / "whole", settings()), ALONE)

    class Stop(Exception):
        pass

    def stop_after_four(line: str) -> None:
        if line.startswith("step 6"):
            raise Stop

    cut = job(tmp_path / "cut", settings())
    cut.say = stop_after_four
    with pytest.raises(Stop):
        train(cut, ALONE)
    assert read_checkpoint(tmp_path / "cut" / CHECKPOINT).state["step"] == 4
    train(job(tmp_path / "cut", settings(), build(MASK, seed=9), resume=True), ALONE)
    clock = ("seconds", "samples_per_second")
    whole, resumed = (
        [{k: v for k, v in row.items() if k not in clock} for row in read_log(tmp_path / name / "log.csv")]
        for name in ("whole", "cut")
    )
    assert [row["step"] for row in whole] == [2, 4, 6, 8]
    assert resumed == whole
    tensors = [read_checkpoint(tmp_path / name / CHECKPOINT).tensors for name in ("whole", "cut")]
    assert set(tensors[0]) == set(tensors[1])
    for name, value in tensors[0].items():
        assert torch.equal(value, tensors[1][name]), name


@pytest.mark.slow
def test_gradient_accumulation_takes_the_same_samples_and_logs_their_mean(tmp_path: Path) -> None:
    settings = config(2)
    frozen = build(MASK, seed=0)
    for m in frozen.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = 0.0
            m.register_forward_pre_hook(lambda module, _: module.eval() and None)
    logs = []
    for name, parts in (("whole", 1), ("parts", 4)):
        one = dataclasses.replace(settings, optim=dataclasses.replace(settings.optim, accumulate=parts))
        train(job(tmp_path / name, one, copy.deepcopy(frozen)), ALONE)
        logs.append(read_log(tmp_path / name / "log.csv")[-1])
    assert logs[0]["loss"] == pytest.approx(logs[1]["loss"], rel=1e-4)
    assert logs[0]["gradient"] == pytest.approx(logs[1]["gradient"], rel=1e-3)


class _FiniteWithoutGradient(torch.autograd.Function):
    """1 forward, NaN backward."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(value)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> torch.Tensor:
        return grad * float("nan")


class Poisoned(MaskStage):
    """A stage that goes wrong at the fifth call: in its loss, in its gradient, or in the adversary's."""

    def __init__(self, loss: LossConfig, where: str) -> None:
        super().__init__(loss)
        self.where, self.calls = where, 0

    def learn(self, net: nn.Module, batch: Any, adversary: nn.Module | None) -> Any:
        terms, judge = super().learn(net, batch, adversary)
        self.calls += 1
        if self.calls != 5:
            return terms, judge
        if self.where == "loss":
            terms["amodal"] = terms["amodal"] * float("nan")
        elif self.where == "gradient":
            terms["amodal"] = _FiniteWithoutGradient.apply(terms["amodal"])
        elif self.where == "adversary":
            return terms, lambda network: judge(network) * float("nan")
        else:
            return terms, lambda network: _FiniteWithoutGradient.apply(judge(network))
        return terms, judge


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("loss", "the amodal is nan"),
        ("gradient", "the norm of the gradient is nan"),
        ("adversary", "the adversary is nan"),
        ("adversary's gradient", "the norm of the adversary's gradient is nan"),
    ],
)
def test_what_is_no_number_stops_the_run_and_keeps_the_last_good_state(tmp_path: Path, where: str, told: str) -> None:
    settings = config(8, modal=1.0, amodal=1.0, adversarial=0.1)
    # A checkpoint after every step: one of the bad step would be seen.
    settings = dataclasses.replace(settings, run=dataclasses.replace(settings.run, log=1))
    with pytest.raises(DeoccError, match=rf"{told} at step 5.*last\.ckpt") as caught:
        train(job(tmp_path, settings, stage=Poisoned(settings.loss, where)), ALONE)
    assert "\n" not in str(caught.value)
    kept = read_checkpoint(tmp_path / CHECKPOINT)
    assert kept.state["step"] == 4
    assert all(bool(torch.isfinite(v).all()) for v in kept.tensors.values() if v.is_floating_point())
    assert train(job(tmp_path, settings, resume=True), ALONE)["steps"] == 8


@pytest.mark.slow
def test_killed_while_saving_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = files.os.replace, []

    def killed(source: str, target: str) -> None:
        if str(target).endswith(CHECKPOINT):
            calls.append(target)
            if len(calls) == 3:
                raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(files.os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        train(job(tmp_path, config(8)), ALONE)
    monkeypatch.undo()
    assert read_checkpoint(tmp_path / CHECKPOINT).state["step"] == 2
    train(job(tmp_path, config(8), resume=True), ALONE)
    assert read_checkpoint(tmp_path / CHECKPOINT).state["step"] == 8
    assert not list(tmp_path.glob(".tmp-*"))


@pytest.mark.parametrize("killed", ["state", "weights"])
def test_killed_between_the_last_state_and_the_last_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: str
) -> None:
    calls, last = itertools.count(1), 10**6

    def interrupted(write: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if next(calls) == last:
                raise KeyboardInterrupt
            return write(*arguments)

        return call

    def run(name: str) -> Job:
        made = job(tmp_path / name, config(4))
        return dataclasses.replace(made, save=interrupted(made.save)) if killed == "weights" else made

    if killed == "state":
        monkeypatch.setattr(loop, "write_checkpoint", interrupted(loop.write_checkpoint))
    train(run("whole"), ALONE)
    calls, last = itertools.count(1), next(calls) - 1
    with pytest.raises(KeyboardInterrupt):
        train(run("cut"), ALONE)
    monkeypatch.undo()
    train(job(tmp_path / "cut", config(4), resume=True), ALONE)
    whole, cut = (load_weights(tmp_path / name / WEIGHTS)[0].state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())


@pytest.mark.slow
def test_disk_full_is_one_line_and_the_checkpoint_before_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = files.os.replace, []

    def full(source: str, target: str) -> None:
        if str(target).endswith(CHECKPOINT):
            calls.append(target)
            if len(calls) == 3:
                raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(DeoccError, match=r"last\.ckpt: no space left") as caught:
        train(job(tmp_path, config(8)), ALONE)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob(".tmp-*"))
    assert read_checkpoint(tmp_path / CHECKPOINT).state["step"] == 2
    assert train(job(tmp_path, config(8), resume=True), ALONE)["steps"] == 8


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1000])


def garbage(path: Path) -> None:
    path.write_bytes(b"no checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "told"), [(truncate, "complete"), (garbage, "complete"), (Path.unlink, "no such")])
def test_broken_checkpoints_are_refused_in_one_line(tmp_path: Path, damage: Callable[[Path], None], told: str) -> None:
    train(job(tmp_path, config(2)), ALONE)
    damage(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match=told) as caught:
        train(job(tmp_path, config(4), resume=True), ALONE)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_checkpoint_of_another_run_is_refused_and_a_longer_one_is_not(tmp_path: Path) -> None:
    train(job(tmp_path, config(2)), ALONE)
    other = job(tmp_path, config(4), resume=True)
    other.identity = {"preset": "paper"}
    with pytest.raises(InputError, match="preset: 'tiny' in the checkpoint, 'paper' here"):
        train(other, ALONE)
    with pytest.raises(InputError, match=r"optim\.batch: 4 in the checkpoint, 8 here"):
        train(job(tmp_path, config(4, batch=8), resume=True), ALONE)
    with pytest.raises(InputError, match="--resume"):
        train(job(tmp_path, config(4)), ALONE)
    assert train(job(tmp_path, config(4), resume=True), ALONE)["steps"] == 4


def test_a_run_without_a_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--minutes"):
        train(job(tmp_path, config(0)), ALONE)


@pytest.mark.slow
def test_minutes_end_the_run_and_bring_the_rate_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(loop.time, "monotonic", lambda: 0.05 * next(ticks))
    settings = config(0)
    settings = dataclasses.replace(settings, optim=dataclasses.replace(settings.optim, minutes=2 / 60))
    record = train(job(tmp_path, rarely(settings)), ALONE)
    assert 2.0 <= record["seconds"] < 2.5
    rows = read_log(tmp_path / "log.csv")
    assert rows[-1]["step"] == record["steps"] > 10
    assert rows[-1]["lr"] < 0.1 * settings.optim.lr


@pytest.mark.slow
def test_validation_keeps_the_best_weights(tmp_path: Path) -> None:
    values = iter([0.5, 0.9, 0.7, 0.8])
    judged = []

    def score(net: nn.Module) -> dict[str, float]:
        assert not net.training
        judged.append(float(next(net.parameters()).detach().sum()))
        return {"iou": next(values)}

    settings = config(8)
    settings = dataclasses.replace(settings, run=dataclasses.replace(settings.run, validate=1e-9))
    train(job(tmp_path, settings, validation=Validation(score, "iou")), ALONE)
    assert [row["iou"] for row in read_log(tmp_path / "validation.csv")] == [0.5, 0.9, 0.7, 0.8]
    net, info = load_weights(tmp_path / WEIGHTS)
    assert info.training["steps"] == 4
    assert float(next(net.parameters()).detach().sum()) == pytest.approx(judged[1])
    pytest.importorskip("matplotlib")
    assert draw_curves(tmp_path).name == PICTURE
    assert cv2.imread(str(tmp_path / PICTURE)).shape[0] > 100


def test_moving_average_follows_the_network() -> None:
    net = nn.BatchNorm2d(2)
    average = MovingAverage(net, 0.5)
    with torch.no_grad():
        net.weight.fill_(3.0)
        net.running_mean.fill_(1.0)
        net.num_batches_tracked.fill_(7)
    average.update(net, 1000)
    assert average.net.weight.tolist() == [2.0, 2.0]
    assert average.net.running_mean.tolist() == [0.5, 0.5]
    assert int(average.net.num_batches_tracked) == 7


def test_bfloat16_trains_and_keeps_float32_weights(tmp_path: Path) -> None:
    settings = default_config("mask", QUICK)
    settings = dataclasses.replace(
        settings,
        optim=dataclasses.replace(settings.optim, steps=2, batch=2),
        data=PLAIN,
        run=dataclasses.replace(settings.run, log=1, precision="bfloat16"),
    )
    made = job(tmp_path, settings)
    seen = set()
    made.net.amodal_head[0].register_forward_hook(lambda module, given, out: seen.add(out.dtype))  # type: ignore[union-attr, operator, index]
    train(made, ALONE)
    assert seen == {torch.bfloat16}
    assert {p.dtype for p in made.net.parameters()} == {torch.float32}


_TWO = """
import json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
sys.path.insert(0, {tests!r})
import test_training_loop as t
from deocc_bench.models.training.distributed import world
from deocc_bench.models.training.loop import train

class Noted(t.Drawn):
    seen = []
    def example(self, epoch, index):
        self.seen.append((epoch, index))
        return super().example(epoch, index)

settings = t.config(4, 4, modal=1.0, amodal=1.0, adversarial=0.1)
with world("cpu", settings.optim.batch) as here:
    job = t.job(Path({out!r}), settings)
    job.feed.source = Noted(32)
    record = train(job, here)
    total = sum(float(p.detach().double().abs().sum()) for p in job.net.parameters())
    Path({out!r}, f"rank{{here.rank}}.json").write_text(json.dumps([Noted.seen, total, record["processes"]]))
"""


@pytest.mark.slow
def test_two_processes_share_each_epoch_and_stay_equal(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(_TWO.format(tests=str(Path(__file__).parent), out=str(tmp_path)))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    root = str(Path(__file__).resolve().parent.parent.parent)
    done = subprocess.run(
        launcher,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[:3000]
    ranks = [json.loads((tmp_path / f"rank{r}.json").read_text()) for r in range(2)]
    # Four steps of four are two epochs of eight: each sample once an epoch.
    seen = [tuple(key) for rank in ranks for key in rank[0]]
    assert sorted(seen) == sorted((e, i) for e in range(2) for i in range(8))
    assert ranks[0][1] == ranks[1][1]
    assert ranks[0][2] == 2
    assert [row["step"] for row in read_log(tmp_path / "log.csv")] == [2, 4]
    with safe_open(tmp_path / CHECKPOINT, framework="pt") as f:
        assert any(k.startswith("adversary/") for k in f.keys())  # noqa: SIM118 - no mapping


def test_processes_that_can_not_share_the_batch_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from deocc_bench.models.training.distributed import world

    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="multiple"), world("cpu", 16):
        pass
