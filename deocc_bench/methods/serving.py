"""Checks whether a dataset has the inputs of a method in a task, and selects the inputs of its batches."""

from __future__ import annotations

from deocc_bench.core import initial_masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.methods.contract import FUNCTIONS, TRUTHS
from deocc_bench.methods.method import Method


def check_serves(method: Method, task: str, dataset: DatasetReader, split: str, initial_mask: str) -> None:
    """Check that the method can do the task and that the dataset has the required inputs.

    Args:
        initial_mask: "dataset", or a spec that derives the mask from the true one.

    Raises:
        UsageError: the method lacks a function, or an initial mask is requested for task `content`, which has none.
        DeoccError: the dataset lacks an input; the message names it.
    """
    if initial_mask != initial_masks.DATASET:
        if task == "content":
            raise UsageError("task 'content' has no initial mask; use --initial-mask only with mask and joint")
        initial_masks.check_split(dataset, split, initial_mask)
    for function in FUNCTIONS[task]:
        if not method.can(function):
            raise UsageError(f"method {method.name!r} has no {function}(), so it can't do task {task!r}")
    where = f"{dataset.root} ({split})"
    if task in ("content", "joint") and not dataset.has("complete", split):
        raise DeoccError(
            f"{where}: task {task!r} needs the un-occluded images, which this dataset lacks; use --task mask"
        )
    for function in FUNCTIONS[task]:
        needs = method.needs(function)
        stored = task != "content" and initial_mask == initial_masks.DATASET
        if "initial" in needs and stored and not dataset.has("initial", split):
            raise DeoccError(
                f"{where}: {method.name!r} needs initial masks, which this dataset lacks; give --initial-mask perfect"
            )
        from_truth = function == "complete" or task == "content"
        if "parsing" in needs and from_truth and not dataset.has("parsing", split):
            raise DeoccError(f"{where}: {method.name!r} needs parsing, which this dataset lacks; use another dataset")


def truth_given(method: Method, task: str) -> tuple[str, ...]:
    """Ground truth that the method sees in addition to the inputs of the task; such a method is not ranked."""
    seen = truths_asked(method) if task != "content" else ()
    oracle = any("truth" in method.needs(f) for f in FUNCTIONS[task])
    return (*seen, *(["everything"] if oracle else []))


def truths_asked(method: Method) -> tuple[str, ...]:
    """Ground truth among the needs of `complete`."""
    return tuple(n for n in method.needs("complete") if n in TRUTHS)


def batch_fields(method: Method, task: str) -> frozenset[str]:
    """The optional fields of the batch for the first function of a task, as far as the dataset has them."""
    given = TRUTHS if task == "content" else ("initial", *truths_asked(method))
    return frozenset([*given, *(["modal_parsing", "parsing_source"] if "parsing" in given else [])])
