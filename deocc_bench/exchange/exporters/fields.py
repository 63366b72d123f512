"""Functions shared by the exporters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from deocc_bench.core import images, pixels
from deocc_bench.core.dataset import SampleRecord, annotation_path
from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.files import require_empty
from deocc_bench.core.json_files import is_whole
from deocc_bench.core.lock import output_folder

_CURE = "give the dataset real images, or leave the sample out"


class Numbers(NamedTuple):
    """COCO ids of the images and annotations of an export, by image id and by sample id of the dataset."""

    images: dict[int | str, int]
    annotations: dict[str, int]


def numbers(records: Sequence[SampleRecord]) -> Numbers:
    """The ids of the dataset if they are suited to COCO tools, otherwise 1, 2, 3, ...

    pycocotools needs ids of one type, and annotation ids that are unique and above 0: `COCOeval` takes the id 0 for "no
    match".
    """
    photos = list(dict.fromkeys(r.photo.id for r in records))
    by_image = {i: int(i) for i in photos} if _suited(photos, 0) else {i: k for k, i in enumerate(photos, start=1)}
    own = [r.truth.id for r in records]
    unique = _suited(own, 1) and len(set(own)) == len(own)
    return Numbers(by_image, {r.id: int(r.truth.id) if unique else k for k, r in enumerate(records, start=1)})


def _suited(ids: Iterable[int | str], lowest: int) -> bool:
    return all(is_whole(i) and int(i) >= lowest for i in ids)


def own_id(record: SampleRecord, number: int) -> dict[str, Any]:
    """The image id of the dataset, as a field, if the export uses another."""
    return {} if record.photo.id == number else {"id": record.photo.id}


def category(record: SampleRecord) -> str:
    """Category name of the target of a sample; "person" unless the source named another."""
    return record.truth.category or "person"


def whole(notes: Mapping[str, Any], key: str, default: int) -> int:
    """A whole number from the free-form notes of a sample; `default` if it is something else."""
    value: Any = notes.get(key)
    return int(value) if isinstance(value, bool) or is_whole(value) else default


@contextmanager
def sample_of(record: SampleRecord) -> Iterator[None]:
    """Inside the block, an error about a mask names the file and the sample.

    Raises:
        InputError: as said.
    """
    try:
        yield
    except InputError:
        raise
    except DeoccError as error:
        where = f"{annotation_path(record.root, record.split)}: sample {record.id}"
        raise InputError(where, str(error), "recreate the dataset, or fix the file") from error


def targets(splits: Sequence[str], out: Path) -> dict[str, Path]:
    """Map each split to its JSON file: `out` itself if it is a JSON file, otherwise `out/<split>.json`.

    Raises:
        UsageError: several splits for one file, or `out` is a folder with content.
    """
    if out.suffix.lower() != ".json":
        require_empty(out)
        return {split: out / f"{split}.json" for split in splits}
    if len(splits) > 1:
        raise UsageError(
            f"--out {out}: one file holds one split; choose with --split {'|'.join(splits)}, or give a folder"
        )
    if out.is_dir():
        raise UsageError(f"--out {out}: is a folder; give the name of a file, or a folder without .json")
    return {splits[0]: out}


@contextmanager
def new_folder(out: Path) -> Iterator[None]:
    """Write an export into a new or empty folder; if the block fails or is stopped, what it wrote is removed.

    Raises:
        UsageError: the folder is not empty.
        DeoccError: another run uses the folder, or it is not writable.
    """
    with output_folder(out, discard=True):
        require_empty(out)
        yield


def picture(path: Path) -> tuple[str, bytes]:
    """(suffix, bytes) of an image file for an export: the file itself if it is upright, otherwise an upright PNG.

    Raises:
        InputError: the suffix is not one of `images.IMAGE_SUFFIXES`, or the file is not an image that can be decoded.
    """
    suffix = path.suffix.lower()
    if suffix not in images.IMAGE_SUFFIXES:
        known = ", ".join(images.IMAGE_SUFFIXES)
        raise InputError(path, f"the suffix {suffix!r} is not that of an image ({known})", _CURE)
    file = pixels.open_image(path)
    decoded = images.decode_rgb(file)
    return (suffix, file.raw) if not file.header.turned else (".png", images.encode_png(decoded))
