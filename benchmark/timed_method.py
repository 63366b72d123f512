"""The subject of a latency measurement: a method split into stages, its synthetic input, and the null method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from deocc_bench.core.types import Batch, MaskOutput
from deocc_bench.methods.calling import call, hand_over
from deocc_bench.methods.contract import Stage
from deocc_bench.methods.method import Method
from deocc_bench.methods.serving import batch_fields

NULL_METHOD = "null"


class Timer(Protocol):
    """Time marks on a device."""

    def mark(self) -> Any:
        """Mark the current time."""

    def sync(self) -> None:
        """Wait until the device has finished all submitted work."""

    def seconds(self, first: Any, second: Any) -> float:
        """Seconds between two marks."""


@dataclass
class TimedMethod:
    """A measured method: its stages and the run times so far.

    Args:
        stages: (name, function); the first function takes the batch, each next one the previous result.
        runs: for each run, the seconds of each stage.
    """

    name: str
    stages: Sequence[Stage]
    batch: Any
    runs: list[list[float]] = field(default_factory=list)

    def once(self, timer: Timer) -> list[float]:
        """Run it once and return the seconds of each stage."""
        value = self.batch
        timer.sync()
        marks = [timer.mark()]
        for _, function in self.stages:
            value = function(value)
            marks.append(timer.mark())
        timer.sync()
        return [timer.seconds(a, b) for a, b in pairwise(marks)]


class NullMethod:
    """A method that does nothing; its time is the overhead of the harness."""

    name = NULL_METHOD

    def __init__(self) -> None:
        self._answers: dict[int, MaskOutput] = {}

    def complete(self, batch: Batch) -> MaskOutput:
        """Return a constant output that is created once."""
        if len(batch) not in self._answers:
            self._answers[len(batch)] = MaskOutput(np.zeros(batch.images.shape[:3], bool))
        return self._answers[len(batch)]


def synthetic_batch(size: int = 1, height: int = 256, width: int = 256) -> Batch:
    """A deterministic batch with all inputs: the person is an ellipse whose right third is hidden."""
    y, x = np.mgrid[:height, :width]
    person = ((x - width / 2) / (width / 5)) ** 2 + ((y - height / 2) / (height / 2.5)) ** 2 < 1
    visible = person & (x < width * 0.58)
    parsing = np.where(person, np.where(y < height / 3, 13, np.where(y < height * 0.6, 5, 9)), 0).astype(np.uint8)
    image = np.stack([(x * 255 // width), (y * 255 // height), ((x + y) % 256)], axis=-1).astype(np.uint8)

    def repeat(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(np.broadcast_to(array, (size, *array.shape)))

    return Batch(
        tuple(f"latency-{i}" for i in range(size)),
        repeat(image),
        repeat(visible),
        repeat(visible),
        repeat(person),
        repeat(parsing),
        repeat(np.where(visible, parsing, np.uint8(0))),
        "truth",
    )


def first_inputs(method: Method, full: Batch) -> Batch:
    """The batch that a run would pass to the method's first function: only the required fields of `full`."""
    required = batch_fields(method, "mask" if method.can("complete") else "content")
    optional = [f.name for f in fields(Batch) if f.name not in ("ids", "images")]
    return replace(full, **{name: None for name in optional if name not in required})  # type: ignore[arg-type]


def top_stages(method: Method) -> list[Stage]:
    """The stages of task `joint` (`complete`, the hand-over of its masks, `recover`), or the method's only function."""

    def recover(batch: Batch) -> Any:
        return call(method, "recover", batch, seed=0)

    def complete(batch: Batch) -> Any:
        return call(method, "complete", batch, seed=0)

    if not method.can("complete"):
        return [("recover", recover)]
    if not method.can("recover"):
        return [("complete", complete)]

    def complete_for(batch: Batch) -> tuple[Batch, MaskOutput]:
        output = complete(batch)
        return batch, output if isinstance(output, MaskOutput) else MaskOutput(output)

    def pass_on(pair: tuple[Batch, MaskOutput]) -> Batch:
        batch, output = pair
        if output.parsing is None and "parsing" in method.needs("recover"):
            # Parsing is then an input, as in published speed tables: its computation is not timed.
            output = replace(output, parsing=synthetic_batch(len(batch), *batch.images.shape[1:3]).parsing)
        return hand_over(batch, output)

    return [("complete", complete_for), ("hand-over", pass_on), ("recover", recover)]
