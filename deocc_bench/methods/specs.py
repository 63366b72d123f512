"""Resolve a spec to the class it names: a registered name, `package.module:Class` or `file.py:Class`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from deocc_bench.core.errors import DeoccError, InputError, UsageError, describe_error
from deocc_bench.core.registry import Registry, unknown
from deocc_bench.methods.names import METHODS


@dataclass(frozen=True)
class Resolved:
    """The result of resolving a spec.

    Args:
        factory: the callable that creates the method, usually a class.
        preset: the preset name after the last colon; None if there is none.
        source: "module:Class" or "file.py:Class".
    """

    factory: Any
    preset: str | None
    source: str


def resolve(spec: str, registry: Registry = METHODS) -> Resolved:
    """Find the class that `spec` names; this imports its module.

    Raises:
        UsageError: no such method.
        DeoccError: its code can't be imported.
    """
    head, _, rest = spec.partition(":")
    if head in registry.names():
        return Resolved(registry.load(head), rest or None, registry.source(head))
    if spec.endswith(".py"):
        raise UsageError(f"{spec}: add the name of the class, e.g. {spec}:MyMethod")
    if ".py:" in spec:
        path, _, rest = spec.partition(".py:")
        name, _, preset = rest.partition(":")
        return Resolved(
            _attribute(_load_file(Path(f"{path}.py")), name, f"{path}.py"), preset or None, f"{path}.py:{name}"
        )
    if rest and _is_module(head):
        name, _, preset = rest.partition(":")
        return Resolved(_attribute(_import(head), name, head), preset or None, f"{head}:{name}")
    if rest and "." in head:
        raise UsageError(f"no module {head!r}; install its package, or use a file: path/to/file.py:{rest}")
    raise UsageError(
        f"{unknown('method', head, registry.names())}; others: package.module:Class, file.py:Class, predictions:DIR"
    )


def names_code(spec: str, registry: Registry = METHODS) -> bool:
    """Whether `spec` names an existing registered method, file or module; imports none of its code."""
    if ".py:" in spec:
        return Path(f"{spec.partition('.py:')[0]}.py").is_file()
    head, colon, _ = spec.partition(":")
    return head in registry.names() or (bool(colon) and _is_module(head))


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
    # A unique module name, so that a user's file can't shadow a module of the same name.
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
        raise InputError(path, f"can't be imported: {describe_error(error)}", "fix the file") from error
    return module


def _attribute(module: ModuleType, name: str, where: str) -> Any:
    if hasattr(module, name) and callable(getattr(module, name)):
        return getattr(module, name)
    classes = [n for n, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__]
    raise UsageError(f"{where}: {unknown('class', name, classes)}")
