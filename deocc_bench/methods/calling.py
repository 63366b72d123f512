"""Calling a method: the seed of a draw, one checked call, and the hand-over from `complete` to `recover`."""

from __future__ import annotations

import numpy as np

from deocc_bench.core.seeding import hash64
from deocc_bench.core.types import Batch, MaskOutput, Prediction
from deocc_bench.methods.answers import OutputError, check_content, check_masks, describe_ids
from deocc_bench.methods.loading import FUNCTIONS, Method


def draw_seed(seed: int, draw: int) -> int:
    """The `seed=` that a random method is given."""
    return hash64(seed, "method-draw", draw) >> 33


def predict(method: Method, batch: Batch, task: str, seed: int | None = None) -> list[Prediction]:
    """One call of the method, checked.

    Args:
        seed: given to a random method; None for others.

    Raises:
        OutputError: an answer that can't be scored.
    """
    options = {} if seed is None else {"seed": seed}
    output: MaskOutput | None = None
    pictures: np.ndarray | None = None
    if "complete" in FUNCTIONS[task]:
        output = check_masks(method.instance.complete(batch, **options), batch)
        if task == "joint":
            batch = hand_over(method, batch, output)
    if "recover" in FUNCTIONS[task]:
        pictures = check_content(method.instance.recover(batch, **options), batch).images
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


def hand_over(method: Method, batch: Batch, output: MaskOutput) -> Batch:
    """The batch of `recover` in task `joint`: the method's own masks and parsing, no truth.

    A method without a modal mask is given the initial mask within its amodal one.
    """
    modal = own_modal(output.amodal, output.modal, batch.initial)
    if output.parsing is None and "parsing" in method.needs("recover"):
        raise OutputError(
            f"{describe_ids(batch.ids)}: recover() needs parsing, but complete() gave none; return it in MaskOutput"
        )
    parsing = output.parsing
    visible = None if parsing is None else np.where(modal, parsing, np.uint8(0))
    return Batch(batch.ids, batch.images, batch.initial, modal, output.amodal, parsing, visible)


def own_modal(amodal: np.ndarray, modal: np.ndarray | None, initial: np.ndarray | None) -> np.ndarray:
    """The modal mask that a method stands by: its own, else the initial mask within its amodal one; bool, any shape."""
    if modal is not None:
        return modal
    return np.zeros_like(amodal) if initial is None else amodal & initial
