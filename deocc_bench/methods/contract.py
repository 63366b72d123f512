"""The contract of a method: an object with `complete(batch)`, `recover(batch)`, or both.

No base class is needed. `MaskMethod` and `ContentMethod` define the two functions. Everything else is optional and is
declared by attributes of the class or the instance:

| attribute | meaning |
|---|---|
| `name`, `version` | shown in result records; `name` defaults to the class name |
| `needs` | inputs ("initial", "modal", "amodal", "parsing") and conditions ("gpu", "fit", "truth") |
| `complete_needs`, `recover_needs` | the inputs of one function, if the two differ |
| `fit(dataset, split)` | with need "fit": called before the run, never with the scored split |
| `reveal(dataset, split)` | with need "truth": passes the scored split to an oracle |
| `samples` | the number of draws of a random method; its functions then take `seed=` |
| `weights_used` | a text, or stage -> text; "none: ..." if nothing was trained |
| `parameter_count` | a number, or a function that returns it |
| `precision` | of the computation, e.g. "float32" |
| `latency_stages(batch)` | (name, function) pairs that together perform a run; see `deocc_bench.benchmark.latency` |
| `countable()` | a context in which the method runs only operations that torch's FLOP counter supports |
| `parts` | the methods of a composed method |

If a class has both functions, true masks and parsing among `needs` are inputs of `recover`. A random method must key
its draws by (seed, sample id); otherwise the numbers depend on the batches.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import numpy as np

from deocc_bench.core.errors import DeoccError, describe_error
from deocc_bench.core.registry import unknown
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "mask": ("complete",),
    "content": ("recover",),
    "joint": ("complete", "recover"),
}
"""Task -> the method's functions that it calls, in order."""

TRUTHS = ("modal", "amodal", "parsing")
CONDITIONS = ("gpu", "fit", "truth")
NEEDS = ("initial", *TRUTHS, *CONDITIONS)

Stage: TypeAlias = tuple[str, Callable[[Any], Any]]


class MaskMethod(Protocol):
    """Completes masks: task `mask`, and the first half of task `joint`."""

    def complete(self, batch: Batch) -> MaskOutput | np.ndarray:
        """Return the amodal masks of the batch, bool N x H x W, or a `MaskOutput`; input arrays are read-only."""


class ContentMethod(Protocol):
    """Recovers content: task `content`, and the second half of task `joint`."""

    def recover(self, batch: Batch) -> ContentOutput | np.ndarray:
        """Return the images with the hidden part painted, uint8 N x H x W x 3, or a `ContentOutput`.

        `batch.modal` and `batch.amodal` are always set: true masks in task `content`, the method's own in `joint`.
        """


def has(owner: Any, function: str) -> bool:
    """Whether a class or instance has "complete" or "recover"."""
    return callable(declared(owner, function))


def declared(owner: Any, attribute: str) -> Any:
    """The value of a declared attribute of a class or instance; None if it is not declared.

    Raises:
        DeoccError: the value has the wrong type; the message names the method and the attribute.
    """
    try:
        value = getattr(owner, attribute, None)
    except Exception as error:
        raise DeoccError(f"method {_label(owner)!r}: {attribute} can't be read: {describe_error(error)}") from error
    if value is None or (inspect.isclass(owner) and isinstance(value, property | cached_property)):
        return None
    valid, wanted = _DECLARATIONS[attribute]
    if not valid(value):
        raise DeoccError(f"method {_label(owner)!r}: {attribute} is {value!r}; give {wanted}")
    return value


def owner_name(owner: Any) -> str:
    """The name of a method's class or instance.

    Raises:
        DeoccError: `name` is not a text.
    """
    return str(declared(owner, "name") or _label(owner))


def function_needs(owner: Any, function: str) -> tuple[str, ...]:
    """The needs of "complete" or "recover" of a class or instance.

    Raises:
        DeoccError: an unknown need is declared.
    """
    needs = _names(owner, "needs")
    if declared(owner, f"{function}_needs") is not None:
        own = _names(owner, f"{function}_needs")
        return tuple(dict.fromkeys((*own, *(n for n in needs if n in CONDITIONS))))
    if function == "complete" and has(owner, "recover"):
        return tuple(n for n in needs if n not in TRUTHS)
    return needs


