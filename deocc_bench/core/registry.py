"""Map names that users type to objects, loaded on first use, with suggestions for misspelt names."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from deocc_bench.core.errors import DeoccError, UsageError


class Registry:
    """A table of `name -> "module:attribute"`; a module is imported when its entry is first loaded.

    Args:
        kind: noun for the entries in error messages ("method", "kind of humans").
        entries: the built-in names.
        entry_point_group: installed packages may add names in this group; a clash with a built-in name is an error.
        forms: how users write a built-in name that takes an argument, e.g. {"rgba": "rgba:DIR"}.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, str],
        entry_point_group: str | None = None,
        forms: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.entry_point_group = entry_point_group
        self._entries = dict(entries)
        self._forms = dict(forms or {})

    def names(self) -> list[str]:
        """Built-in names in table order, then those of installed packages, sorted."""
        return [*self._entries, *sorted(self._plugins())]

    def forms(self) -> list[str]:
        """The same as users write them, for help texts."""
        return [self._forms.get(name, name) for name in self.names()]

    def source(self, name: str) -> str:
        """The "module:attribute" of `name`."""
        if name in self._entries:
            return self._entries[name]
        plugins = self._plugins()
        if name in plugins:
            return plugins[name].value
        raise UsageError(unknown(self.kind, name, self.names()))

    def load(self, name: str) -> Any:
        """Load the object of `name`.

        Raises:
            UsageError: the name is unknown; the message suggests a similar one.
            DeoccError: an installed package's entry can't be imported.
        """
        target = self.source(name)
        try:
            return load_object(target)
        except (ImportError, AttributeError) as error:
            if name in self._entries:
                raise
            raise DeoccError(
                f"{self.kind} {name!r} ({target}) can't be imported: {error}; fix or uninstall its package"
            ) from error

    def _plugins(self) -> dict[str, EntryPoint]:
        if self.entry_point_group is None:
            return {}
        found: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.entry_point_group):
            other = self._entries.get(point.name) or (found[point.name].value if point.name in found else None)
            if other is not None and other != point.value:
                raise DeoccError(
                    f"{self.kind} {point.name!r} is claimed twice: by {other} and by {point.value}; "
                    "uninstall one of the two packages"
                )
            found[point.name] = point
        return found


def load_object(target: str) -> Any:
    """Import the object at "package.module:attribute"."""
    module, _, attribute = target.partition(":")
    value: Any = importlib.import_module(module)
    for part in attribute.split("."):
        value = getattr(value, part)
    return value


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for an unknown name: `unknown method 'unett'; did you mean 'unet'? (known: ...)`."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"unknown {kind} {name!r}{hint} (known: {', '.join(names)})"
