"""A method that is ready to run: its name, tasks and needs, and its entry in a result record."""

from __future__ import annotations

import contextlib
import inspect
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from deocc_bench import __version__
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.provenance import code_digest, digest
from deocc_bench.core.types import Batch
from deocc_bench.methods import contract
from deocc_bench.methods.contract import FUNCTIONS, NEEDS, Stage

# Maximum depth of the search for a method's torch modules, through containers and attributes.
_DEPTH = 4


@dataclass(frozen=True)
class Method:
    """A method that is ready to run.

    Args:
        spec: as the user typed it. source: "module:Class", "file.py:Class" or "module:Class (object)".
        instance: the object with `complete` and / or `recover`.
        options: the arguments of its constructor.
    """

    spec: str
    name: str
    source: str
    instance: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    def can(self, function: str) -> bool:
        """Whether it has "complete" or "recover"."""
        return contract.has(self.instance, function)

    @property
    def tasks(self) -> tuple[str, ...]:
        return tasks_of(self.instance)

    @property
    def all_needs(self) -> tuple[str, ...]:
        return all_needs_of(self.instance)

    def needs(self, function: str) -> tuple[str, ...]:
        """The needs of one of its functions."""
        return contract.function_needs(self.instance, function)

    @property
    def samples(self) -> int | None:
        """Number of draws of a random method; None for a deterministic one."""
        return contract.draws(self.instance)

    def fit(self, dataset: DatasetReader, split: str) -> None:
        """Fit it to a split; only for a method with need "fit"."""
        self.instance.fit(dataset, split)

    def reveal(self, dataset: DatasetReader, split: str) -> None:
        """Pass it the ground truth of a split; only for a method with need "truth"."""
        self.instance.reveal(dataset, split)

    @property
    def weights(self) -> str | Mapping[str, str] | None:
        """Its description of its weights, if declared."""
        value: str | Mapping[str, str] | None = contract.declared(self.instance, "weights_used")
        return value

    @property
    def precision(self) -> str | None:
        """The precision of its computation, if declared."""
        value: str | None = contract.declared(self.instance, "precision")
        return value

    @property
    def parts(self) -> Sequence[Method]:
        """The parts of a composed method."""
        return contract.declared(self.instance, "parts") or ()

    def latency_stages(self, batch: Batch, function: str | None = None) -> list[Stage] | None:
        """The stages of a run; None if the method does not declare them.

        Args:
            function: "complete" or "recover" for the stages of that function only; for a method with both functions,
                this requires that its `latency_stages` takes `function`.
        """
        own = contract.declared(self.instance, "latency_stages")
        if own is None:
            return None
        if function is None or not (self.can("complete") and self.can("recover")):
            return list(own(batch))
        return list(own(batch, function=function)) if "function" in inspect.signature(own).parameters else None

    def countable(self) -> AbstractContextManager[object]:
        """A context in which it runs only operations that torch's FLOP counter supports."""
        own = contract.declared(self.instance, "countable")
        return contextlib.nullcontext() if own is None else own()

    @property
    def parameters(self) -> int | None:
        """Number of parameters: `parameter_count`, else the total over its torch modules, each counted once."""
        own = contract.declared(self.instance, "parameter_count")
        return _counted(self.instance) if own is None else int(own() if callable(own) else own)

    def code_digest(self) -> str | None:
        """Hex SHA-256 of the file that defines it and, for a composed method, of the files of its parts."""
        own = code_digest(self.instance)
        if own is None or not self.parts:
            return own
        return digest(own, *(part.code_digest() or "" for part in self.parts))

    def describe(self) -> dict[str, Any]:
        """The `method` field of a result record."""
        ours = self.source.startswith("deocc_bench.")
        version = contract.declared(self.instance, "version")
        return {
            "name": self.name,
            "spec": self.spec,
            "source": self.source,
            "version": str(version if version is not None else __version__ if ours else ""),
            "parameters": self.parameters,
            "weights": self.weights,
            "options": dict(self.options),
            "code_digest": self.code_digest(),
            "needs": list(self.all_needs),
        }


def tasks_of(owner: Any) -> tuple[str, ...]:
    """The tasks that a method's class or instance can do."""
    return tuple(t for t, functions in FUNCTIONS.items() if all(contract.has(owner, f) for f in functions))


def all_needs_of(owner: Any) -> tuple[str, ...]:
    """The needs of all functions of a method's class or instance, in the order of `NEEDS`."""
    found = {n for f in FUNCTIONS["joint"] if contract.has(owner, f) for n in contract.function_needs(owner, f)}
    return tuple(n for n in NEEDS if n in found)


def _counted(instance: Any) -> int | None:
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    modules = _torch_modules(instance, torch.nn.Module, _DEPTH, set())
    numbers = {id(p): p.numel() for m in modules for p in m.parameters()}
    return sum(numbers.values()) if numbers else None


def _torch_modules(value: Any, kind: type, depth: int, seen: set[int]) -> list[Any]:
    """The modules reachable from `value` through containers and attributes, within `depth` steps."""
    if id(value) in seen:
        return []
    seen.add(id(value))
    if isinstance(value, kind):
        return [value]
    if isinstance(value, Mapping):
        inner = list(value.values())
    elif isinstance(value, list | tuple):
        inner = list(value)
    else:
        inner = list(getattr(value, "__dict__", {}).values()) if not inspect.isclass(value) else []
    return [m for v in inner for m in _torch_modules(v, kind, depth - 1, seen)] if depth else []
