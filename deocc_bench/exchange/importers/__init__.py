"""Annotated photographs in: COCOA, KINS, D2SA (flat COCO), AHP, plain folders become dataset folders.

`open_source("cocoa:FILE.json", images=...)` gives the items of a source; `store.write_dataset` writes them.

An importer is a function `read(path, *, options...)` that returns `Item`s and `Bad`s, photo by photo. Its keyword-only
parameters are its options. Installed packages add importers under the entry point group `deocc_bench.importers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import Registry
from deocc_bench.exchange import options
from deocc_bench.exchange.importers.annotated import Bad, Item

IMPORTERS = Registry(
    "kind of annotations",
    {
        "cocoa": "deocc_bench.exchange.importers.cocoa:read",
        "kins": "deocc_bench.exchange.importers.kins:read",
        "d2sa": "deocc_bench.exchange.importers.d2sa:read",
        "ahp": "deocc_bench.exchange.importers.ahp:read",
        "folder": "deocc_bench.exchange.importers.folder:read",
    },
    "deocc_bench.importers",
)


def open_source(source: str, **given: Any) -> Iterable[Item | Bad]:
    """The items of "KIND:PATH", photo by photo.

    Args:
        given: options of the kind.

    Raises:
        UsageError: an unknown kind, no path, or an option that the kind does not take.
        InputError: a missing or broken file.
    """
    kind, colon, path = source.partition(":")
    if not colon or not path:
        raise UsageError(f"{source!r}: write KIND:PATH, with KIND one of {', '.join(IMPORTERS.names())}")
    read: Callable[..., Iterable[Item | Bad]] = IMPORTERS.load(kind)
    options.check(kind, read, given)
    return read(Path(path), **given)
