"""`folder:DIR`: `images/<id>.*`, `amodal/<id>.png`, `modal/<id>.png`, and optionally `initial/<id>.png`,
`complete/<id>.*`, `parsing/<id>.png` (LIP ids). One person per photo."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from deocc_bench.core import images, mask_files, masks
from deocc_bench.core.errors import InputError
from deocc_bench.core.masks import RLE
from deocc_bench.core.pixels import Header, open_image
from deocc_bench.exchange.importers.annotated import Bad, Item, consistent


def read(path: Path, *, split: str | None = None, licence: str = "") -> Iterator[Item | Bad]:
    """Yield items sorted by id.

    Raises:
        InputError: a folder is missing, or has no photos.
    """
    for name in ("images", "amodal", "modal"):
        if not (path / name).is_dir():
            raise InputError(path, f"has no folder {name}/", "create the folders images/, amodal/ and modal/")
    photos = sorted(p for p in (path / "images").iterdir() if p.suffix.lower() in images.IMAGE_SUFFIXES)
    if not photos:
        raise InputError(path / "images", "has no photos", f"supported file types: {', '.join(images.IMAGE_SUFFIXES)}")
    for photo in photos:
        try:
            yield consistent(_item(path, photo, split or "test", licence), str(path / "amodal" / f"{photo.stem}.png"))
        except InputError as error:
            yield Bad(error)


def _item(root: Path, photo: Path, split: str, licence: str) -> Item:
    name = photo.stem
    header = open_image(photo).header
    parsing, initial = root / "parsing" / f"{name}.png", root / "initial" / f"{name}.png"
    complete = next((p for s in images.IMAGE_SUFFIXES if (p := root / "complete" / f"{name}{s}").is_file()), None)
    return Item(
        id=name,
        split=split,
        group_id=name,
        photo=photo,
        size=header.size,
        amodal=_mask(root / "amodal" / f"{name}.png", header, photo),
        modal=_mask(root / "modal" / f"{name}.png", header, photo),
        licence=licence,
        complete=complete,
        parsing=parsing if parsing.is_file() else None,
        initial=_mask(initial, header, photo) if initial.is_file() else None,
        notes={"kind": "folder"},
    )


def _mask(path: Path, header: Header, photo: Path) -> RLE:
    mask = mask_files.read_mask(path)
    mask_files.check_fits(mask, header, path, photo)
    return masks.encode(mask)
