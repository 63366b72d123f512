"""From what a user types to a method: registered names, `package.module:Class`, `file.py:Class`.

A method declares, as attributes of its class:

* `name`, maybe `version`.
* `needs`: out of "initial", "modal", "amodal", "parsing" (inputs), "gpu", "fit" and "truth".
  Where a class has both functions, truths among its needs are those of `recover`; `complete_needs` and `recover_needs`
  say it apart. "fit" asks for `fit(dataset, split)` before the run; "truth" (oracles) for `reveal(dataset, split)` on
  the evaluated split. Such methods are marked in their records.
* `weights_used`: text, or stage -> text, for the record; "none: ..." where it was not trained.
* `parameter_count`, `precision`, `latency_stages(batch)`: for the speed table (`deocc_bench.benchmark.latency`).
* `samples`: a random method's number of draws; its functions then take `seed=`.
  Randomness must be keyed by (seed, sample id), or the numbers depend on the batches.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import operator
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from deocc_bench import __version__
from deocc_bench.core import degrade
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, InputError, UsageError, one_line
from deocc_bench.core.provenance import code_digest
from deocc_bench.core.registry import Registry, unknown
from deocc_bench.methods.names import METHODS

FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "mask": ("complete",),
    "content": ("recover",),
    "joint": ("complete", "recover"),
}
NEEDS = ("initial", "modal", "amodal", "parsing", "gpu", "fit", "truth")
TRUTHS = ("modal", "amodal", "parsing")


@dataclass(frozen=True)
class Method:
    """A method ready to run.

    Args:
        spec: as typed. source: "module:Class" or "file.py:Class".
        instance: the object with `complete` and / or `recover`.
        options: what its constructor was given.
    """

    spec: str
    name: str
    source: str
    instance: Any
    options: Mapping[str, Any] = field(default_factory=dict)

    def can(self, function: str) -> bool:
        """Whether it has "complete" or "recover"."""
        return callable(getattr(self.instance, function, None))

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(t for t, functions in FUNCTIONS.items() if all(self.can(f) for f in functions))

    @property
    def all_needs(self) -> tuple[str, ...]:
        return tuple(n for n in NEEDS if any(n in self.needs(f) for f in ("complete", "recover") if self.can(f)))

    def needs(self, function: str) -> tuple[str, ...]:
        """What one of its functions needs."""
        return function_needs(self.instance, function)

    @property
    def samples(self) -> int | None:
        """Draws of a random method; None for one that gives the same answer every time.

        Raises:
            DeoccError: `samples` is no whole number of 1 or more.
        """
        value = getattr(self.instance, "samples", None)
        if value is None:
            return None
        try:
            draws = operator.index(value)
        except TypeError:
            draws = 0
        if draws < 1 or isinstance(value, bool):
            raise DeoccError(
                f"method {self.name!r}: samples is {value!r}; give the number of draws, 1 or more, or None if it is "
                "not random"
            )
        return draws

    def describe(self) -> dict[str, Any]:
        """The `method` field of a result record."""
        instance = self.instance
        return {
            "name": self.name,
            "spec": self.spec,
            "source": self.source,
            "version": str(getattr(instance, "version", __version__ if self.source.startswith("deocc_bench.") else "")),
            "parameters": parameter_count(instance),
            "weights": getattr(instance, "weights_used", None),
            "options": dict(self.options),
            "code_digest": code_digest(instance),
            "needs": list(self.all_needs),
        }


def function_needs(owner: Any, function: str) -> tuple[str, ...]:
    """`needs` of a class or instance for "complete" or "recover" (see the module's text).

    Raises:
        DeoccError: it declares a need that the harness does not know.
    """
    needs = _as_names(getattr(owner, "needs", ()))
    own = getattr(owner, f"{function}_needs", None)
    if own is not None:
        needs = tuple(dict.fromkeys((*_as_names(own), *(n for n in needs if n in ("gpu", "fit", "truth")))))
    elif function == "complete" and callable(getattr(owner, "recover", None)):
        needs = tuple(n for n in needs if n not in TRUTHS)
    bad = [n for n in needs if n not in NEEDS]
    if bad:
        raise DeoccError(f"method {owner_name(owner)!r}: {unknown('need', bad[0], NEEDS)}")
    return needs


def owner_name(owner: Any) -> str:
    """The name of a method's class or instance."""
    cls = owner if inspect.isclass(owner) else type(owner)
    return str(getattr(owner, "name", None) or cls.__name__)


def load_method(
    spec: str,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    registry: Registry = METHODS,
) -> Method:
    """Make the method that `spec` names.

    Args:
        spec: `name`, `name:preset`, `package.module:Class[:preset]` or `file.py:Class[:preset]`.
        options: keyword arguments of its constructor; a preset is passed as `preset`.
        device: passed on if the constructor takes `device`.

    Raises:
        UsageError: no such method, or an option it does not have.
        DeoccError: its code can't be imported, its constructor fails, or it is no method.
    """
    factory, preset, source = _resolve(spec, registry)
    given = dict(options or {})
    if preset is not None:
        given["preset"] = preset
    return _made(factory, spec, source, given, device, preset)


def as_method(method: Any, options: Mapping[str, Any] | None = None, device: str = "auto") -> Method:
    """A method of whatever Python code may hand over: a spec, a class, an object that is made already, or a `Method`.

    Args:
        method: a spec (see `load_method`), a class, or an object with `complete(batch)`, `recover(batch)` or both.
        options: keyword arguments of the constructor, for a spec or a class.
        device: passed on if the constructor takes `device`; an object has its own already.

    Raises:
        UsageError: no such method, an option it does not have, or options for an object that is made already.
        DeoccError: its constructor fails, or it is no method.
    """
    if isinstance(method, str):
        return load_method(method, options, device)
    if inspect.isclass(method):
        source = f"{method.__module__}:{method.__qualname__}"
        return _made(method, source, source, dict(options or {}), device)
    if options:
        raise UsageError(f"options {', '.join(options)} are given with an object; pass them to its constructor")
    if isinstance(method, Method):
        return method
    source = f"{type(method).__module__}:{type(method).__qualname__} (object)"
    return _checked(Method(source, owner_name(method), source, method))


def _made(
    factory: Any, spec: str, source: str, options: Mapping[str, Any], device: str, preset: str | None = None
) -> Method:
    arguments = _arguments(spec, factory, options, device)
    try:
        instance = factory(**arguments)
    except DeoccError:
        raise
    except Exception as error:
        raise DeoccError(f"method {spec!r} can't be made: {describe_error(error)}") from error
    name = owner_name(instance) + ("" if preset is None else f":{preset}")
    return _checked(Method(spec, name, source, instance, {k: v for k, v in arguments.items() if k != "device"}))


def _checked(method: Method) -> Method:
    """Find a wrong declaration before anything is run."""
    if not any(method.can(f) for f in ("complete", "recover")):
        raise DeoccError(
            f"method {method.spec!r} has neither complete(batch) nor recover(batch); give its class one of them"
        )
    _ = method.samples
    if "gpu" in method.all_needs and not _has_gpu():
        raise DeoccError(f"method {method.name!r} needs a GPU, and there is none; run it on a machine with CUDA")
    return method


def check_serves(method: Method, task: str, dataset: DatasetReader, split: str, initial_mask: str) -> None:
    """Refuse a task that the method can't do or the dataset can't serve, with the reason.

    Args:
        initial_mask: "dataset", or a spec that makes the mask from the true one.

    Raises:
        UsageError: the method lacks a function, or an initial mask is asked for in task `content`, which has none.
        DeoccError: the dataset lacks something; says what.
    """
    if initial_mask != "dataset":
        if task == "content":
            raise UsageError("task 'content' has no initial mask; --initial-mask is for mask and joint")
        degrade.parse(initial_mask)
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
        if "initial" in needs and task != "content" and initial_mask == "dataset" and not dataset.has("initial", split):
            raise DeoccError(
                f"{where}: {method.name!r} needs initial masks, which this dataset lacks; give --initial-mask perfect"
            )
        from_truth = function == "complete" or task == "content"
        if "parsing" in needs and from_truth and not dataset.has("parsing", split):
            raise DeoccError(f"{where}: {method.name!r} needs parsing, which this dataset lacks; use another dataset")


def truth_given(method: Method, task: str) -> tuple[str, ...]:
    """The truths that the method sees beyond what the task gives to all; such a method is no fair entry."""
    seen = [n for n in method.needs("complete") if n in TRUTHS] if task != "content" else []
    oracle = any("truth" in method.needs(f) for f in FUNCTIONS[task])
    return (*seen, *(["everything"] if oracle else []))


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """`k=v` texts to keyword arguments; a value that reads as JSON is taken so (3, 0.5, true, null), else as text.

    Raises:
        UsageError: a text without `=`.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not key.isidentifier():
            raise UsageError(f"--option {pair!r} must be NAME=VALUE")
        try:
            found[key] = json.loads(text)
        except json.JSONDecodeError:
            found[key] = text
    return found


def list_methods(registry: Registry = METHODS) -> list[dict[str, Any]]:
    """One dict per registered method: name, tasks, needs, source, and `problem` where it can't be imported."""
    rows = []
    for name in registry.names():
        row: dict[str, Any] = {"name": name, "tasks": [], "needs": [], "source": registry.source(name), "problem": None}
        try:
            owner = registry.load(name)
            functions = [f for f in ("complete", "recover") if callable(getattr(owner, f, None))]
            row["tasks"] = [t for t, wanted in FUNCTIONS.items() if all(f in functions for f in wanted)]
            row["needs"] = [n for n in NEEDS if any(n in function_needs(owner, f) for f in functions)]
        except (DeoccError, ImportError, AttributeError) as error:
            row["problem"] = describe_error(error)
        rows.append(row)
    return rows


def parameter_count(instance: Any) -> int | None:
    """Number of parameters: `parameter_count` (value or function), else of the torch modules it holds, each once."""
    own = getattr(instance, "parameter_count", None)
    if own is not None:
        return int(own() if callable(own) else own)
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    numbers = {id(p): p.numel() for m in _torch_modules(instance, torch.nn.Module, 4, set()) for p in m.parameters()}
    return sum(numbers.values()) if numbers else None


def _torch_modules(value: Any, kind: type, depth: int, seen: set[int]) -> list[Any]:
    """The modules below `value`, through containers and attributes, at most `depth` steps away."""
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


def describe_error(error: BaseException) -> str:
    """`ValueError: text` on one line."""
    text = str(error)
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__, 300)


