"""CIHP (Crowd Instance-level Human Parsing): several people per photo, 20 classes; class 10 is torso-skin."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from deocc_bench.core import images
from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import CIHP, IGNORE, convert
from deocc_bench.core.pixels import open_image
from deocc_bench.core.types import Human
from deocc_bench.synth.humans.base import (
    HumanInfo,
    PhotoFolder,
    check_size,
    empty_label,
    info_from_mask,
    without_ignored,
)
from deocc_bench.synth.humans.layout import Layout

_CLASSES = CIHP.size
_WIDE = ("I;16", "I;16B", "I")  # modes of 16-bit grey images
_HIGHEST = 65_535
_CATEGORIES, _HUMANS = "Category_ids", "Human_ids"
# Maximum length of the border with another person, as a share of the person's height.
_CONTACT = 0.05


class CihpSource(PhotoFolder):
    """`Images` with `Instance_ids`, whose value is (human - 1) * 20 + category; ids are `cihp-<photo>-<human>`.

    If `Instance_ids` is missing, `Category_ids` and `Human_ids` are read together. A re-packed release has `images` and
    `labels` with plain categories, which do not separate people: such a photo is one human, and is flagged if it seems
    to show several. Other people in the photo are background. A photo with a bad or empty label is listed as human 0,
    and `peek` reports the error.
    """

    kind = "cihp"
    title = "CIHP (Crowd Instance-level Human Parsing)"
    licence = "CIHP: research only; see the home page"
    home = "http://sysu-hcp.net/lip/"
    layouts = tuple(
        Layout(photos, labels, ("*_id.txt", "list/*.txt", "lists/*.txt"))
        for photos, labels in (
            ("Images", "Instance_ids"),
            ("Images", _CATEGORIES),
            ("images", "instances"),
            ("images", "labels"),
        )
    )
    _ids: list[str] | None = None

    def ids(self) -> list[str]:
        """The ids of all people, sorted. The first call reads every label once."""
        if self._ids is None:
            self._ids = sorted(f"cihp-{s}-{n}" for s in self._place for n in self._people(s))
        return list(self._ids)

    def group_of(self, human_id: str) -> str:
        """The photo."""
        return human_id.rpartition("-")[0]

    def peek(self, human_id: str) -> HumanInfo:
        """See `HumanSource.peek`."""
        photo, label, number = self._find(human_id)
        found = self._read_checked(photo, label)
        people, categories = split_instances(found.labels)
        mask = people == number if number else np.zeros(people.shape, dtype=bool)
        info = info_from_mask(human_id, self.group_of(human_id), mask)
        if info.box is None:
            return info
        x0, y0, x1, y1 = info.box
        window = np.s_[max(0, y0 - 1) : y1 + 1, max(0, x0 - 1) : x1 + 1]
        grown = cv2.dilate(mask[window].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        contact = int(np.count_nonzero(grown & (people[window] > 0) & ~mask[window]))
        several = people.max() == 1 and self._plain(label) and _faces(categories) > 1
        return info_from_mask(
            human_id,
            self.group_of(human_id),
            mask,
            touches_person=contact > _CONTACT * info.height,
            defects=("several people that the label does not separate",) if several else (),
            turned=found.header.turned,
        )

    def load(self, human_id: str) -> Human:
        """See `HumanSource.load`."""
        photo, label, number = self._find(human_id)
        labels, image = self._read_both(photo, label)
        people, categories = split_instances(labels)
        own = np.where(people == number, categories, np.uint8(0))
        if not number or not own.any():
            raise empty_label(label)
        parsing = without_ignored(convert(own, CIHP, where=label).labels)
        return Human(human_id, self.group_of(human_id), image, parsing > 0, parsing, self.licence, self.kind)

    def _find(self, human_id: str) -> tuple[Path, Path, int]:
        stem, _, number = human_id.removeprefix("cihp-").rpartition("-")
        return (*self._files_of_stem(stem), int(number))

    def _people(self, stem: str) -> list[int]:
        """Numbers of the people in a photo; [0] if there are none or the label can't be read."""
        try:
            _, label = self._files_of_stem(stem)
            people, _ = split_instances(self._read(label))
        except InputError:
            # The error is not lost: `peek` of human 0 raises it again.
            return [0]
        return [int(n) for n in np.flatnonzero(np.bincount(people.ravel())) if n] or [0]

    def _plain(self, label: Path) -> bool:
        return label.parent.name == "labels" or (
            label.parent.name == _CATEGORIES and not (label.parents[1] / _HUMANS).is_dir()
        )

    def _read(self, label: Path) -> np.ndarray:
        """Read the instance values, int32 H x W."""
        values = read_wide_indices(label)
        if label.parent.name != _CATEGORIES:
            return values
        CIHP.check(values, label)
        if self._plain(label):
            return values
        path = label.parents[1] / _HUMANS / label.name
        humans = read_wide_indices(path)
        check_size(path, humans, label, (values.shape[0], values.shape[1]))
        known = (values > 0) & (values != IGNORE) & (humans > 0) & (humans != IGNORE)
        return np.where(known, (humans - 1) * _CLASSES + values, 0)


def read_wide_indices(path: Path) -> np.ndarray:
    """Read the values of a palette, 8-bit grey or 16-bit grey PNG (int32 H x W). 13 or more people need 16 bits.

    Raises:
        InputError: the file is missing, broken, too large, or a colour image.
    """
    file = open_image(path)
    if file.header.mode not in _WIDE:
        return images.decode_indices(file).astype(np.int32)
    with file.opened() as im:
        values = np.asarray(im).astype(np.int64)
    if values.min() < 0 or values.max() > _HIGHEST:
        problem = f"has values from {values.min()} to {values.max()}, beyond 16 bits"
        raise InputError(path, problem, "choose the right kind of labels, or replace the file")
    return file.upright(values.astype(np.int32))


def split_instances(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split instance values into (people int32, categories uint8), H x W each; people count from 1, 0 is background.

    A value without a category (a multiple of 20) is background. 255 means "don't know", unless other values of the
    13th person (241 to 259) occur too.
    """
    categories = values % _CLASSES
    nobody = categories == 0
    if not np.any((values > 240) & (values != IGNORE) & (values < 260)):
        nobody |= values == IGNORE
    people = np.where(nobody, 0, values // _CLASSES + 1)
    return people, np.where(nobody, 0, categories).astype(np.uint8)


def _faces(categories: np.ndarray) -> int:
    """Number of separate faces or heads of hair, ignoring specks."""
    best = 0
    for name in ("face", "hair"):
        part = (categories == CIHP.index(name)).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(part)
        areas = stats[1:, cv2.CC_STAT_AREA]
        if areas.size:
            best = max(best, int(np.count_nonzero(areas > 0.2 * areas.max())))
    return best
