"""The interface of human sources, and the base class of sources that are folders of photos and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import cv2
import numpy as np

from deocc_bench.core import images, mask_files
from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import IGNORE
from deocc_bench.core.pixels import Header, open_image
from deocc_bench.core.types import Human
from deocc_bench.synth.humans.layout import Layout, Place, find_places, photo_of, stems

# Hand-drawn or resized labels often end one pixel before the edge of the photo.
_FRAME_MARGIN = 2


@dataclass(frozen=True)
class HumanInfo:
    """Facts about a human that can be read without decoding the photo.

    Args:
        size: (height, width) of the photo, pixels.
        box: tight box of the person, (x0, y0, x1, y1), x1 and y1 exclusive; None if the label is empty.
        area: area of the person, pixels.
        carries_bag: the label contains a bag, which may hide a part of the person.
        touches_person: another labelled person borders on this one, so either may hide the other.
        defects: reasons to doubt the label, one short phrase each.
        soft: the mask has levels between black and white, and was read at half of white.
        turned: the photo is stored turned, and was turned upright by its EXIF orientation.
    """

    id: str
    group_id: str
    size: tuple[int, int]
    box: tuple[int, int, int, int] | None
    area: int
    carries_bag: bool = False
    touches_person: bool = False
    defects: tuple[str, ...] = ()
    soft: bool = False
    turned: bool = False

    @property
    def height(self) -> int:
        """Height of the person, pixels."""
        return 0 if self.box is None else self.box[3] - self.box[1]

    @property
    def touches_frame(self) -> bool:
        """Whether the person reaches within one pixel of the photo's edge, and so is probably cut by it."""
        if self.box is None:
            return False
        (h, w), (x0, y0, x1, y1) = self.size, self.box
        return min(x0, y0, w - x1, h - y1) < _FRAME_MARGIN


class ReadLabel(NamedTuple):
    """A label that fits its photo.

    Args:
        labels: H x W, the source's own ids.
        soft: see `HumanInfo`.
        header: of the photo.
    """

    labels: np.ndarray
    soft: bool
    header: Header


class HumanSource(Protocol):
    """A source of humans. Ids are unique within a source and begin with its kind, e.g. "ccp-0001"."""

    kind: str

    def ids(self) -> list[str]:
        """The ids of all humans, sorted, including unusable ones."""
        ...

    def group_of(self, human_id: str) -> str:
        """The group that must stay in one split: the photo that contains the human."""
        ...

    def peek(self, human_id: str) -> HumanInfo:
        """Read the label and only the header of the photo.

        Raises:
            InputError: photo or label is missing or broken, or the two do not match.
        """
        ...

    def load(self, human_id: str) -> Human:
        """Decode the human, with LIP parsing if the source has parsing.

        Raises:
            InputError: as for `peek`, or the label contains no person.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-able: kind, name, count, licence, home page. No absolute paths, so it is the same on every machine."""
        ...


@runtime_checkable
class PartlyKnown(Protocol):
    """A source that can say where its labels leave open whether the person is there."""

    def unknown(self, human_id: str) -> np.ndarray:
        """bool H x W of the photo."""
        ...


