"""Occluder sources: cut-outs to put in front of a person.

`open_occluders("coco:instances.json", seed=0)` opens one source; samples draw their occluders from an `OccluderPool`.
Installed packages can add kinds through the entry point group `deocc_bench.occluders`. The entry point is a function
with the signature of the built-in ones, `open_source(argument, seed=, humans=, human_ids=, skip_bad=)`, that returns an
`OccluderSource`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deocc_bench.core.registry import Registry
from deocc_bench.synth.occluders.base import OccluderPool, OccluderSource, require_some

__all__ = ["SOURCES", "OccluderPool", "OccluderSource", "open_occluders"]

SOURCES = Registry(
    "kind of occluders",
    {
        "shapes": "deocc_bench.synth.occluders.shapes:open_source",
        "coco": "deocc_bench.synth.occluders.coco:open_source",
        "rgba": "deocc_bench.synth.occluders.rgba:open_source",
        "humans": "deocc_bench.synth.occluders.humans:open_source",
    },
    "deocc_bench.occluders",
    {"shapes": "shapes[:N]", "coco": "coco:INSTANCES.json[,IMAGES_DIR]", "rgba": "rgba:DIR"},
)


def open_occluders(
    spec: str,
    seed: int = 0,
    humans: Any = None,
    human_ids: Sequence[str] | None = None,
    skip_bad: bool = False,
) -> OccluderSource:
    """Open the source given by `--occluders`.

    Args:
        spec: one of `SOURCES.forms()`.
        seed: random seed of the drawn shapes.
        humans, human_ids: the human source and its accepted ids (None: all); used only by "humans".
        skip_bad: list broken files under `rejected()` instead of raising.

    Raises:
        UsageError: unknown kind (with a suggestion), or a required argument of the kind is missing.
        InputError: missing or broken input, or nothing left after the filters.
    """
    kind, _, argument = spec.partition(":")
    open_source = SOURCES.load(kind)
    source: OccluderSource = open_source(argument, seed=seed, humans=humans, human_ids=human_ids, skip_bad=skip_bad)
    require_some(source, f"--occluders {spec}")
    return source
