"""`coco:INSTANCES.json[,IMAGES_DIR]`: cut-outs of the instances in COCO-style annotations."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import cv2
import numpy as np

from deocc_bench.core import images, mask_files, masks
from deocc_bench.core.coco_file import Annotation, CocoFile, Id, Image
from deocc_bench.core.errors import DeoccError, InputError, one_line
from deocc_bench.core.json_files import parse_json
from deocc_bench.core.outlines import bounded, polygons_of
from deocc_bench.core.paths import inside
from deocc_bench.core.pixels import check_size, open_image
from deocc_bench.core.types import Occluder
from deocc_bench.synth.occluders.base import require_path, summary
from deocc_bench.synth.occluders.filters import OccluderFilter

_MARGIN = 6  # pixels of photo kept around an instance when its neighbours are checked

Window = tuple[int, int, int, int]  # x0, y0, x1, y1, end exclusive


def open_source(argument: str, skip_bad: bool = False, **_: Any) -> CocoOccluders:
    """Open "INSTANCES.json[,IMAGES_DIR]"; by default the images are in the folder `images` next to the file."""
    require_path(argument, "coco:INSTANCES.json[,IMAGES_DIR]")
    json_path, comma, images_dir = argument.partition(",")
    path = Path(json_path)
    return CocoOccluders(path, Path(images_dir) if comma else path.parent / "images", skip_bad=skip_bad)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """What is kept of an accepted instance; `segmentation` is JSON text."""

    photo: Image
    group_id: str
    category: str
    licence: str
    segmentation: bytes


class _Instance(NamedTuple):
    """An annotation and its place in the file."""

    place: int
    record: Annotation


class CocoOccluders:
    """Cut-outs of the instances that pass the filter. The group of an occluder is its photo.

    Args:
        path: the annotations: polygons and both kinds of RLE; crowds are ignored.
        images_dir: the photos, found by `file_name`, or by its last component if no other image has the same one.
        rules: the filter.
        skip_bad: reject broken entries, and instances of missing or broken photos, instead of raising.

    Raises:
        InputError: a file or record is missing or broken.
    """

    kind = "coco"

    def __init__(
        self, path: Path, images_dir: Path, rules: OccluderFilter | None = None, skip_bad: bool = False
    ) -> None:
        self.path = path
        self._photos = _Photos(path, images_dir)
        reader = _Reader(CocoFile(path, skip_bad), self._photos, rules or OccluderFilter(), skip_bad)
        self._accepted, self._rejected = reader.read()

    def ids(self) -> list[str]:
        """The ids of all accepted instances, sorted."""
        return list(self._accepted)

    def group_of(self, occluder_id: str) -> str:
        """ "coco-photo-<image id>"."""
        return self._accepted[occluder_id].group_id

    def category_of(self, occluder_id: str) -> str:
        """The name of the category."""
        return self._accepted[occluder_id].category

    def rejected(self) -> list[tuple[str, str]]:
        """(id, reason), sorted."""
        return list(self._rejected)

    def describe(self) -> dict[str, Any]:
        """Counts, licences and the file name."""
        return summary(self, Counter(a.licence for a in self._accepted.values()), file=self.path.name)

    def load(self, occluder_id: str) -> Occluder:
        """Cut out the instance. The outline is smoothed and shrunk by a pixel: annotations include some background."""
        found = self._accepted[occluder_id]
        photo = found.photo
        path = self._photos.path_of(photo)
        file = open_image(path)
        if file.header.size != (photo.height, photo.width):
            where = f"{self.path}: image {photo.id}"
            raise mask_files.wrong_size((photo.height, photo.width), file.header, where, path)
        image = images.decode_rgb(file)
        segmentation = parse_json(found.segmentation, self.path)
        soft = soften(masks.decode(masks.from_coco(segmentation, photo.height, photo.width)))
        x0, y0, x1, y1 = masks.tight_box(soft > 0) or (0, 0, 0, 0)
        return Occluder(
            id=occluder_id,
            group_id=found.group_id,
            image=np.ascontiguousarray(image[y0:y1, x0:x1]),
            alpha=soft[y0:y1, x0:x1].astype(np.float32) / np.float32(255),
            category=found.category,
            licence=found.licence,
            source=self.kind,
        )


class _Photos:
    """Finds the photos of a COCO file in the folder given."""

    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.folder = path, folder
        self._shared: dict[str, int] = {}

    def require(self, listed: Sequence[Image]) -> None:
        """Check that the folder exists, and learn the names in the file.

        Raises:
            InputError: there is no such folder.
        """
        if not self.folder.is_dir():
            raise InputError(self.folder, "no such folder of photos", "write coco:INSTANCES.json,IMAGES_DIR")
        counts = Counter(_last(name) for name in {i.file_name for i in listed})
        self._shared = {name: n for name, n in counts.items() if n > 1}

    def path_of(self, photo: Image) -> Path:
        """The file of a photo.

        Raises:
            InputError: its name leads out of the folder, or only its last component is found, and is ambiguous.
        """
        where = f"{self.path}: image {photo.id}"
        path = inside(self.folder, _slashed(photo.file_name), where)
        if os.path.lexists(path):
            return path
        last = _last(photo.file_name)
        flat = inside(self.folder, last, where)
        if last in self._shared and flat.exists():
            problem = f"{photo.file_name} is missing, and {last} may be any of {self._shared[last]} images"
            raise InputError(where, problem, "put the photos into the folders that the file names")
        return flat

    def check(self, photo: Image) -> None:
        """Check that a photo is complete and has the size stated; pixels are not decoded.

        Raises:
            InputError: it is not.
        """
        where = f"{self.path}: image {photo.id}"
        check_size(where, photo.height, photo.width)
        path = self.path_of(photo)
        header = open_image(path).header
        if header.size != (photo.height, photo.width):
            raise mask_files.wrong_size((photo.height, photo.width), header, where, path)


class _Reader:
    """Divides the instances of a file into usable and rejected ones. Exists only while the source is opened."""

    def __init__(self, file: CocoFile, photos: _Photos, rules: OccluderFilter, skip_bad: bool) -> None:
        photos.require(file.images.records)
        self._file, self._photos, self._rules, self._skip_bad = file, photos, rules, skip_bad
        # Two entries of one photo are one group; otherwise a split could separate them.
        self._groups: dict[str, Id] = {}
        for photo in file.images.records:
            self._groups.setdefault(photo.file_name, photo.id)
        self._accepted: dict[str, _Accepted] = {}
        self._rejected: list[tuple[str, str]] = []

    def read(self) -> tuple[dict[str, _Accepted], list[tuple[str, str]]]:
        """(accepted by id, rejected with reasons), both sorted by id."""
        by_photo: dict[str, list[_Instance]] = {}
        for instance in self._once():
            by_photo.setdefault(str(instance.record.image_id), []).append(instance)
        for key in sorted(by_photo):
            self._admit(by_photo[key])
        return dict(sorted(self._accepted.items())), sorted(self._rejected)

    def _once(self) -> list[_Instance]:
        """The annotations that can be read, refer to known entries, and whose id is used once."""
        found: list[_Instance] = []
        for place, record in self._file.annotations():
            try:
                if isinstance(record, InputError):
                    raise record
                self._file.images.find(record.image_id, "image_id")
                self._file.categories.find(record.category_id, "category_id")
            except DeoccError as error:
                self._bad(self._file.name_of(place), error)
            else:
                found.append(_Instance(place, record))
        counts = Counter(str(i.record.id) for i in found)
        if len(counts) == len(found):
            return found
        twice = next(number for number, n in counts.items() if n > 1)
        if not self._skip_bad:
            problem = f"annotation id {one_line(twice, 80)} is used twice"
            raise InputError(self._file.path, problem, "give each annotation its own id")
        repeated = [i for i in found if counts[str(i.record.id)] > 1]
        self._rejected += [(_name(i.record), "broken record (its id is used twice)") for i in repeated]
        return [i for i in found if counts[str(i.record.id)] == 1]

    def _bad(self, name: str, error: DeoccError) -> None:
        """Reject a broken entry, or raise its error."""
        told = error if isinstance(error, InputError) else self._file.error(name, error)
        if not self._skip_bad:
            raise told from error
        self._rejected.append((f"coco-{name}", f"broken record ({one_line(told.problem, 300)})"))

    def _admit(self, instances: Sequence[_Instance]) -> None:
        """Divide the instances of one photo."""
        photo = self._file.images.find(instances[0].record.image_id, "image_id")
        fit: list[_Instance] = []
        for instance in instances:
            record = instance.record
            category = self._file.categories.find(record.category_id, "category_id").name
            reason = "a crowd" if record.iscrowd else None
            reason = reason or self._rules.reject_box(category, record.area, record.bbox, photo.height, photo.width)
            if reason:
                self._rejected.append((_name(record), reason))
            else:
                fit.append(instance)
        if not fit:
            return
        try:
            self._photos.check(photo)
            licence = self._licence(photo)
        except InputError as error:
            if not self._skip_bad:
                raise
            problem = one_line(error.problem, 300)
            self._rejected += [(_name(i.record), f"bad photo ({problem})") for i in fit]
            return
        group_id = f"coco-photo-{self._groups[photo.file_name]}"
        for instance in fit:
            reason = self._reject_shape(instance, instances, photo)
            if reason:
                self._rejected.append((_name(instance.record), reason))
            else:
                category = self._file.categories.find(instance.record.category_id, "category_id").name
                segmentation = self._file.segmentation_json(instance.place)
                self._accepted[_name(instance.record)] = _Accepted(photo, group_id, category, licence, segmentation)

    def _reject_shape(self, instance: _Instance, instances: Sequence[_Instance], photo: Image) -> str | None:
        x, y, w, h = instance.record.bbox
        window = (
            max(0, int(x) - _MARGIN),
            max(0, int(y) - _MARGIN),
            min(photo.width, int(x + w) + _MARGIN),
            min(photo.height, int(y + h) + _MARGIN),
        )
        try:
            mask = self._draw([instance], window, photo)
        except DeoccError as error:
            return f"broken segmentation ({one_line(error, 200)})"
        reason = self._rules.reject_mask(mask)
        if reason is not None:
            return reason
        near = [i for i in instances if i is not instance and _meets(i.record.bbox, window)]
        if not near:
            return None
        try:
            return self._rules.reject_neighbours(mask, self._draw(near, window, photo))
        except DeoccError as error:
            return f"broken segmentation of a neighbour ({one_line(error, 200)})"

    def _draw(self, instances: Sequence[_Instance], window: Window, photo: Image) -> np.ndarray:
        """The union of the instances inside the window, bool."""
        x0, y0, x1, y1 = window
        canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for instance in instances:
            segmentation = self._file.segmentation(instance.place)
            if isinstance(segmentation, list):
                # Not drawn by pycocotools: thousands of instances are only checked, each in a small window.
                for outline in bounded(polygons_of(segmentation), photo.height, photo.width):
                    points = np.array(outline, np.float64).reshape(-1, 2) - (x0, y0)
                    cv2.fillPoly(canvas, [np.rint(points).astype(np.int32)], 1)
            else:
                canvas |= masks.decode(masks.from_coco(segmentation, photo.height, photo.width))[y0:y1, x0:x1]
        return canvas.astype(bool)

    def _licence(self, photo: Image) -> str:
        """The name of a photo's licence.

        Raises:
            InputError: the licence is listed, but broken or as an id of another type.
        """
        known = self._file.licences
        if photo.license is None or photo.license not in known:
            return "not stated"
        try:
            record = known.find(photo.license, "license")
        except DeoccError as error:
            raise self._file.error(str(photo.id), error, "image") from error
        return str(record.id) if record.name is None else record.name


def soften(mask: np.ndarray) -> np.ndarray:
    """uint8 alpha H x W of a bool mask, shrunk by one pixel, with the staircase of its outline smoothed."""
    grown = np.where(mask, np.uint8(255), np.uint8(0))
    thinner = cv2.erode(grown, np.ones((3, 3), np.uint8), borderValue=0)
    alpha = cv2.GaussianBlur(thinner, (5, 5), 0, borderType=cv2.BORDER_REPLICATE)
    # A mask without interior would vanish: keep it unchanged.
    return alpha if alpha.max() >= 128 else grown


def _name(record: Annotation) -> str:
    return f"coco-{record.id}"


def _slashed(file_name: str) -> str:
    """The name as written on Linux; files made on Windows have backslashes."""
    return file_name.replace("\\", "/")


def _last(file_name: str) -> str:
    return PurePosixPath(_slashed(file_name)).name


def _meets(box: Sequence[float], window: Window) -> bool:
    x, y, w, h = box
    return x < window[2] and y < window[3] and x + w > window[0] and y + h > window[1]
