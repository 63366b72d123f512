"""Whether a dataset can serve a method in a task, and what the method is then given."""

from __future__ import annotations

from deocc_bench.core import initial_masks
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.methods.contract import FUNCTIONS, TRUTHS
from deocc_bench.methods.method import Method


def check_serves(method: Method, task: str, dataset: DatasetReader, split: str, initial_mask: str) -> None:
    """Refuse a task that the method can't do or the dataset can't serve, with the reason.

    Args:
        initial_mask: "dataset", or a spec that makes the mask from the true one.

    Raises:
        UsageError: the method lacks a function, or an initial mask is asked for in task `content`, which has none.
        DeoccError: the dataset lacks something; says what.
    """
    if initial_mask != initial_masks.DATASET:
        if task == "content":
            raise UsageError("task 'content' has no initial mask; --initial-mask is for mask and joint")
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
    """The truths that the method sees beyond what the task gives to all; such a method is no fair entry."""
    seen = truths_asked(method) if task != "content" else ()
    oracle = any("truth" in method.needs(f) for f in FUNCTIONS[task])
    return (*seen, *(["everything"] if oracle else []))


def truths_asked(method: Method) -> tuple[str, ...]:
    """The truths that `complete` asks for."""
    return tuple(n for n in method.needs("complete") if n in TRUTHS)


def batch_fields(method: Method, task: str) -> frozenset[str]:
    """The optional fields of the batch that the first function of a task is given, where the dataset has them."""
    given = TRUTHS if task == "content" else ("initial", *truths_asked(method))
    return frozenset([*given, *(["modal_parsing", "parsing_source"] if "parsing" in given else [])])
