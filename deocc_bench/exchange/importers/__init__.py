"""Importers of annotated photos: COCOA, KINS, D2SA (flat COCO), AHP and plain folders.

`open_source("cocoa:FILE.json", images=...)` returns the items of a source; `store.write_dataset` writes them.

An importer is a function `read(path, *, options...)` that returns `Item`s and `Bad`s, photo by photo. Its keyword-only
parameters are its options. Installed packages add importers in the entry point group `deocc_bench.importers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.json_files import is_text
from deocc_bench.core.paths import is_safe_id
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


def open_source(source: str, **values: Any) -> Iterable[Item | Bad]:
    """Read the items of "KIND:PATH", photo by photo.

    Args:
        source: "KIND:PATH".
        values: options of the kind.

    Raises:
        UsageError: the kind is unknown, the path is missing, or the kind has no such option or value of it.
        InputError: a file is missing or broken.
    """
    kind, colon, path = source.partition(":")
    if not colon or not path:
        raise UsageError(f"{source!r}: write KIND:PATH, with KIND one of {', '.join(IMPORTERS.names())}")
    read: Callable[..., Iterable[Item | Bad]] = IMPORTERS.load(kind)
    options.check(kind, read, values)
    if values.get("split") is not None and not is_safe_id(values["split"]):
        raise UsageError(f"--split {values['split']!r}: the name of a split must be a plain file name")
    if not is_text(values.get("licence", ""), longest=1000):
        raise UsageError("--licence: must be a short plain text")
    try:
        Path(path).exists()
    except OSError as error:
        raise InputError(path, f"can't be read ({error.strerror})", "check the path") from error
    return read(Path(path), **values)
