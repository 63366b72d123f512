"""`ahp:DIR`: the unoccluded people of AHP, as samples without occlusion, for training and for their complete images.

Layout: `train/{JPEGImages/*.jpg, Annotations/*.png, PseudoParsingAnnotations/*.png, ImageSets/{train,val}.txt}`. The
folder `train` is optional. To synthesise occlusions over these people, pass the folder to `synth --humans ahp:DIR`.

Source of the layout: Zhou et al., "Human de-occlusion" (CVPR 2021), as collected in docs/formats.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deocc_bench.core import masks
from deocc_bench.core.errors import InputError
from deocc_bench.core.images import IMAGE_SUFFIXES
from deocc_bench.core.mask_files import read_mask_file
from deocc_bench.core.paths import check_inside, safe_id
from deocc_bench.core.reading import read_file
from deocc_bench.exchange.importers.annotated import Bad, Item, consistent


def read(path: Path, *, split: str | None = None, licence: str = "") -> Iterator[Item | Bad]:
    """Yield items in the order of the lists in `ImageSets`. Each list is a split, unless `split` is given for all.

    Raises:
        InputError: the folder does not have this layout.
    """
    root = path / "train" if (path / "train" / "JPEGImages").is_dir() else path
    lists = sorted((root / "ImageSets").glob("*.txt"))
    if not (root / "JPEGImages").is_dir() or not lists:
        raise InputError(path, "has no JPEGImages with ImageSets/*.txt", "give the folder of AHP")
    for listed in lists:
        for name in _names(listed):
            try:
                item = _item(root, _plain(name, listed), split or listed.stem, licence)
                yield consistent(item, str(root / "Annotations" / f"{item.id}.png"))
            except InputError as error:
                yield Bad(error)


def _names(listed: Path) -> list[str]:
    try:
        return read_file(listed).decode("utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise InputError(listed, f"is not UTF-8 text (byte {error.start})", "save it as UTF-8") from error


def _plain(name: str, listed: Path) -> str:
    """The id of a listed name, which may have the suffix of a photo."""
    stem, dot, suffix = name.rpartition(".")
    listed_id = stem if f".{suffix}".lower() in IMAGE_SUFFIXES and dot else name
    return safe_id(listed_id, listed, "name", "list plain names without folders, or use --skip-bad")


def _item(root: Path, name: str, split: str, licence: str) -> Item:
    photo, mask = root / "JPEGImages" / f"{name}.jpg", root / "Annotations" / f"{name}.png"
    parsing = root / "PseudoParsingAnnotations" / f"{name}.png"
    for file in (photo, mask, parsing):
        check_inside(root, file)
    read = read_mask_file(mask)
    whole = masks.encode(read.mask)
    height, width = whole["size"]
    return Item(
        id=name,
        split=split,
        group_id=name,
        photo=photo,
        size=(height, width),
        amodal=whole,
        modal=whole,
        licence=licence or "AHP: non-commercial research only",
        complete=photo,
        parsing=parsing if parsing.exists() else None,
        soft=int(read.soft),
        notes={"kind": "ahp"},
    )
