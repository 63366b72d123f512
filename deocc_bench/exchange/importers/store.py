"""Writes imported items as a dataset folder. Several samples may share a photo.

Photos are copied unchanged. Those with an EXIF orientation are written upright and without it, as PNG, so that every
reader sees the same pixels.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deocc_bench.core import images, initial_masks, mask_files, masks
from deocc_bench.core.annotation import Annotation, ImageEntry
from deocc_bench.core.dataset import DatasetReader, sample_digest
from deocc_bench.core.dataset_writer import Line, as_line, finish, stable_id
from deocc_bench.core.errors import InputError, one_line
from deocc_bench.core.files import atomic_write, require_empty
from deocc_bench.core.labels import LIP
from deocc_bench.core.lock import output_folder
from deocc_bench.core.masks import RLE
from deocc_bench.core.paths import safe_id
from deocc_bench.core.pixels import ImageFile, open_image
from deocc_bench.core.seeding import rng
from deocc_bench.exchange.importers.annotated import Bad, Item, fit_parsing, minus
from deocc_bench.exchange.importers.names import component
from deocc_bench.synth import card
from deocc_bench.synth.statistics import gather

REJECTED = "rejected.csv"
_CURE = "fix it, or use --skip-bad"
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "TIFF": ".tif"}


@dataclass
class Report:
    """Summary of an import.

    Args:
        samples, photos: numbers written.
        clipped: samples whose visible mask extended beyond the amodal mask; `clipped_pixels` in total.
        turned: photos written upright because of their EXIF orientation.
        soft: mask files with grey levels, which were read at half of white.
        renamed: samples whose id was encoded, because it can't be a file name.
        bad: (where, problem) of the skipped entries.
    """

    samples: int = 0
    photos: int = 0
    clipped: int = 0
    clipped_pixels: int = 0
    turned: int = 0
    soft: int = 0
    renamed: int = 0
    bad: list[tuple[str, str]] = field(default_factory=list)


def write_dataset(
    items: Iterable[Item | Bad],
    out: str | Path,
    name: str,
    *,
    initial_mask: str | None = None,
    seed: int = 0,
    skip_bad: bool = False,
    limit: int | None = None,
    info: dict[str, Any] | None = None,
    advance: Callable[[int], object] = lambda n: None,
) -> Report:
    """Write a dataset folder.

    Args:
        items: items of the same photo must be consecutive.
        out: a new or empty folder.
        name: name of the dataset.
        initial_mask: spec (`core.initial_masks`) of initial masks made from the modal masks; None: use those of the
            source, if any.
        seed: random seed of the initial masks.
        skip_bad: skip invalid entries and list them in `rejected.csv`, instead of raising.
        limit: maximum number of samples.
        info: further fields of `imported` in `dataset.json`.
        advance: progress callback, called with the number of samples just written.

    Raises:
        UsageError: `out` is not empty.
        DeoccError: another run uses `out`, or the disk is full.
        InputError: an entry is invalid (without `skip_bad`), or there is nothing to import.
    """
    report = Report()
    with output_folder(out, discard=True) as root:
        require_empty(root)
        photos, making = _Photos(root), _Making(initial_mask, seed)
        lines = _samples(items, photos, report, making=making, skip_bad=skip_bad, limit=limit, advance=advance)
        if not lines:
            left_out = f": {len(report.bad)} invalid entries were skipped" if report.bad else ": no annotation matches"
            raise InputError(name, "nothing to import" + left_out, "check the source and --regions")
        report.photos, report.turned = photos.count, photos.turned
        _finish(root, name, lines, report, {"initial_mask": initial_mask, **(info or {})})
    return report


class _Making(NamedTuple):
    """How initial masks are made."""

    spec: str | None
    seed: int


def _samples(
    items: Iterable[Item | Bad],
    photos: _Photos,
    report: Report,
    *,
    making: _Making,
    skip_bad: bool,
    limit: int | None,
    advance: Callable[[int], object],
) -> dict[str, list[Line]]:
    """Write the files of the samples and count them; return their lines by split."""
    lines: dict[str, list[Line]] = {}
    known: set[str] = set()
    good = _good(items, report, skip_bad)
    for file, group in groupby(good, key=lambda item: item.photo):
        picture: _Picture | None = None
        for item in group:
            if limit is not None and report.samples >= limit:
                return lines
            try:
                _check_names(item, known)
                picture = _read(file, item) if picture is None else picture
                line = _write(photos, item, picture, making)
            except InputError as error:
                _reject(error, report, skip_bad)
                continue
            known.add(item.id)
            lines.setdefault(item.split, []).append(line)
            report.samples += 1
            report.clipped += item.clipped > 0
            report.clipped_pixels += item.clipped
            report.soft += item.soft
            report.renamed += item.renamed
            advance(1)
    return lines


def _finish(root: Path, name: str, lines: dict[str, list[Line]], report: Report, info: Mapping[str, Any]) -> None:
    """Write the annotations, `dataset.json`, the list of rejected entries, the card and the preview."""
    for some in lines.values():
        some.sort(key=lambda line: str(line["annotation"]["sample_id"]))
    told = {key: getattr(report, key) for key in ("turned", "soft", "renamed")}
    content = finish(
        root,
        name,
        {split: _stream(some) for split, some in lines.items()},
        {
            "kind": "imported",
            "statistics": {split: gather(some).summary() for split, some in sorted(lines.items())},
            "imported": {
                "left_out": len(report.bad),
                "clipped": report.clipped,
                "clipped_pixels": report.clipped_pixels,
                **{key: count for key, count in told.items() if count},
                **info,
            },
        },
    )
    if report.bad:
        atomic_write(root / REJECTED, _table(report.bad))
    card.write_card(root, content)
    reader = DatasetReader(root)
    card.write_preview(root / card.PREVIEW, (r for split in reader.splits for r in reader.records(split)))


def _check_names(item: Item, known: set[str]) -> None:
    """Check the names that become paths: importers of installed packages may not."""
    safe_id(item.id, item.photo, cure=_CURE)
    safe_id(item.split, item.photo, "split", _CURE)
    if item.id in known:
        raise InputError(item.photo, f"two samples have the id {item.id}", _CURE)


@dataclass(frozen=True)
class _Picture:
    """A decoded photo with its file.

    Args:
        pixels: uint8 H x W x 3, upright.
    """

    file: ImageFile
    pixels: np.ndarray

    @property
    def turned(self) -> bool:
        """Whether it is written again, upright: its file has another EXIF orientation."""
        return self.file.header.turned

    @property
    def suffix(self) -> str:
        """The suffix under which it is written."""
        if self.turned:
            return ".png"
        given, kind = Path(self.file.path).suffix, self.file.header.format
        return given if given.lower() in images.IMAGE_SUFFIXES else _SUFFIXES.get(kind, f".{kind.lower()}")

    def content(self) -> bytes:
        """The bytes to write."""
        return images.encode_png(self.pixels) if self.turned else self.file.raw


class _Photos:
    """Writes photos to images/<split>/ and keeps their names; a number is added to duplicate names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.turned = 0
        self._names: dict[tuple[str, str, Path], str] = {}
        self._taken: set[str] = set()

    @property
    def count(self) -> int:
        return sum(folder == "images" for folder, _, _ in self._names)

    def name(self, folder: str, split: str, picture: _Picture) -> str:
        """Write a photo if necessary and return its name relative to the dataset."""
        source = Path(picture.file.path)
        key = (folder, split, source)
        if key not in self._names:
            stem, suffix = component(source.stem), picture.suffix
            name, k = f"{folder}/{split}/{stem}{suffix}", 1
            while name.lower() in self._taken:
                k += 1
                name = f"{folder}/{split}/{stem}-{k}{suffix}"
            self._taken.add(name.lower())
            atomic_write(self.root / name, picture.content())
            self._names[key] = name
            self.turned += picture.turned and folder == "images"
        return self._names[key]


