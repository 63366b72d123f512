"""Annotated photographs in: COCOA, KINS, D2SA (flat COCO), AHP, plain folders become dataset folders.

`open_source("cocoa:FILE.json", ...)` gives the items of a source; `store.write_dataset` writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import Registry
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
)
REGIONS = ("all", "persons")
ANNOTATORS = ("first", "all")


@dataclass(frozen=True)
class Options:
    """What a source is asked for.

    Args:
        images: folder of the photos, for kinds whose annotations are one file.
        regions: "all", or "persons" by name.
        annotators: "first" of each photo or "all".
        split: its name; None: "train" or "val" if the file's name says so, else "test".
        licence: of the photos, if the source does not say.
    """

    images: Path | None = None
    regions: str = "all"
    annotators: str = "first"
    split: str | None = None
    licence: str = ""

    def split_of(self, path: Path) -> str:
        """The split for a file of this name."""
        if self.split is not None:
            return self.split
        return next((s for s in ("train", "val") if s in path.stem.lower()), "test")

    def images_or_raise(self, kind: str) -> Path:
        """The folder of photos.

        Raises:
            UsageError: none was given, or it does not exist.
        """
        if self.images is None:
            raise UsageError(f"{kind}: annotations name their photos only; give their folder with --images DIR")
        if not self.images.is_dir():
            raise UsageError(f"--images {self.images}: no such folder")
        return self.images


def open_source(source: str, options: Options) -> Iterable[Item | Bad]:
    """The items of "KIND:PATH", photo by photo.

    Raises:
        UsageError: an unknown kind, or no path.
        InputError: a missing or broken file.
    """
    kind, colon, path = source.partition(":")
    if not colon or not path:
        raise UsageError(f"{source!r}: write KIND:PATH, with KIND one of {', '.join(IMPORTERS.names())}")
    read: Callable[[Path, Options], Iterable[Item | Bad]] = IMPORTERS.load(kind)
    return read(Path(path), options)
