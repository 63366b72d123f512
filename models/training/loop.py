"""The training loop of both stages: steps, log, validation, checkpoints."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.files import atomic_write, sweep_temporary
from deocc_bench.models.training.checkpoints import check_run, read_checkpoint, restore, write_checkpoint
from deocc_bench.models.training.config import OptimConfig, TrainConfig
from deocc_bench.models.training.curves import LOG_FILE, VALIDATION_FILE, Log
from deocc_bench.models.training.data import Feed, Stream, TrainingBatch, batches
from deocc_bench.models.training.distributed import World
from deocc_bench.models.training.schedule import MovingAverage, factor, progress
from deocc_bench.models.training.settings import to_toml
from deocc_bench.models.training.stages import Stage
from deocc_bench.models.training.terms import total

CHECKPOINT, WEIGHTS, SETTINGS = "last.ckpt", "weights.safetensors", "config.toml"


@dataclass
class Validation:
    """How a network is scored during a run.

    Args:
        score: network in evaluation mode -> metric values by id.
        metric: id of the metric that decides which weights are kept.
        higher_is_better: direction of that metric.
    """

    score: Callable[[nn.Module], Mapping[str, float]]
    metric: str
    higher_is_better: bool = True


@dataclass
class Job:
    """One run.

    Args:
        net: the network; it is trained in place.
        stage: loss terms and forward pass of the stage.
        feed: training examples.
        config: all settings.
        out: folder of the run.
        identity: preset, network configuration and data, JSON-able; a checkpoint is resumed only if it has the same.
        save: writes weights: (network, path, training record).
        validation: None for no validation.
        resume: continue from the checkpoint in the folder.
        inputs: digests of the data, by name; a checkpoint is resumed only if it has the same.
        say: receives lines of progress.
    """

    net: nn.Module
    stage: Stage[Any]
    feed: Feed
    config: TrainConfig
    out: Path
    identity: Mapping[str, Any]
    save: Callable[[nn.Module, Path, dict[str, Any]], None]
    validation: Validation | None = None
    resume: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = field(default=lambda line: print(line, file=sys.stderr, flush=True))


def train(job: Job, world: World) -> dict[str, Any]:
    """Run a job to its end, or resume it.

    Returns:
        The record that is stored with the weights: steps, samples, seconds, last losses, validation.

    Raises:
        UsageError: neither steps nor minutes are set.
        InputError: the folder already contains a run, or the checkpoint is broken or belongs to a different run.
        DeoccError: the loss is not finite (the message names the step; the last checkpoint is kept), or the disk is
            full.
    """
    run = _Run(job, world)
    run.begin()
    try:
        while run.done < 1:
            run.step_once()
    finally:
        run.close()
    return run.finish()


class _Run:
    """The state of a run in progress."""

    def __init__(self, job: Job, world: World) -> None:
        self.job, self.world, self.config = job, world, job.config
        optim = self.config.optim
        if not optim.steps and not optim.minutes:
            raise UsageError("a run needs a length: set --steps or --minutes")
        net: Any = job.net
        self.net: nn.Module = net.to(world.device, memory_format=torch.channels_last).train()
        self.average = MovingAverage(self.net, optim.ema) if optim.ema else None
        self.optimiser = _optimiser(self.net, optim, optim.lr)
        self.modules: dict[str, nn.Module] = {"net": self.net}
        self.optimisers: dict[str, Optimizer] = {"optimiser": self.optimiser}
        if self.average:
            self.modules["average"] = self.average.net
        self.adversary: nn.Module | None = None
        if job.stage.needs_adversary:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.config.run.seed)
                self.adversary = job.stage.adversary().to(world.device)
            self.modules["adversary"] = self.adversary
            self.optimisers["adversary-optimiser"] = _optimiser(self.adversary, optim, optim.adversary_lr)
        self.step, self.seconds, self.done = 0, 0.0, 0.0
        self.best: float | None = None
        self.scores: dict[str, float] = {}
        self.losses: dict[str, float] = {}
        self.window: dict[str, float] = {}
        self.counted = 0
        self.spent_outside = 0.0
        self._batches: Iterator[TrainingBatch] | None = None

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that a resumed run must share with the stopped one. The length may change."""
        settings = self.config.plain()
        settings["optim"] = {k: v for k, v in settings["optim"].items() if k not in ("steps", "minutes")}
        settings.pop("run")
        settings["data"].pop("workers")
        identity = {**self.job.identity, "seed": self.config.run.seed, "settings": settings}
        return identity | ({"inputs": dict(self.job.inputs)} if self.job.inputs else {})

    def begin(self) -> None:
        """Prepare the folder, or load the checkpoint."""
        job, path = self.job, self.job.out / CHECKPOINT
        if job.resume:
            checkpoint = read_checkpoint(path)
            check_run(checkpoint, self.identity)
            restore(checkpoint, self.modules, self.optimisers)
            state = checkpoint.state
            self.step, self.seconds, self.best = int(state["step"]), float(state["seconds"]), state["best"]
            self.scores, self.losses = dict(state["scores"]), dict(state["losses"])
        elif path.exists():
            raise InputError(job.out, "already contains a run", "continue it with --resume, or choose another --out")
        # All processes must have checked the folder before one writes to it.
        self.world.wait()
        last_step = self.step if job.resume else None
        if self.world.first:
            job.out.mkdir(parents=True, exist_ok=True)
            sweep_temporary(job.out)
            atomic_write(job.out / SETTINGS, to_toml(self.config))
            self.log = Log(job.out / LOG_FILE, last_step)
            self.validations = Log(job.out / VALIDATION_FILE, last_step)
        count, world = len(job.feed.source), self.world
        stream = Stream(count, self.config.optim.batch, self.config.run.seed, self.step, world.rank, world.size)
        self._batches = batches(job.feed, stream, self.config.data.workers)
        self.started = time.monotonic() - self.seconds
        self.saved = self.validated = time.monotonic()
        if not job.resume:
            self.checkpoint()
        self.world.wait()
        self.mark = time.monotonic()
        self.done = progress(self.config.optim, self.step, self.seconds)

    def step_once(self) -> None:
        """Run one step, then log, validate and save if due."""
        optim = self.config.optim
        scale = factor(optim, self.step, self.done)
        for optimiser, lr in zip(self.optimisers.values(), (optim.lr, optim.adversary_lr), strict=False):
            for group in optimiser.param_groups:
                group["lr"] = lr * scale
        assert self._batches is not None
        batch = next(self._batches).to(self.world.device)
        values = self._learn(batch)
        self.step += 1
        if self.average:
            self.average.update(self.net, self.step)
        for name, value in values.items():
            self.window[name] = self.window.get(name, 0.0) + value
        self.counted += 1
        self.seconds = self.world.agree(time.monotonic() - self.started)
        self.done = progress(optim, self.step, self.seconds)
        if self.step % self.config.run.log == 0 or self.done >= 1:
            self._report(optim.lr * scale)

    def _learn(self, batch: TrainingBatch) -> dict[str, float]:
        """Compute the gradients of all parts and take one optimiser step; return the values of the terms."""
        config, parts = self.config, batch.parts(self.config.optim.accumulate)
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for part in parts:
            if self.adversary:
                self.adversary.requires_grad_(False)
            enabled = config.run.precision == "bfloat16"
            with torch.autocast(self.world.device.type, torch.bfloat16, enabled=enabled):
                terms, judge = self.job.stage.learn(self.net, part, self.adversary)
            loss = total(terms, config.loss.weights)
            values = {name: float(term.detach()) for name, term in {"loss": loss, **terms}.items()}
            self._check(values)
            (loss / len(parts)).backward()
            if self.adversary:
                judged = judge(self.adversary.requires_grad_(True))
                values["adversary"] = float(judged.detach())
                self._check({"adversary": values["adversary"]})
                (judged / len(parts)).backward()
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value / len(parts)
        for module in (self.net, *([self.adversary] if self.adversary else [])):
            self.world.average_gradients(module)
        norm = nn.utils.clip_grad_norm_(self.net.parameters(), config.optim.clip or math.inf)
        self._check({"norm of the gradient": float(norm)})
        if self.adversary:
            # The adversary's gradient is not clipped, so check it before the optimiser step.
            self._check({"norm of the adversary's gradient": _norm(self.adversary)})
        for optimiser in self.optimisers.values():
            optimiser.step()
        return {**sums, "gradient": float(norm)}

    def _check(self, values: Mapping[str, float]) -> None:
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise DeoccError(
                f"the {bad[-1]} is {values[bad[-1]]} at step {self.step + 1}; the last good state is kept in "
                f"{self.job.out / CHECKPOINT}; start again with a lower optim.lr or a lower weight of that term"
            )

    def _report(self, lr: float) -> None:
        """Write a log row, then validate and save if due. Both happen only here, so that a log resumes exactly."""
        job, run = self.job, self.config.run
        now = time.monotonic()
        rate = self.counted * self.config.optim.batch / max(1e-9, now - self.mark)
        self.losses = self.world.mean({name: value / self.counted for name, value in self.window.items()})
        self.window, self.counted = {}, 0
        for module in self.modules.values():
            self.world.average_buffers(module)
        if self.world.first:
            epoch = self.step * self.config.optim.batch / len(job.feed.source)
            head = {"step": self.step, "epoch": round(epoch, 3), "seconds": round(self.seconds, 1), "lr": lr}
            self.log.add({**head, **self.losses, "samples_per_second": round(rate, 2)})
            job.say(self._line(rate))
        last = self.done >= 1
        if job.validation and (last or (run.validate and self.world.agree(now - self.validated) >= 60 * run.validate)):
            self._validate(job.validation)
            self.validated = time.monotonic()
        if last or self.world.agree(now - self.saved) >= 60 * run.save:
            self.checkpoint()
            self.saved = time.monotonic()
        self.mark = time.monotonic()

    def _line(self, rate: float) -> str:
        optim = self.config.optim
        terms = "  ".join(f"{k} {v:.4g}" for k, v in self.losses.items() if k not in ("loss", "gradient"))
        of = f"/{optim.steps}" if optim.steps else ""
        left = self.seconds * (1 - self.done) / max(self.done, 1e-9)
        clock = f"{int(left // 60)}:{int(left % 60):02d}"
        return f"step {self.step}{of}  loss {self.losses['loss']:.4f}  ({terms})  {rate:.1f} samples/s  {clock} left"

    def _validate(self, validation: Validation) -> None:
        """Score the averaged network in the first process, and write the weights if they are the best so far."""
        if self.world.first:
            scores = dict(validation.score(self.final_net()))
            self.scores = scores
            self.validations.add({"step": self.step, "seconds": round(self.seconds, 1), **scores})
            self.job.say(f"step {self.step}  validation  " + "  ".join(f"{k} {v:.4f}" for k, v in scores.items()))
            value = scores[validation.metric]
            better = self.best is None or (value > self.best if validation.higher_is_better else value < self.best)
            if better:
                self.best = value
                self._write_weights()
        self.world.wait()

    def final_net(self) -> nn.Module:
        """The network that is scored and stored: the moving average if there is one."""
        return self.average.net if self.average else self.net

    def checkpoint(self) -> None:
        """Write, without validation, the weights, and then the state of the run.

        In this order: a run that is killed between the two repeats the steps since the last state, and writes both.
        """
        if not self.world.first:
            return
        if self.job.validation is None:
            self._write_weights()
        state = {
            "step": self.step,
            "seconds": self.seconds,
            "best": self.best,
            "scores": self.scores,
            "losses": self.losses,
        }
        write_checkpoint(self.job.out / CHECKPOINT, self.modules, self.optimisers, self.identity, state)

    def _write_weights(self) -> None:
        net = self.final_net()
        training = net.training
        self.job.save(net.eval(), self.job.out / WEIGHTS, self.record())
        net.train(training)

    def record(self) -> dict[str, Any]:
        """The training record that is stored with the weights."""
        return {
            **self.job.identity,
            "settings": self.config.plain(),
            "steps": self.step,
            "samples": self.step * self.config.optim.batch,
            "seconds": round(self.seconds, 1),
            "parameters": sum(p.numel() for p in self.net.parameters() if p.requires_grad),
            "losses": self.losses,
            "validation": self.scores,
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "processes": self.world.size,
        }

    def finish(self) -> dict[str, Any]:
        """Wait for all processes and return the training record."""
        self.world.wait()
        return self.record()

    def close(self) -> None:
        """End the worker processes that make samples."""
        self._batches = None


def _norm(net: nn.Module) -> float:
    return float(torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm())


def _optimiser(net: nn.Module, optim: OptimConfig, lr: float) -> Optimizer:
    """Create the optimiser; biases and normalisation parameters have no weight decay."""
    parameters = [p for p in net.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.dim() > 1]
    groups = [
        {"params": decayed, "weight_decay": optim.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    make = AdamW if optim.name == "adamw" else Adam
    return make(groups, lr=lr, betas=(optim.beta1, optim.beta2))