def _read(file: Path, item: Item) -> _Picture:
    opened = open_image(file)
    if opened.header.size != item.size:
        raise mask_files.wrong_size(item.size, opened.header, f"{file}: its annotation", file)
    return _Picture(opened, images.decode_rgb(opened))


def _write(photos: _Photos, item: Item, picture: _Picture, making: _Making) -> Line:
    """Write the files of one sample and return its records."""
    complete = parsing = None
    if item.complete is not None:
        complete = picture if item.complete == item.photo else _read(item.complete, item)
    if item.parsing is not None:
        labels = images.read_indices(item.parsing)
        LIP.check(labels, item.parsing)
        parsing = fit_parsing(labels, masks.decode(item.amodal), str(item.parsing))
    initial = _initial(item, making, parsing)
    # Everything is read and checked before anything is written, so a rejected sample leaves no file behind.
    image, annotation = _records(item, initial)
    image_name = photos.name("images", item.split, picture)
    names: dict[str, str] = {}
    if complete is not None:
        names["complete_file_name"] = photos.name("complete", item.split, complete)
    if parsing is not None:
        names["parsing_file_name"] = f"parsing/{item.split}/{item.id}.png"
        images.write_png(photos.root / names["parsing_file_name"], parsing, LIP.palette())
    image, annotation = _named(item, image, annotation, image_name, names)
    digest = sample_digest(
        annotation,
        item.split,
        image=picture.pixels,
        complete=None if complete is None else complete.pixels,
        parsing=parsing,
    )
    return as_line(image, replace(annotation, digest=digest), item.split)


