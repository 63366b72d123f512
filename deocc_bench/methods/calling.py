"""Calling a method: the seed of a draw, checked calls, and the hand-over from `complete` to `recover`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from deocc_bench.core.seeding import hash64
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput, ParsingSource, Prediction
from deocc_bench.methods.answers import OutputError, check_content, check_masks, describe_ids
from deocc_bench.methods.contract import FUNCTIONS
from deocc_bench.methods.method import Method


def draw_seed(seed: int, draw: int) -> int:
    """The `seed=` that a random method is given."""
    return hash64(seed, "method-draw", draw) >> 33


def call(method: Method, function: str, batch: Batch, seed: int | None = None) -> Any:
    """The answer of "complete" or "recover" as it is; `seed` is passed to a random method alone."""
    options = {} if method.samples is None or seed is None else {"seed": seed}
    return getattr(method.instance, function)(batch, **options)


def complete(method: Method, batch: Batch, seed: int | None = None) -> MaskOutput:
    """The masks of a batch, checked.

    Raises:
        OutputError: an answer that can't be scored.
    """
    return check_masks(call(method, "complete", batch, seed), batch)


def recover(method: Method, batch: Batch, seed: int | None = None) -> ContentOutput:
    """The recovered images of a batch, checked.

    Raises:
        OutputError: an answer that can't be scored.
    """
    return check_content(call(method, "recover", batch, seed), batch)


def predict(method: Method, batch: Batch, task: str, seed: int | None = None) -> list[Prediction]:
    """What the method answers in a task, checked.

    Args:
        seed: given to a random method; None for others.

    Raises:
        OutputError: an answer that can't be scored.
    """
    output: MaskOutput | None = None
    pictures: np.ndarray | None = None
    if "complete" in FUNCTIONS[task]:
        output = complete(method, batch, seed)
        if task == "joint":
            batch = hand_over(batch, output, method.needs("recover"), parsing_source(method))
    if "recover" in FUNCTIONS[task]:
        pictures = recover(method, batch, seed).images
    return [
        Prediction(
            sample_id,
            amodal=None if output is None else output.amodal[i],
            modal=None if output is None or output.modal is None else output.modal[i],
            parsing=None if output is None or output.parsing is None else output.parsing[i],
            image=None if pictures is None else pictures[i],
        )
        for i, sample_id in enumerate(batch.ids)
    ]


def hand_over(batch: Batch, output: MaskOutput, needs: Collection[str] = (), source: ParsingSource = "method") -> Batch:
    """The batch of `recover` in task `joint`: the masks and parsing that `complete` gave for `batch`, no truth.

    Without a modal mask it is the initial mask within the amodal one; without a parsing of the visible part it is the
    whole person's parsing there.

    Args:
        needs: of `recover`.
        source: where the parsing comes from.

    Raises:
        OutputError: `recover` needs parsing and there is none.
    """
    modal, parsing = own_modal(output.amodal, output.modal, batch.initial), output.parsing
    if parsing is None:
        if "parsing" in needs:
            raise OutputError(
                f"{describe_ids(batch.ids)}: recover() needs parsing, but complete() gave none; return it in MaskOutput"
            )
        return Batch(batch.ids, batch.images, batch.initial, modal, output.amodal)
    visible = np.where(modal, parsing if output.modal_parsing is None else output.modal_parsing, np.uint8(0))
    return Batch(batch.ids, batch.images, batch.initial, modal, output.amodal, parsing, visible, source)


def parsing_source(method: Method) -> ParsingSource:
    """Where the parsing that a method's `complete` gives comes from: the truth, if it was shown that."""
    return "truth" if {"truth", "parsing"} & set(method.needs("complete")) else "method"


def own_modal(amodal: np.ndarray, modal: np.ndarray | None, initial: np.ndarray | None) -> np.ndarray:
    """The modal mask that a method stands by: its own, else the initial mask within its amodal one; bool, any shape."""
    if modal is not None:
        return modal
    return np.zeros_like(amodal) if initial is None else amodal & initial
