"""Writes imported items as a dataset folder. Photos are copied unchanged; several samples may share one."""

from __future__ import annotations

import csv
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.core import images, initial_masks, masks
from deocc_bench.core.annotation import Annotation, ImageEntry
from deocc_bench.core.dataset import DatasetReader, sample_digest
from deocc_bench.core.dataset_writer import Line, as_line, finish, stable_id
from deocc_bench.core.errors import InputError
from deocc_bench.core.files import atomic_write, require_empty, write_error
from deocc_bench.core.labels import LIP
from deocc_bench.core.lock import output_folder
from deocc_bench.core.masks import RLE
from deocc_bench.core.seeding import rng
from deocc_bench.exchange.importers.annotated import Bad, Item, fit_parsing, minus
from deocc_bench.synth import card
from deocc_bench.synth.statistics import gather

REJECTED = "rejected.csv"
_CURE = "fix it, or use --skip-bad"


@dataclass
class Report:
    """Summary of an import.

    Args:
        samples, photos: numbers written.
        clipped: samples whose visible mask extended beyond the amodal mask; `clipped_pixels` in total.
        bad: (where, problem) of the skipped entries.
    """

    samples: int = 0
    photos: int = 0
    clipped: int = 0
    clipped_pixels: int = 0
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
    with output_folder(out, discard=True) as root:
        require_empty(root)
        return _write_dataset(
            items,
            root,
            name,
            initial_mask=initial_mask,
            seed=seed,
            skip_bad=skip_bad,
            limit=limit,
            info=info or {},
            advance=advance,
        )


def _write_dataset(
    items: Iterable[Item | Bad],
    root: Path,
    name: str,
    *,
    initial_mask: str | None,
    seed: int,
    skip_bad: bool,
    limit: int | None,
    info: dict[str, Any],
    advance: Callable[[int], object],
) -> Report:
    report, photos = Report(), _Photos(root)
    lines: dict[str, list[Line]] = {}
    known: set[str] = set()
    good = _good(items, report, skip_bad)
    for file, group in groupby(good, key=lambda item: item.photo):
        pixels: np.ndarray | None = None
        for item in group:
            if limit is not None and report.samples >= limit:
                break
            try:
                if item.id in known:
                    raise InputError(file, f"two samples have the id {item.id}", _CURE)
                pixels = _read(file, item) if pixels is None else pixels
                line = _write(photos, item, pixels, initial_mask, seed)
            except InputError as error:
                _reject(error, report, skip_bad)
                continue
            known.add(item.id)
            lines.setdefault(item.split, []).append(line)
            report.samples += 1
            report.clipped += item.clipped > 0
            report.clipped_pixels += item.clipped
            advance(1)
        if limit is not None and report.samples >= limit:
            break
    if not lines:
        left_out = f": {len(report.bad)} invalid entries were skipped" if report.bad else ": no annotation matches"
        raise InputError(name, "nothing to import" + left_out, "check the source and --regions")
    report.photos = photos.count
    for some in lines.values():
        some.sort(key=lambda line: str(line["annotation"]["sample_id"]))
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
                "initial_mask": initial_mask,
                **info,
            },
        },
    )
    if report.bad:
        atomic_write(root / REJECTED, _table(report.bad))
    card.write_card(root, content)
    reader = DatasetReader(root)
    card.write_preview(root / card.PREVIEW, (r for split in reader.splits for r in reader.records(split)))
    return report


class _Photos:
    """Copies photos to images/<split>/ and keeps their names; a number is added to duplicate names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._names: dict[tuple[str, str, Path], str] = {}
        self._taken: set[str] = set()

    @property
    def count(self) -> int:
        return sum(folder == "images" for folder, _, _ in self._names)

    def name(self, folder: str, split: str, source: Path) -> str:
        """Copy a file if necessary and return its name relative to the dataset."""
        key = (folder, split, source)
        if key not in self._names:
            name, k = f"{folder}/{split}/{source.name}", 1
            while name.lower() in self._taken:
                k += 1
                name = f"{folder}/{split}/{source.stem}-{k}{source.suffix}"
            self._taken.add(name.lower())
            _copy(source, self.root / name)
            self._names[key] = name
        return self._names[key]


def _copy(source: Path, target: Path) -> None:
    temporary = target.with_name(f".tmp-{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise write_error(target, error) from error


def _read(file: Path, item: Item) -> np.ndarray:
    pixels = images.read_rgb(file)
    if pixels.shape[:2] != item.size:
        raise InputError(file, f"is {pixels.shape[:2]}, but its annotation says {item.size} (height, width)", _CURE)
    return pixels


def _write(photos: _Photos, item: Item, pixels: np.ndarray, initial_mask: str | None, seed: int) -> Line:
    """Write the files of one sample and return its records."""
    complete = parsing = None
    if item.complete is not None:
        complete = pixels if item.complete == item.photo else _read(item.complete, item)
    if item.parsing is not None:
        labels = images.read_indices(item.parsing)
        LIP.check(labels, item.parsing)
        parsing = fit_parsing(labels, masks.decode(item.amodal), str(item.parsing))
    initial = _initial(item, initial_mask, seed, parsing)
    # Everything is read before anything is written, so a rejected sample leaves no file behind.
    image_name = photos.name("images", item.split, item.photo)
    names: dict[str, str] = {}
    if complete is not None and item.complete is not None:
        names["complete_file_name"] = photos.name("complete", item.split, item.complete)
    if parsing is not None:
        names["parsing_file_name"] = f"parsing/{item.split}/{item.id}.png"
        images.write_png(photos.root / names["parsing_file_name"], parsing, LIP.palette())
    image, annotation = _records(item, image_name, names, initial)
    digest = sample_digest(annotation, item.split, image=pixels, complete=complete, parsing=parsing)
    return as_line(image, replace(annotation, digest=digest), item.split)


def _records(
    item: Item, image_name: str, names: Mapping[str, str], initial: RLE | None
) -> tuple[ImageEntry, Annotation]:
    """The records of a sample, without the digest."""
    kept = item.kept
    image = ImageEntry(
        id=stable_id(f"photo:{image_name}") if kept.image_id is None else kept.image_id,
        file_name=image_name,
        height=item.size[0],
        width=item.size[1],
        group_id=item.group_id,
        licence=item.licence,
        extra=kept.image,
        **{key: name for key, name in names.items() if key in kept.files_of_image},
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
        # A photo may have several samples, so the files of a single sample are named in its annotation.
        **{key: name for key, name in names.items() if key not in kept.files_of_image},
    )
    return image, annotation


def _initial(item: Item, spec: str | None, seed: int, parsing: np.ndarray | None) -> RLE | None:
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
    report.bad.append((error.where, error.problem))


def _stream(lines: list[Line]) -> Callable[[], Iterable[Line]]:
    return lambda: lines


def _table(bad: list[tuple[str, str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["where", "problem"])
    writer.writerows(bad)
    return text.getvalue()
