"""`kins:FILE.json`: the KINS dataset.

COCO style; `segmentation` has the amodal polygons, `inmodal_seg` the visible mask. The 2020 update calls them `a_segm`
and `i_segm` and adds the depth order (`oco_id`, `ico_id`), which is kept.

Source of the schema: Qi et al., "Amodal instance segmentation with KINS dataset" (CVPR 2019), as collected in
docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deocc_bench.core.errors import InputError
from deocc_bench.core.masks import RLE
from deocc_bench.exchange.importers.annotated import Bad, Item, read_rle
from deocc_bench.exchange.importers.d2sa import read_flat
from deocc_bench.exchange.importers.entries import FlatFields
from deocc_bench.exchange.importers.release import Release, part


def read(
    path: Path, *, images: Path | None = None, regions: str = "all", split: str | None = None, licence: str = ""
) -> Iterator[Item | Bad]:
    """Yield items photo by photo; options as in `d2sa`.

    Raises:
        UsageError: the folder of photos is missing.
        InputError: the file is missing or has another schema.
    """
    release = Release.open("kins", path, images=images, regions=regions, split=split, licence=licence)
    yield from read_flat(release, _masks, ("inmodal_seg", "i_segm"))


def _masks(fields: FlatFields, size: tuple[int, int], where: str) -> tuple[RLE, RLE]:
    amodal = fields.segmentation if fields.a_segm is None else fields.a_segm
    modal = fields.inmodal_seg if fields.i_segm is None else fields.i_segm
    if amodal is None or modal is None:
        raise InputError(where, "has no amodal mask or no visible mask", "give a KINS file, or use --skip-bad")
    return read_rle(amodal, size, where, "amodal mask"), part(modal, size, where, "visible mask")