def draws(owner: Any) -> int | None:
    """`samples` of a random method; None for a deterministic one."""
    value = declared(owner, "samples")
    return None if value is None else operator.index(value)


def check(owner: Any) -> None:
    """Check all declarations of a method, before anything is run.

    Raises:
        DeoccError: a declaration is wrong; the message names the method and the attribute.
    """
    for attribute in _DECLARATIONS:
        declared(owner, attribute)
    functions = [f for f in FUNCTIONS["joint"] if has(owner, f)]
    if not functions:
        raise DeoccError(
            f"method {_label(owner)!r} has neither complete(batch) nor recover(batch); add one of them to its class"
        )
    for function in functions:
        needs = function_needs(owner, function)
        for need, wanted in (("fit", "fit"), ("truth", "reveal")):
            if need in needs and declared(owner, wanted) is None:
                raise DeoccError(
                    f"method {_label(owner)!r} needs {need!r}, but has no {wanted}(dataset, split); add it to its class"
                )
        _check_call(owner, function)


def _check_call(owner: Any, function: str) -> None:
    call = declared(owner, function)
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):
        return
    seed = {} if draws(owner) is None else {"seed": 0}
    try:
        signature.bind(None, **seed)
    except TypeError:
        own = f"{function}({', '.join(signature.parameters)})"
        own = f"{function}({', '.join(signature.parameters)})"
        wanted = f"{function}(batch, seed=...), which `samples` requires" if seed else f"{function}(batch)"
        cure = "; declare `samples` if it is random" if "seed" in signature.parameters and not seed else ""
        raise DeoccError(f"method {_label(owner)!r}: {own} can't be called as {wanted}{cure}") from None


def _names(owner: Any, attribute: str) -> tuple[str, ...]:
    value = declared(owner, attribute) or ()
    names = (value,) if isinstance(value, str) else tuple(value)
    wrong = [n for n in names if n not in NEEDS]
    if wrong:
        raise DeoccError(f"method {_label(owner)!r}: {attribute} contains an {unknown('need', wrong[0], NEEDS)}")
    return names


def _label(owner: Any) -> str:
    """The method's name in error messages, even if its `name` is invalid."""
    cls = owner if inspect.isclass(owner) else type(owner)
    try:
        name = getattr(owner, "name", None)
    except Exception:
        name = None
    return name if isinstance(name, str) and name else str(cls.__name__)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _is_version(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _are_texts(value: Any) -> bool:
    texts = isinstance(value, str) or (isinstance(value, Iterable) and all(isinstance(v, str) for v in value))
    return texts and not isinstance(value, Mapping)


def _is_number(value: Any, least: int) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) >= least
    except TypeError:
        return False


def _are_weights(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(v, str) for pair in value.items() for v in pair)
    return isinstance(value, str)


_FUNCTION = (callable, "a function")
_NEEDS_WANTED = (_are_texts, f"names out of {', '.join(NEEDS)}")
_DECLARATIONS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "complete": _FUNCTION,
    "recover": _FUNCTION,
    "name": (_is_text, "a text"),
    "version": (_is_version, "a text or a number"),
    "needs": _NEEDS_WANTED,
    "complete_needs": _NEEDS_WANTED,
    "recover_needs": _NEEDS_WANTED,
    "fit": _FUNCTION,
    "reveal": _FUNCTION,
    "samples": (lambda v: _is_number(v, 1), "the number of draws, 1 or more, or None if it is not random"),
    "weights_used": (_are_weights, "a text, or a mapping from stage to text"),
    "parameter_count": (lambda v: callable(v) or _is_number(v, 0), "a whole number, or a function that returns one"),
    "precision": (_is_text, "a text"),
    "latency_stages": _FUNCTION,
    "countable": _FUNCTION,
    "parts": (lambda v: isinstance(v, list | tuple), "a list of methods"),
}
"""Attribute -> (validity check, description of valid values)."""