def _resolve(spec: str, registry: Registry) -> tuple[Any, str | None, str]:
    head, _, rest = spec.partition(":")
    if head in registry.names():
        return registry.load(head), rest or None, registry.source(head)
    if spec.endswith(".py"):
        raise UsageError(f"{spec}: name the class too, as {spec}:MyMethod")
    if ".py:" in spec:
        path, _, rest = spec.partition(".py:")
        name, _, preset = rest.partition(":")
        return _attribute(_load_file(Path(f"{path}.py")), name, f"{path}.py"), preset or None, f"{path}.py:{name}"
    if rest and _is_module(head):
        name, _, preset = rest.partition(":")
        return _attribute(_import(head), name, head), preset or None, f"{head}:{name}"
    if rest and "." in head:
        raise UsageError(f"no module {head!r}; install its package, or give the file as path/to/file.py:{rest}")
    raise UsageError(
        f"{unknown('method', head, registry.names())}; others: package.module:Class, file.py:Class, predictions:DIR"
    )


def _is_module(name: str) -> bool:
    try:
        return all(p.isidentifier() for p in name.split(".")) and importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise DeoccError(f"module {name!r} can't be imported: {describe_error(error)}") from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise InputError(path, "no such file", "check the path")
    # A name of its own, so that a user's file can't hide a module of the same name.
    name = f"deocc_method_{abs(hash(str(path.resolve()))):x}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise InputError(path, f"can't be imported: {describe_error(error)}", "mend the file") from error
    return module


def _attribute(module: ModuleType, name: str, where: str) -> Any:
    if hasattr(module, name) and callable(getattr(module, name)):
        return getattr(module, name)
    classes = [n for n, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__]
    raise UsageError(f"{where}: {unknown('class', name, classes)}")


def _arguments(spec: str, factory: Any, options: Mapping[str, Any], device: str) -> dict[str, Any]:
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return dict(options)
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in options:
        if name not in known and not free:
            if name == "preset":
                raise UsageError(f"method {spec!r} takes no preset; leave out ':{options[name]}'")
            takes = unknown("option", name, known) if known else f"unknown option {name!r}; it takes none"
            raise UsageError(f"method {spec!r}: {takes}")
    arguments = dict(options)
    if "device" in known and "device" not in arguments:
        arguments["device"] = device
    missing = [n for n in known if parameters[n].default is inspect.Parameter.empty and n not in arguments]
    if missing:
        raise UsageError(f"method {spec!r} needs --option {missing[0]}=...")
    return arguments


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _as_names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)
