"""Making methods: from a spec, a class or an object to a `Method` whose declarations are checked."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deocc_bench.core.errors import DeoccError, UsageError, describe_error
from deocc_bench.core.registry import Registry, unknown
from deocc_bench.methods import contract
from deocc_bench.methods.devices import AUTO, count_gpus, resolve_device
from deocc_bench.methods.method import Method, all_needs_of, tasks_of
from deocc_bench.methods.names import METHODS
from deocc_bench.methods.specs import Resolved, resolve

# `2.radius` is for the second part of a method that is composed of others.
_OPTION = re.compile(r"(\d+\.)*[^\W\d]\w*")
# What a constructor calls the file that a user may have meant to give as a preset, the likeliest first.
_FILE_OPTIONS = ("weights", "checkpoint", "ckpt", "model_path", "weights_path", "path", "file", "model")


def load_method(
    spec: str,
    options: Mapping[str, Any] | None = None,
    device: str = AUTO,
    registry: Registry = METHODS,
) -> Method:
    """Make the method that `spec` names.

    Args:
        spec: `name`, `name:preset`, `package.module:Class[:preset]` or `file.py:Class[:preset]`.
        options: keyword arguments of its constructor; a preset is passed as `preset`.
        device: "auto", "cpu", "cuda" or "cuda:N"; a constructor that takes `device` is given "cpu", "cuda" or "cuda:N".

    A class that is composed of other methods (`chain`) may have a class method `from_spec(preset, options, device)`,
    which is called in the constructor's place; `options` then holds those of the parts too.

    Raises:
        UsageError: no such method, an option it does not have, or a device that this machine does not have.
        DeoccError: its code can't be imported, its constructor fails, it is no method, or it declares something wrong.
    """
    found = resolve(spec, registry)
    given = dict(options or {}) | ({} if found.preset is None else {"preset": found.preset})
    compose = getattr(found.factory, "from_spec", None)
    if callable(compose):
        instance = _run(spec, lambda: compose(found.preset, options or {}, device))
        _check(instance)
        return Method(spec, contract.owner_name(instance), found.source, instance, given)
    return _made(spec, found, given, device)


def as_method(method: Any, options: Mapping[str, Any] | None = None, device: str = AUTO) -> Method:
    """A method of whatever Python code may hand over: a spec, a class, an object that is made already, or a `Method`.

    Args:
        method: a spec (see `load_method`), a class, or an object with `complete(batch)`, `recover(batch)` or both.
        options: keyword arguments of the constructor, for a spec or a class.
        device: as for `load_method`; an object has its own already.

    Raises:
        UsageError: no such method, an option it does not have, or options for an object that is made already.
        DeoccError: its constructor fails, it is no method, or it declares something wrong.
    """
    if isinstance(method, str):
        return load_method(method, options, device)
    if inspect.isclass(method):
        source = f"{method.__module__}:{method.__qualname__}"
        return _made(source, Resolved(method, None, source), dict(options or {}), device)
    if options:
        raise UsageError(f"options {', '.join(options)} are given with an object; pass them to its constructor")
    if isinstance(method, Method):
        return method
    source = f"{type(method).__module__}:{type(method).__qualname__} (object)"
    _check(method)
    return Method(source, contract.owner_name(method), source, method)


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """`k=v` texts to keyword arguments; a value that reads as JSON is taken so (3, 0.5, true, null), else as text.

    `2.k=v` is kept under "2.k": it is for the second part of a method that is composed of others.

    Raises:
        UsageError: a text without `=`, or a name that is none.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        key, sign, text = pair.partition("=")
        if not sign or not _OPTION.fullmatch(key):
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
            row["tasks"], row["needs"] = list(tasks_of(owner)), list(all_needs_of(owner))
        except (DeoccError, ImportError, AttributeError) as error:
            row["problem"] = describe_error(error)
        rows.append(row)
    return rows


def _made(spec: str, found: Resolved, options: Mapping[str, Any], device: str) -> Method:
    arguments = _arguments(spec, found.factory, options, device)
    instance = _run(spec, lambda: found.factory(**arguments))
    _check(instance)
    name = contract.owner_name(instance) + ("" if found.preset is None else f":{found.preset}")
    return Method(spec, name, found.source, instance, {k: v for k, v in arguments.items() if k != "device"})


def _run(spec: str, make: Callable[[], Any]) -> Any:
    try:
        return make()
    except DeoccError:
        raise
    except Exception as error:
        raise DeoccError(f"method {spec!r} can't be made: {describe_error(error)}") from error


def _check(instance: Any) -> None:
    """Find what is wrong before anything is run."""
    contract.check(instance)
    if "gpu" in all_needs_of(instance) and not count_gpus():
        name = contract.owner_name(instance)
        raise DeoccError(f"method {name!r} needs a GPU, and there is none; run it on a machine with CUDA")


def _arguments(spec: str, factory: Any, options: Mapping[str, Any], device: str) -> dict[str, Any]:
    """What the constructor is called with: the options, and the device where it takes one."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return dict(options)
    free = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    known = [n for n, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for name in options:
        if "." in name or (name not in known and not free):
            raise UsageError(_refusal(spec, name, options[name], known))
    arguments = dict(options)
    if "device" in known:
        arguments["device"] = resolve_device(str(options.get("device", device)))
    missing = [n for n in known if parameters[n].default is inspect.Parameter.empty and n not in arguments]
    if missing:
        raise UsageError(f"method {spec!r} needs --option {missing[0]}=...")
    return arguments


def _refusal(spec: str, name: str, value: Any, known: list[str]) -> str:
    """Why a constructor can't be given an option, and what can be given instead."""
    if name == "preset":
        likely = next((n for n in _FILE_OPTIONS if n in known), None)
        cure = f"leave out ':{value}'" if likely is None else f"write -O {likely}={value}"
        return f"method {spec!r} takes no preset; {cure}"
    if "." in name:
        return f"method {spec!r}: option {name!r} is for a part, but the method is not composed; leave out the number"
    takes = unknown("option", name, known) if known else f"unknown option {name!r}; it takes none"
    return f"method {spec!r}: {takes}"
