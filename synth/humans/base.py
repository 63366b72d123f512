"""What a source of humans is, and the common part of the sources that are folders of photos and labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import cv2
import numpy as np

from deocc_bench.core import images
from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import IGNORE
from deocc_bench.core.types import Human
from deocc_bench.synth.humans.layout import Layout, Place, find_places, photo_of, stems

# Labels drawn by hand or resized often stop a pixel short of the photo's edge.
_FRAME_MARGIN = 2


@dataclass(frozen=True)
class HumanInfo:
    """What a cheap look tells about a human; the photo is not decoded for it.

    Args:
        size: (height, width) of the photo, pixels.
        box: tight box of the person, (x0, y0, x1, y1), x1 and y1 exclusive; None where the label is empty.
        area: pixels of the person.
        carries_bag: the label has a bag: something hides a part of the person, or might.
        touches_person: another labelled person borders on this one, so that either may hide the other.
        defects: what makes the label doubtful, one short sentence each.
    """

    id: str
    group_id: str
    size: tuple[int, int]
    box: tuple[int, int, int, int] | None
    area: int
    carries_bag: bool = False
    touches_person: bool = False
    defects: tuple[str, ...] = ()

    @property
    def height(self) -> int:
        """Height of the person, pixels."""
        return 0 if self.box is None else self.box[3] - self.box[1]

    @property
    def touches_frame(self) -> bool:
        """The person comes within a pixel of the photo's edge: probably cut by it."""
        if self.box is None:
            return False
        (h, w), (x0, y0, x1, y1) = self.size, self.box
        return min(x0, y0, w - x1, h - y1) < _FRAME_MARGIN


class HumanSource(Protocol):
    """Where humans come from. Ids are unique within a source and begin with its kind, e.g. "ccp-0001"."""

    kind: str

    def ids(self) -> list[str]:
        """All humans, sorted, usable or not."""
        ...

    def group_of(self, human_id: str) -> str:
        """What a split must not tear apart: the photo that the human is in."""
        ...

    def peek(self, human_id: str) -> HumanInfo:
        """A cheap look: reads the label, and of the photo the header.

        Raises:
            InputError: photo or label is missing, broken, or does not fit the other.
        """
        ...

    def load(self, human_id: str) -> Human:
        """The human, decoded, with LIP parsing where the source has any.

        Raises:
            InputError: as `peek`, or nobody is in the label.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """JSON-able: kind, name, count, licence, home page. No absolute path: the same on every machine."""
        ...


@runtime_checkable
class PartlyKnown(Protocol):
    """A source that can say where its labels leave open whether the person is there."""

    def unknown(self, human_id: str) -> np.ndarray:
        """bool H x W of the photo."""
        ...


class PhotoFolder:
    """Base of the sources in which one photo and one label file of the same stem make one human.

    A subclass says where the files lie and how a label becomes a parsing. Holds ids only; objects can be pickled.

    Args:
        root: the folder that holds one of `layouts`, itself or up to two levels down.

    Raises:
        InputError: missing folder, another layout, no photos, or one stem in two places.
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
                    raise InputError(place.photos, f"{stem} is in {other} too", "give one of the two folders")
                self._place[stem] = i
        if not self._place:
            looked = ", ".join(str(p.photos) for p in self.places)
            raise InputError(self.root, f"no photos and labels in {looked}", "check the path")

    def ids(self) -> list[str]:
        """All humans, sorted."""
        return sorted(f"{self.kind}-{stem}" for stem in self._place)

    def group_of(self, human_id: str) -> str:
        """The photo."""
        return human_id

    def peek(self, human_id: str) -> HumanInfo:
        """See `HumanSource.peek`."""
        photo, label = self._files(human_id)
        return self._look(human_id, photo, label, self._read_checked(photo, label))

    def load(self, human_id: str) -> Human:
        """See `HumanSource.load`."""
        photo, label = self._files(human_id)
        image = images.read_rgb(photo)
        labels = self._read(label)
        check_size(label, labels, photo, (image.shape[0], image.shape[1]))
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
        """Hook: which of the stems are meant to be humans."""
        return wanted

    def _read(self, label: Path) -> np.ndarray:
        """Hook: the label file as an array H x W in the source's own ids."""
        raise NotImplementedError

    def _person(self, labels: np.ndarray, label: Path) -> tuple[np.ndarray, np.ndarray | None]:
        """Hook: (mask bool H x W, LIP parsing uint8 H x W or None) from what `_read` gave."""
        raise NotImplementedError

    def _look(self, human_id: str, photo: Path, label: Path, labels: np.ndarray) -> HumanInfo:
        """Hook: what `peek` returns."""
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
        cure = "add it, remove the other, or go on with --skip-bad"
        if photo is None and not label.exists():
            raise InputError(place.photos / stem, "is in a list, but has neither photo nor label", "mend the list")
        if photo is None:
            raise InputError(label, f"a label without photo: no {stem}.* in {place.photos.name}/", cure)
        if not label.exists():
            raise InputError(photo, f"a photo without label: no {label.name} in {label.parent.name}/", cure)
        return photo, label

    def _label_of(self, place: Place, stem: str) -> Path:
        return place.labels / f"{stem}{place.layout.label_suffix}"

    def _read_checked(self, photo: Path, label: Path) -> np.ndarray:
        """The label, once the photo is known to be whole and of the same size."""
        images.check_complete(photo)
        size = images.image_size(photo)
        labels = self._read(label)
        check_size(label, labels, photo, size)
        return labels


def info_from_mask(human_id: str, group_id: str, mask: np.ndarray, **more: Any) -> HumanInfo:
    """The info of a person who is where the bool or uint8 H x W `mask` is not 0."""
    flat = mask.view(np.uint8) if mask.dtype == bool else mask
    x, y, w, h = cv2.boundingRect(flat)
    box = (x, y, x + w, y + h) if w else None
    return HumanInfo(human_id, group_id, (mask.shape[0], mask.shape[1]), box, int(cv2.countNonZero(flat)), **more)


def without_ignored(labels: np.ndarray) -> np.ndarray:
    """LIP ids with 255 (don't know) turned into background."""
    return np.where(labels == IGNORE, np.uint8(0), labels)


def check_size(label: Path, labels: np.ndarray, photo: Path, size: tuple[int, int]) -> None:
    """Refuse a label of another size than its photo, (height, width)."""
    if labels.shape != size:
        raise InputError(
            label,
            f"is {labels.shape[1]} x {labels.shape[0]}, but its photo {photo.name} is {size[1]} x {size[0]}",
            "make both the same size, or leave the photo out with --skip-bad",
        )


def empty_label(label: Path) -> InputError:
    """The error for a label without a person."""
    return InputError(label, "empty label: no pixel of a person", "label the photo anew, or leave it out")
