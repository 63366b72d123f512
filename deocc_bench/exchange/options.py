"""Options of importers and exporters: the keyword-only parameters of their functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from deocc_bench.core.errors import UsageError
from deocc_bench.core.options import name_and_value
from deocc_bench.core.registry import unknown


def accepted(function: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The options of a function: its keyword-only parameters."""
    parameters = inspect.signature(function).parameters
    return {name: p for name, p in parameters.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}


def check(what: str, function: Callable[..., Any], values: Mapping[str, Any]) -> None:
    """Check option values against the options of a function.

    Args:
        what: name of the importer or exporter, for messages.
        function: the importer or exporter.
        values: option values by name.

    Raises:
        UsageError: an option is unknown, or a required option is missing.
    """
    taken = accepted(function)
    for name in values:
        if name not in taken:
            raise UsageError(unknown(f"option of {what}", name, taken))
    for name, parameter in taken.items():
        if parameter.default is inspect.Parameter.empty and name not in values:
            raise UsageError(f"{what} needs the option {name}; give it with -O {name}=VALUE")


def parse(pairs: Iterable[str], reserved: Iterable[str]) -> dict[str, Any]:
    """Parse `-O NAME=VALUE` options. A value that is valid JSON (3, 0.5, true) is decoded; any other value is a string.

    Args:
        pairs: "NAME=VALUE" strings.
        reserved: options that have their own command-line flag.

    Raises:
        UsageError: `=` is missing, an option is given twice, or an option has its own flag.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, value = name_and_value(pair)
        if name in reserved:
            raise UsageError(f"--option {pair}: write --{name.replace('_', '-')} {pair.partition('=')[2]}")
        if name in found:
            raise UsageError(f"--option {name} is given twice")
        found[name] = value
    return found
