"""Calls of a method: the seed of a draw, checked calls, and the hand-over from `complete` to `recover`."""

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
    """The `seed=` argument of a random method for one draw."""
    return hash64(seed, "method-draw", draw) >> 33


def call(method: Method, function: str, batch: Batch, seed: int | None = None) -> Any:
    """Call "complete" or "recover" and return the unchecked output; only a random method receives `seed`."""
    options = {} if method.samples is None or seed is None else {"seed": seed}
    return getattr(method.instance, function)(batch, **options)


def complete(method: Method, batch: Batch, seed: int | None = None) -> MaskOutput:
    """Call `complete` on a batch and check the masks.

    Raises:
        OutputError: the output can't be scored.
    """
    return check_masks(call(method, "complete", batch, seed), batch)


def recover(method: Method, batch: Batch, seed: int | None = None) -> ContentOutput:
    """Call `recover` on a batch and check the images.

    Raises:
        OutputError: the output can't be scored.
    """
    return check_content(call(method, "recover", batch, seed), batch)


def predict(method: Method, batch: Batch, task: str, seed: int | None = None) -> list[Prediction]:
    """Run the functions of a task on a batch and return the checked predictions.

    Args:
        seed: seed of a random method; None for others.

    Raises:
        OutputError: an output can't be scored.
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
    """The batch of `recover` in task `joint`: the masks and parsing from `complete`, without ground truth.

    If `complete` returned no modal mask, it is the intersection of the initial and the amodal mask. If it returned no
    modal parsing, it is the whole person's parsing within the modal mask.

    Args:
        needs: the needs of `recover`.
        source: where the parsing comes from.

    Raises:
        OutputError: `recover` needs parsing, but `complete` returned none.
    """
    modal, parsing = own_modal(output.amodal, output.modal, batch.initial), output.parsing
    if parsing is None:
        if "parsing" in needs:
            raise OutputError(
                f"{describe_ids(batch.ids)}: recover() needs parsing, but complete() returned none; "
                "return it in MaskOutput"
            )
        return Batch(batch.ids, batch.images, batch.initial, modal, output.amodal)
    visible = np.where(modal, parsing if output.modal_parsing is None else output.modal_parsing, np.uint8(0))
    return Batch(batch.ids, batch.images, batch.initial, modal, output.amodal, parsing, visible, source)


def parsing_source(method: Method) -> ParsingSource:
    """Source of the parsing that a method's `complete` returns: "truth" if `complete` can see the true parsing."""
    return "truth" if {"truth", "parsing"} & set(method.needs("complete")) else "method"


def own_modal(amodal: np.ndarray, modal: np.ndarray | None, initial: np.ndarray | None) -> np.ndarray:
    """The method's modal mask: its own one, else the initial mask within its amodal mask; bool, any shape."""
    if modal is not None:
        return modal
    return np.zeros_like(amodal) if initial is None else amodal & initial
