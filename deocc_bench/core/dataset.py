"""The dataset folder: file layout, records, and a lazy reader. This module alone defines the layout.

DATASET/dataset.json, README.md, preview.png
DATASET/annotations/<split>.json           COCO instances
DATASET/{images,complete,parsing}/<split>/<sample>.png
"""

from __future__ import annotations

import hashlib
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from deocc_bench.core import images, masks
from deocc_bench.core.annotation import Annotation, ImageEntry
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.core.json_files import checked, read_json, require_object
from deocc_bench.core.masks import RLE
from deocc_bench.core.paths import check_inside, is_safe_id, leads_out
from deocc_bench.core.pixels import check_size
from deocc_bench.core.registry import unknown
from deocc_bench.core.types import PlacedOccluder, Sample

SCHEMA_VERSION = 1
INFO_FILE = "dataset.json"
_MASKS = ("segmentation", "visible_mask", "invisible_mask", "initial_mask")
_CURE = "recreate the dataset, or fix the file"


def annotation_path(root: str | Path, split: str) -> Path:
    """Path of the COCO file of a split."""
    return Path(root) / "annotations" / f"{split}.json"


class _Split(msgspec.Struct):
    samples: int
    humans: int = 0
    groups: int = 0


class _Header(msgspec.Struct):
    """The fields of `dataset.json` that readers rely on."""

    name: str
    fingerprint: str
    counts: dict[str, _Split] = {}
    licences: dict[str, int] = {}
    splits: list[str] = []
    kind: str = ""


@dataclass(frozen=True)
class SampleRecord:
    """One sample as described in the annotation file; nothing is decoded yet.

    Args:
        root: the dataset folder.
        split: the split of the sample.
        photo: the image entry.
        truth: the annotation.
    """

    root: Path
    split: str
    photo: ImageEntry
    truth: Annotation

    @classmethod
    def from_json(cls, root: Path, split: str, image: Mapping[str, Any], annotation: Mapping[str, Any]) -> SampleRecord:
        """Build the record from a COCO image and annotation.

        Raises:
            InputError: a field is missing or has the wrong type; the message names the file and the entry.
        """
        path = annotation_path(root, split)
        photo = ImageEntry.from_json(image, _where(path, "image", image))
        at = _where(path, "annotation", annotation)
        return cls.joined(root, split, photo, Annotation.from_json(annotation, at), at)

    @classmethod
    def joined(cls, root: Path, split: str, photo: ImageEntry, truth: Annotation, where: str) -> SampleRecord:
        """Build the record from its two parts.

        Raises:
            InputError: a mask has another size than the image, or the image is too large.
        """
        check_size(where, photo.height, photo.width)
        named = {key: getattr(truth, key) for key in _MASKS}
        named |= {f"mask of occluder {o.id}": o.segmentation for o in truth.occluders or ()}
        for key, rle in named.items():
            if rle is not None and rle["size"] != [photo.height, photo.width]:
                problem = f"{key} is {rle['size']}, but its image is {[photo.height, photo.width]} (height, width)"
                raise InputError(where, problem, _CURE)
        return cls(root, split, photo, truth)

    @cached_property
    def image(self) -> Mapping[str, Any]:
        """The COCO image as JSON."""
        return self.photo.to_json()

    @cached_property
    def annotation(self) -> Mapping[str, Any]:
        """The COCO annotation as JSON."""
        return self.truth.to_json()

    @property
    def id(self) -> str:
        return self.truth.sample_id

    @property
    def group_id(self) -> str:
        return self.photo.group_id

    @property
    def human_id(self) -> str:
        return self.id if self.truth.human_id is None else self.truth.human_id

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.photo.height, self.photo.width

    @property
    def amodal(self) -> RLE:
        return self.truth.segmentation

    @property
    def modal(self) -> RLE:
        return self.truth.visible_mask

    @property
    def initial(self) -> RLE | None:
        return self.truth.initial_mask

    @property
    def occlusion_ratio(self) -> float:
        return float(self.truth.occlude_rate)

    @property
    def occluders(self) -> list[dict[str, Any]]:
        """The occluders as JSON."""
        return list(self.annotation.get("occluders", ()))

    @property
    def image_path(self) -> Path:
        return self._below(self.photo.file_name)

    @property
    def complete_path(self) -> Path | None:
        name = self.photo.complete_file_name or self.truth.complete_file_name
        return self._below(name) if name else None

    @property
    def parsing_path(self) -> Path | None:
        name = self.photo.parsing_file_name or self.truth.parsing_file_name
        return self._below(name) if name else None

    def _below(self, name: str) -> Path:
        # The name itself was checked with the record; the place is only needed for an error.
        path = self.root / name
        if leads_out(self.root, path):
            check_inside(self.root, path, f"{annotation_path(self.root, self.split)}: sample {self.id}")
        return path

    def load_occluders(self) -> tuple[PlacedOccluder, ...]:
        """Return the placed occluders with decoded masks; no image is read."""
        return tuple(
            PlacedOccluder(
                id=o.id,
                category=o.category,
                order=o.order,
                mask=masks.decode(o.segmentation),
                licence=o.licence or "",
                behind=bool(o.behind),
                group_id=o.group_id or "",
            )
            for o in self.truth.occluders or ()
        )

    def load(self) -> Sample:
        """Decode everything. Raises InputError for a missing or broken file, InvariantError for inconsistent masks."""
        complete, parsing, initial = self.complete_path, self.parsing_path, self.initial
        return Sample(
            id=self.id,
            split=self.split,
            group_id=self.group_id,
            human_id=self.human_id,
            variant=self.truth.variant or 0,
            image=images.read_rgb(self.image_path),
            complete=images.read_rgb(complete) if complete else None,
            amodal=masks.decode(self.amodal),
            modal=masks.decode(self.modal),
            initial=masks.decode(initial) if initial else None,
            parsing=images.read_indices(parsing) if parsing else None,
            occluders=self.load_occluders(),
            provenance=dict(self.truth.provenance or {}),
        )


