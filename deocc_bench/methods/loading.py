"""Load methods: a spec, a class or an object becomes a `Method` with checked declarations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deocc_bench.core.errors import DeoccError, UsageError, describe_error
from deocc_bench.core.options import name_and_value
from deocc_bench.core.registry import Registry, unknown
from deocc_bench.methods import contract
from deocc_bench.methods.devices import AUTO, count_gpus, resolve_device
from deocc_bench.methods.method import Method, all_needs_of, tasks_of
from deocc_bench.methods.names import METHODS
from deocc_bench.methods.specs import Resolved, resolve

# `2.radius` is an option of the second part of a composed method.
_OPTION = re.compile(r"(\d+\.)*[^\W\d]\w*")
# Constructor parameters for a file that a user may have passed as a preset, the likeliest first.
_FILE_OPTIONS = ("weights", "checkpoint", "ckpt", "model_path", "weights_path", "path", "file", "model")


def load_method(
    spec: str,
    options: Mapping[str, Any] | None = None,
    device: str = AUTO,
    registry: Registry = METHODS,
) -> Method:
    """Create the method that `spec` names.

    Args:
        spec: `name`, `name:preset`, `package.module:Class[:preset]` or `file.py:Class[:preset]`.
        options: keyword arguments of its constructor; a preset is passed as `preset`.
        device: "auto", "cpu", "cuda" or "cuda:N"; a constructor with a parameter `device` receives the resolved name.

    A class that is composed of other methods (`chain`) may have a class method `from_spec(preset, options, device)`,
    which is called instead of the constructor; `options` then includes the options of the parts.

    Raises:
        UsageError: an unknown method or option, or a device that this machine does not have.
        DeoccError: its code can't be imported, its constructor fails, it is not a method, or a declaration is wrong.
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
    """Convert a spec, a class, an object or a `Method` to a `Method`.

    Args:
        method: a spec (see `load_method`), a class, or an object with `complete(batch)`, `recover(batch)` or both.
        options: keyword arguments of the constructor, for a spec or a class.
        device: same as for `load_method`; not used for an object.

    Raises:
        UsageError: an unknown method or option, or options for an object.
        DeoccError: its constructor fails, it is not a method, or a declaration is wrong.
    """
    if isinstance(method, str):
        return load_method(method, options, device)
    if inspect.isclass(method):
        source = f"{method.__module__}:{method.__qualname__}"
        return _made(source, Resolved(method, None, source), dict(options or {}), device)
    if options:
        raise UsageError(f"options {', '.join(options)} can't be applied to an object; pass them to its constructor")
    if isinstance(method, Method):
        return method
    source = f"{type(method).__module__}:{type(method).__qualname__} (object)"
    _check(method)
    return Method(source, contract.owner_name(method), source, method)


def parse_options(pairs: Iterable[str]) -> dict[str, Any]:
    """Parse `k=v` texts to keyword arguments; a value that is valid JSON (3, 0.5, true, null) is parsed, else a text.

    `2.k=v` is stored as "2.k": an option of the second part of a composed method.

    Raises:
        UsageError: a text without `=`, or an invalid name.
    """
    return dict(name_and_value(pair, _OPTION) for pair in pairs)


def list_methods(registry: Registry = METHODS) -> list[dict[str, Any]]:
    """One dict per registered method: name, tasks, needs, source, and `problem` if it can't be imported."""
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
        raise DeoccError(f"method {spec!r} can't be created: {describe_error(error)}") from error


def _check(instance: Any) -> None:
    """Check the declarations and the GPU need before anything is run."""
    contract.check(instance)
    if "gpu" in all_needs_of(instance) and not count_gpus():
        name = contract.owner_name(instance)
        raise DeoccError(f"method {name!r} needs a GPU, and there is none; run it on a machine with CUDA")


def _arguments(spec: str, factory: Any, options: Mapping[str, Any], device: str) -> dict[str, Any]:
    """The constructor's arguments: the options, and the device if it takes one."""
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
    """The message for an option that a constructor does not take, with an alternative."""
    if name == "preset":
        likely = next((n for n in _FILE_OPTIONS if n in known), None)
        cure = f"leave out ':{value}'" if likely is None else f"write -O {likely}={value}"
        return f"method {spec!r} takes no preset; {cure}"
    if "." in name:
        return f"method {spec!r}: option {name!r} is for a part, but the method has no parts; leave out the number"
    takes = unknown("option", name, known) if known else f"unknown option {name!r}; it takes none"
    return f"method {spec!r}: {takes}"
