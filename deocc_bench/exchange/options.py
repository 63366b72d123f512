"""The options of an importer or exporter are the keyword-only parameters of its function."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown


def accepted(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options that a function takes: its keyword-only parameters."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def check(what: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Compare the options given with those that the function takes.

    Args:
        what: the importer or exporter, for messages.

    Raises:
        UsageError: an option that it does not take, or one that it needs and was not given.
    """
    taken = accepted(function)
    for name in given:
        if name not in taken:
            raise UsageError(unknown(f"option of {what}", name, taken))
    for name, parameter in taken.items():
        if parameter.default is inspect.Parameter.empty and name not in given:
            raise UsageError(f"{what} needs the option {name}; give it with -O {name}=VALUE")


def parse(pairs: Iterable[str], named: Iterable[str]) -> dict[str, Any]:
    """The values of `-O NAME=VALUE`; a value that reads as JSON (3, 0.5, true) is taken so, any other as text.

    Args:
        named: options that have a name of their own on the command line.

    Raises:
        UsageError: no `=`, an option given twice, or one that has a name of its own.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign or not name.isidentifier():
            raise UsageError(f"--option {pair!r} must be NAME=VALUE")
        if name in named:
            raise UsageError(f"--option {pair}: write --{name.replace('_', '-')} {text}")
        if name in found:
            raise UsageError(f"--option {name} is given twice")
        try:
            found[name] = json.loads(text)
        except json.JSONDecodeError:
            found[name] = text
    return found