class DatasetReader:
    """A dataset folder, read lazily: annotations on first access to a split, pixels on access to a sample.

    Args:
        path: the folder that contains `dataset.json`.
        lenient: leave out invalid entries, which `problems` returns, instead of raising.

    Raises:
        InputError: the folder is not a dataset, or has another schema version.
    """

    def __init__(self, path: str | Path, *, lenient: bool = False) -> None:
        self.root = Path(path)
        if not self.root.is_dir():
            raise InputError(path, "no such dataset folder", "check the path, or make one with `deocc-bench synth`")
        info_path = self.root / INFO_FILE
        if not info_path.is_file():
            raise InputError(
                path,
                f"has no {INFO_FILE}, so it is not a finished dataset",
                "finish it with `deocc-bench synth --resume`, or import it with `deocc-bench import`",
            )
        self.info: dict[str, Any] = read_json(info_path)
        version = self.info.get("schema_version") if isinstance(self.info, dict) else None
        if version != SCHEMA_VERSION:
            raise InputError(
                info_path,
                f"schema version {version!r}, but this deocc-bench reads version {SCHEMA_VERSION}",
                "use the deocc-bench version that wrote it, or recreate the dataset",
            )
        self._header = checked(self.info, _Header, info_path, "recreate the dataset")
        self._lenient = lenient
        self._splits: dict[str, dict[str, SampleRecord]] = {}
        self._problems: dict[str, list[InputError]] = {}

    @property
    def name(self) -> str:
        return self._header.name

    @property
    def fingerprint(self) -> str:
        """Stored SHA-256 over the sorted sample digests; `validate` compares it with the pixels."""
        return self._header.fingerprint

    @cached_property
    def splits(self) -> tuple[str, ...]:
        names = sorted(p.stem for p in (self.root / "annotations").glob("*.json"))
        odd = next((name for name in names if not is_safe_id(name)), None)
        if odd is not None:
            raise InputError(annotation_path(self.root, odd), "is not the name of a split", "rename the file")
        return tuple(names)

    def ids(self, split: str) -> list[str]:
        """Return the sample ids of a split, sorted."""
        return list(self._load(split))

    def record(self, split: str, sample_id: str) -> SampleRecord:
        """Return the record of one sample.

        Raises:
            InputError: the split has no such sample.
        """
        records = self._load(split)
        if sample_id not in records:
            raise InputError(annotation_path(self.root, split), f"no sample {sample_id!r}", "check the id")
        return records[sample_id]

    def records(self, split: str) -> Iterator[SampleRecord]:
        """Yield all records of a split, sorted by sample id."""
        yield from self._load(split).values()

    def problems(self, split: str) -> list[InputError]:
        """One error for each invalid entry of a split; empty unless the reader is lenient."""
        self._load(split)
        return self._problems[split]

    def sample(self, split: str, sample_id: str) -> Sample:
        """Load one sample with its pixels."""
        return self.record(split, sample_id).load()

    def has(self, what: str, split: str) -> bool:
        """Whether every sample of the split has "complete", "parsing" or "initial"."""
        if what not in ("complete", "parsing", "initial"):
            raise UsageError(unknown("part of a sample", what, ("complete", "parsing", "initial")))
        attribute = "initial" if what == "initial" else f"{what}_path"
        return all(getattr(r, attribute) is not None for r in self.records(split))

    def _load(self, split: str) -> dict[str, SampleRecord]:
        if split not in self._splits:
            if split not in self.splits:
                raise UsageError(f"{self.root}: {unknown('split', split, self.splits)}")
            path = annotation_path(self.root, split)
            check_inside(self.root, path)
            records, problems = _parse_split(self.root, split, path, read_json(path))
            if problems and not self._lenient:
                raise problems[0]
            self._splits[split], self._problems[split] = records, problems
        return self._splits[split]