class PhotoFolder:
    """Base class of sources in which one photo and one label file with the same stem make one human.

    A subclass defines the folder layout and how a label becomes a parsing. Objects store only ids and can be pickled.

    Args:
        root: the folder that contains one of `layouts`, directly or up to two levels down.

    Raises:
        InputError: the folder is missing, has another layout or no photos, or one stem is in two places.
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    licence: ClassVar[str]
    home: ClassVar[str]
    layouts: ClassVar[tuple[Layout, ...]]

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.places = find_places(self.root, self.kind, self.layouts)
        self._place: dict[str, int] = {}
        self._unlisted = 0
        for i, place in enumerate(self.places):
            wanted, unlisted = stems(place)
            self._unlisted += unlisted
            for stem in self._usable(place, wanted):
                if stem in self._place:
                    other = self.places[self._place[stem]].photos
                    raise InputError(place.photos, f"{stem} is in {other} too", "give only one of the two folders")
                self._place[stem] = i
        if not self._place:
            looked = ", ".join(str(p.photos) for p in self.places)
            raise InputError(self.root, f"no photos and labels in {looked}", "check the path")

    def ids(self) -> list[str]:
        """The ids of all humans, sorted."""
        return sorted(f"{self.kind}-{stem}" for stem in self._place)

    def group_of(self, human_id: str) -> str:
        """The photo."""
        return human_id

    def peek(self, human_id: str) -> HumanInfo:
        """See `HumanSource.peek`."""
        photo, label = self._files(human_id)
        found = self._read_checked(photo, label)
        info = self._look(human_id, photo, label, found.labels)
        return replace(info, soft=found.soft, turned=found.header.turned)

    def load(self, human_id: str) -> Human:
        """See `HumanSource.load`."""
        photo, label = self._files(human_id)
        labels, image = self._read_both(photo, label)
        mask, parsing = self._person(labels, label)
        if not mask.any():
            raise empty_label(label)
        return Human(human_id, self.group_of(human_id), image, mask, parsing, self.licence, self.kind)

    def describe(self) -> dict[str, Any]:
        """See `HumanSource.describe`; `unlisted` counts files that the folder's own lists leave out."""
        return {
            "kind": self.kind,
            "name": self.root.resolve().name,
            "count": len(self.ids()),
            "unlisted": self._unlisted,
            "title": self.title,
            "licence": self.licence,
            "home": self.home,
        }

    def _usable(self, place: Place, wanted: Sequence[str]) -> Sequence[str]:
        """Hook: select the stems that count as humans."""
        return wanted

    def _read(self, label: Path) -> np.ndarray:
        """Hook: read the label file as an H x W array in the source's own ids."""
        raise NotImplementedError

    def _read_noting(self, label: Path) -> tuple[np.ndarray, bool]:
        """Hook: the result of `_read`, and whether it is a soft mask."""
        return self._read(label), False

    def _person(self, labels: np.ndarray, label: Path) -> tuple[np.ndarray, np.ndarray | None]:
        """Hook: (mask bool H x W, LIP parsing uint8 H x W or None) from the array returned by `_read`."""
        raise NotImplementedError

    def _look(self, human_id: str, photo: Path, label: Path, labels: np.ndarray) -> HumanInfo:
        """Hook: the return value of `peek`."""
        mask, _ = self._person(labels, label)
        return info_from_mask(human_id, self.group_of(human_id), mask)

    def _files(self, human_id: str) -> tuple[Path, Path]:
        """(photo, label).

        Raises:
            InputError: one of the two is missing.
        """
        return self._files_of_stem(human_id.removeprefix(f"{self.kind}-"))

    def _files_of_stem(self, stem: str) -> tuple[Path, Path]:
        place = self.places[self._place[stem]]
        photo = photo_of(place, stem)
        label = self._label_of(place, stem)
        cure = "add it, remove the other file, or continue with --skip-bad"
        if photo is None and not label.exists():
            raise InputError(place.photos / stem, "is in a list, but has neither photo nor label", "correct the list")
        if photo is None:
            raise InputError(label, f"a label without photo: no {stem}.* in {place.photos.name}/", cure)
        if not label.exists():
            raise InputError(photo, f"a photo without label: no {label.name} in {label.parent.name}/", cure)
        return photo, label

    def _label_of(self, place: Place, stem: str) -> Path:
        return place.labels / f"{stem}{place.layout.label_suffix}"

    def _read_checked(self, photo: Path, label: Path) -> ReadLabel:
        """Read the label after checking that the photo is complete and has the same size."""
        header = open_image(photo).header
        labels, soft = self._read_noting(label)
        mask_files.check_fits(labels, header, label, photo)
        return ReadLabel(labels, soft, header)

    def _read_both(self, photo: Path, label: Path) -> tuple[np.ndarray, np.ndarray]:
        """(labels as returned by `_read`, photo RGB), of the same size."""
        file = open_image(photo)
        labels = self._read(label)
        mask_files.check_fits(labels, file.header, label, photo)
        return labels, images.decode_rgb(file)


def info_from_mask(human_id: str, group_id: str, mask: np.ndarray, **more: Any) -> HumanInfo:
    """The info of the person in `mask` (bool or uint8 H x W, non-zero on the person)."""
    flat = mask.view(np.uint8) if mask.dtype == bool else mask
    x, y, w, h = cv2.boundingRect(flat)
    box = (x, y, x + w, y + h) if w else None
    return HumanInfo(human_id, group_id, (mask.shape[0], mask.shape[1]), box, int(cv2.countNonZero(flat)), **more)


def without_ignored(labels: np.ndarray) -> np.ndarray:
    """LIP ids with 255 ("don't know") replaced by background."""
    return np.where(labels == IGNORE, np.uint8(0), labels)


def check_size(label: Path, labels: np.ndarray, photo: Path, size: tuple[int, int]) -> None:
    """Raise InputError if the label's size differs from the photo's `size`, (height, width)."""
    if labels.shape != size:
        raise InputError(
            label,
            f"is {labels.shape[1]} x {labels.shape[0]}, but its photo {photo.name} is {size[1]} x {size[0]}",
            "make both the same size, or skip the photo with --skip-bad",
        )


def empty_label(label: Path) -> InputError:
    """The error for a label without a person."""
    return InputError(label, "empty label: no pixel of a person", "label the photo again, or remove it")
