"""`folder:DIR`: `images/<id>.*`, `amodal/<id>.png`, `modal/<id>.png`, and optionally `initial/<id>.png`,
`complete/<id>.*`, `parsing/<id>.png` (LIP ids). One person per photo."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from deocc_bench.core import images, mask_files, masks
from deocc_bench.core.errors import InputError
from deocc_bench.core.masks import RLE
from deocc_bench.core.paths import check_inside
from deocc_bench.core.pixels import Header, open_image
from deocc_bench.exchange.importers.annotated import Bad, Item, consistent
from deocc_bench.exchange.importers.names import component


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
    stems = Counter(photo.stem for photo in photos)
    for photo in photos:
        try:
            if stems[photo.stem] > 1:
                raise InputError(photo, f"another photo has the id {photo.stem}, too", "rename one, and its masks")
            yield consistent(_item(path, photo, split or "test", licence), str(path / "amodal" / f"{photo.stem}.png"))
        except InputError as error:
            yield Bad(error)


def _item(root: Path, photo: Path, split: str, licence: str) -> Item:
    name = photo.stem
    check_inside(root, photo)
    header = open_image(photo).header
    amodal, soft_amodal = _mask(root, "amodal", header, photo)
    modal, soft_modal = _mask(root, "modal", header, photo)
    initial, soft_initial = _mask(root, "initial", header, photo) if _optional(root, "initial", name) else (None, False)
    return Item(
        id=component(name),
        split=split,
        group_id=component(name),
        photo=photo,
        size=header.size,
        amodal=amodal,
        modal=modal,
        licence=licence,
        complete=_optional(root, "complete", name, images.IMAGE_SUFFIXES),
        parsing=_optional(root, "parsing", name),
        initial=initial,
        soft=soft_amodal + soft_modal + soft_initial,
        renamed=component(name) != name,
        notes={"kind": "folder"},
    )


def _optional(root: Path, kind: str, name: str, suffixes: Sequence[str] = (".png",)) -> Path | None:
    """The file of a kind that not every photo has."""
    file = next((p for s in suffixes if (p := root / kind / f"{name}{s}").exists()), None)
    if file is not None:
        check_inside(root, file)
    return file


def _mask(root: Path, kind: str, header: Header, photo: Path) -> tuple[RLE, bool]:
    """(mask, whether it is soft)."""
    path = root / kind / f"{photo.stem}.png"
    check_inside(root, path)
    read = mask_files.read_mask_file(path)
    mask_files.check_fits(read.mask, header, path, photo)
    return masks.encode(read.mask), read.soft