def _parse_split(root: Path, split: str, path: Path, data: Any) -> tuple[dict[str, SampleRecord], list[InputError]]:
    """The valid records by sample id, sorted, and one error for each invalid entry.

    Raises:
        InputError: the file is not a COCO file.
    """
    lists = require_object(data, path, _CURE)
    for key in ("images", "annotations"):
        if not isinstance(lists.get(key), list):
            raise InputError(path, f"has no list {key!r}", _CURE)
    problems: list[InputError] = []
    photos: dict[int | str, ImageEntry] = {}
    for image in lists["images"]:
        try:
            photo = ImageEntry.from_json(image, _where(path, "image", image))
            if photo.id in photos:
                raise InputError(path, f"two images have the id {photo.id}", _CURE)
            photos[photo.id] = photo
        except InputError as error:
            problems.append(error)
    records: dict[str, SampleRecord] = {}
    for annotation in lists["annotations"]:
        try:
            at = _where(path, "annotation", annotation)
            truth = Annotation.from_json(annotation, at)
            if truth.image_id not in photos:
                raise InputError(at, "its image_id is not in the list of images", _CURE)
            if truth.sample_id in records:
                raise InputError(path, f"sample {truth.sample_id} is listed twice", _CURE)
            records[truth.sample_id] = SampleRecord.joined(root, split, photos[truth.image_id], truth, at)
        except InputError as error:
            problems.append(error)
    return dict(sorted(records.items())), problems


def _where(path: Path, what: str, entry: Any) -> str:
    """The name of an entry in messages."""
    return f"{path}: {what} {reprlib.repr(entry.get('id') if isinstance(entry, Mapping) else entry)}"


def sample_digest(
    annotation: Annotation,
    split: str,
    *,
    image: np.ndarray,
    complete: np.ndarray | None,
    parsing: np.ndarray | None,
) -> str:
    """Hex SHA-256 of the content of a sample: decoded pixels and mask runs, so re-encoding a PNG keeps the digest.

    Args:
        annotation: its id, masks and occluders enter the digest; its numbers are derived from them and do not.
        image, complete: uint8 H x W x 3.
        parsing: uint8 H x W.
    """
    h = hashlib.sha256(f"{annotation.sample_id}\n{split}\n".encode())
    for array in (image, complete, parsing):
        if array is None:
            h.update(b"-")
        else:
            h.update(f"{array.shape}".encode())
            h.update(np.ascontiguousarray(array).data)
    for key in ("segmentation", "visible_mask", "invisible_mask", "initial_mask"):
        rle = getattr(annotation, key)
        h.update(f"{key}={rle['size']}{rle['counts']}\n".encode() if rle else b"-")
    for o in annotation.occluders or ():
        h.update(f"{o.id} {o.category} {o.order} {o.segmentation['counts']}\n".encode())
    return h.hexdigest()


def fingerprint(digests: Iterable[tuple[str, str]]) -> str:
    """SHA-256 over the (sample id, digest) pairs in sorted order."""
    h = hashlib.sha256()
    for sample_id, value in sorted(digests):
        h.update(f"{sample_id} {value}\n".encode())
    return h.hexdigest()