def _records(item: Item, initial: RLE | None) -> tuple[ImageEntry, Annotation]:
    """The records of a sample, without file names and digest.

    Raises:
        InputError: a name or text of the source is one that a reader would refuse.
    """
    kept = item.kept
    image = ImageEntry(
        id=0 if kept.image_id is None else kept.image_id,
        file_name=item.id,
        height=item.size[0],
        width=item.size[1],
        group_id=item.group_id,
        licence=item.licence,
        extra=kept.image,
    )
    annotation = Annotation.of_masks(
        id=stable_id(item.id),
        image_id=image.id,
        sample_id=item.id,
        human_id=item.human_id or item.id,
        variant=item.variant,
        category=item.category,
        amodal=item.amodal,
        modal=item.modal,
        invisible=minus(item.amodal, item.modal),
        initial=initial,
        occluders=item.occluders or (),
        parts_hidden=kept.parts_hidden,
        provenance=dict(item.notes),
        extra=kept.annotation,
    )
    where = f"{item.photo}: sample {item.id}"
    ImageEntry.from_json(image.to_json(), where)
    Annotation.from_json(annotation.to_json(), where)
    return image, annotation


def _named(
    item: Item, image: ImageEntry, annotation: Annotation, image_name: str, names: Mapping[str, str]
) -> tuple[ImageEntry, Annotation]:
    """The records with their file names. A photo may have several samples; files of a single one are in its annotation.

    Args:
        names: names of the other files by field.
    """
    number = stable_id(f"photo:{image_name}") if item.kept.image_id is None else item.kept.image_id
    of_image = {key: name for key, name in names.items() if key in item.kept.files_of_image}
    others = {key: name for key, name in names.items() if key not in item.kept.files_of_image}
    named = replace(image, id=number, file_name=image_name, **of_image)  # type: ignore[arg-type]
    return named, replace(annotation, image_id=number, **others)  # type: ignore[arg-type]


def _initial(item: Item, making: _Making, parsing: np.ndarray | None) -> RLE | None:
    spec, seed = making
    if spec is None:
        return item.initial
    modal, amodal = masks.decode(item.modal), masks.decode(item.amodal)
    occluder = None
    if item.occluders is not None:
        front = [o.segmentation for o in item.occluders if not o.behind]
        occluder = initial_masks.front_mask(front, int((amodal & ~modal).sum()), item.size)
    truth = initial_masks.Truth(modal, amodal, occluder, parsing)
    return masks.encode(initial_masks.make(spec, truth, rng(seed, "initial-mask", spec, item.id)))


def _good(items: Iterable[Item | Bad], report: Report, skip_bad: bool) -> Iterator[Item]:
    for item in items:
        if isinstance(item, Bad):
            _reject(item.error, report, skip_bad)
        else:
            yield item


def _reject(error: InputError, report: Report, skip_bad: bool) -> None:
    if not skip_bad:
        raise error
    # On one line, without control characters: both may quote the file.
    report.bad.append((one_line(error.where), one_line(error.problem)))


def _stream(lines: list[Line]) -> Callable[[], Iterable[Line]]:
    return lambda: lines


def _table(bad: list[tuple[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["where", "problem"])
    writer.writerows(bad)
    return text.getvalue()
