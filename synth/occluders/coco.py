"""`coco:INSTANCES.json[,IMAGES_DIR]`: cut-outs of the instances in COCO-style annotations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from deocc_bench.core import images, masks
from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.reading import note_read
from deocc_bench.core.types import Occluder
from deocc_bench.synth.occluders.base import require_path, summary
from deocc_bench.synth.occluders.filters import OccluderFilter

_CURE = "give a COCO instances file (with images, annotations, categories)"
_MARGIN = 6  # pixels of photo kept around an instance when its neighbours are checked


def open_source(argument: str, skip_bad: bool = False, **_: Any) -> CocoOccluders:
    """Open "INSTANCES.json[,IMAGES_DIR]"; by default the images are in the folder `images` next to the file."""
    require_path(argument, "coco:INSTANCES.json[,IMAGES_DIR]")
    json_path, comma, images_dir = argument.partition(",")
    path = Path(json_path)
    return CocoOccluders(path, Path(images_dir) if comma else path.parent / "images", skip_bad=skip_bad)


class CocoOccluders:
    """Cut-outs of the instances that pass the filter. The group of an occluder is its photo.

    Args:
        path: the annotations: polygons and both kinds of RLE; crowds are ignored.
        images_dir: the photos, found by `file_name` or its last path component.
        rules: the filter.
        skip_bad: reject instances of missing or broken photos instead of raising.

    Raises:
        InputError: a file or record is missing or broken.
    """

    kind = "coco"

    def __init__(
        self, path: Path, images_dir: Path, rules: OccluderFilter | None = None, skip_bad: bool = False
    ) -> None:
        self.path, self.images_dir, self.rules = path, images_dir, rules or OccluderFilter()
        data = _read(path)
        if not images_dir.is_dir():
            raise InputError(images_dir, "no such folder of photos", "write coco:INSTANCES.json,IMAGES_DIR")
        self._licences = {r["id"]: str(r.get("name", r["id"])) for r in data.get("licenses", ())}
        self._categories = {c["id"]: str(c["name"]) for c in data["categories"]}
        self._photos: dict[Any, Mapping[str, Any]] = {p["id"]: p for p in data["images"]}
        self._records: dict[str, Mapping[str, Any]] = {}
        self._rejected: list[tuple[str, str]] = []
        by_photo: dict[Any, list[Mapping[str, Any]]] = {}
        for record in data["annotations"]:
            by_photo.setdefault(record["image_id"], []).append(record)
        for photo_id in sorted(by_photo, key=str):
            self._admit(photo_id, by_photo[photo_id], skip_bad)
        self._rejected.sort()

    def ids(self) -> list[str]:
        """The ids of all accepted instances, sorted."""
        return sorted(self._records)

    def group_of(self, occluder_id: str) -> str:
        """ "coco-photo-<image id>"."""
        return f"coco-photo-{self._records[occluder_id]['image_id']}"

    def category_of(self, occluder_id: str) -> str:
        """The name of the category."""
        return self._categories[self._records[occluder_id]["category_id"]]

    def rejected(self) -> list[tuple[str, str]]:
        """(id, reason), sorted."""
        return list(self._rejected)

    def describe(self) -> dict[str, Any]:
        """Counts, licences and the file name."""
        licences = Counter(self._licence(self._records[i]["image_id"]) for i in self.ids())
        return summary(self, licences, file=self.path.name)

    def load(self, occluder_id: str) -> Occluder:
        """Cut out the instance. The outline is smoothed and shrunk by a pixel: annotations include some background."""
        record = self._records[occluder_id]
        photo = self._photos[record["image_id"]]
        path = self._photo_path(photo)
        image = images.read_rgb(path)
        if image.shape[:2] != (photo["height"], photo["width"]):
            raise InputError(
                path, f"is {image.shape[1]} x {image.shape[0]}, but {self.path.name} says otherwise", "check the photos"
            )
        mask = masks.decode(masks.from_coco(record["segmentation"], photo["height"], photo["width"]))
        soft = soften(mask)
        x0, y0, x1, y1 = masks.tight_box(soft > 0) or (0, 0, 0, 0)
        return Occluder(
            id=occluder_id,
            group_id=self.group_of(occluder_id),
            image=np.ascontiguousarray(image[y0:y1, x0:x1]),
            alpha=soft[y0:y1, x0:x1].astype(np.float32) / np.float32(255),
            category=self.category_of(occluder_id),
            licence=self._licence(record["image_id"]),
            source=self.kind,
        )

    def _admit(self, photo_id: Any, records: Sequence[Mapping[str, Any]], skip_bad: bool) -> None:
        """Divide the instances of one photo into usable and rejected ones."""
        photo = self._photos.get(photo_id)
        if photo is None:
            raise InputError(self.path, f"an annotation names image {photo_id}, which is not in images", _CURE)
        height, width = int(photo["height"]), int(photo["width"])
        fit: list[Mapping[str, Any]] = []
        for record in records:
            category = self._categories.get(record["category_id"])
            if category is None:
                raise InputError(self.path, f"category {record['category_id']} is not in categories", _CURE)
            reason = "a crowd" if record.get("iscrowd") else None
            reason = reason or self.rules.reject_box(category, record["area"], tuple(record["bbox"]), height, width)
            if reason:
                self._rejected.append((_name(record), reason))
            else:
                fit.append(record)
        if not fit:
            return
        try:
            images.check_complete(self._photo_path(photo))
        except InputError as error:
            if not skip_bad:
                raise
            self._rejected += [(_name(r), f"bad photo ({error.problem})") for r in fit]
            return
        for record in fit:
            reason = self._reject_shape(record, records, height, width)
            if reason:
                self._rejected.append((_name(record), reason))
            else:
                self._records[_name(record)] = record

    def _reject_shape(
        self, record: Mapping[str, Any], records: Sequence[Mapping[str, Any]], height: int, width: int
    ) -> str | None:
        x, y, w, h = record["bbox"]
        window = (
            max(0, int(x) - _MARGIN),
            max(0, int(y) - _MARGIN),
            min(width, int(x + w) + _MARGIN),
            min(height, int(y + h) + _MARGIN),
        )
        try:
            mask = _draw([record], window, height, width)
            reason = self.rules.reject_mask(mask)
            if reason is None:
                near = [r for r in records if r is not record and _meets(r["bbox"], window)]
                reason = self.rules.reject_neighbours(mask, _draw(near, window, height, width))
        except (DeoccError, ValueError, TypeError, KeyError) as error:
            return f"broken segmentation ({error})"
        return reason

    def _photo_path(self, photo: Mapping[str, Any]) -> Path:
        path = self.images_dir / str(photo["file_name"])
        return path if path.exists() else self.images_dir / Path(str(photo["file_name"])).name

    def _licence(self, photo_id: Any) -> str:
        return self._licences.get(self._photos[photo_id].get("license"), "not stated")


def soften(mask: np.ndarray) -> np.ndarray:
    """uint8 alpha H x W of a bool mask, shrunk by one pixel, with the staircase of its outline smoothed."""
    grown = np.where(mask, np.uint8(255), np.uint8(0))
    thinner = cv2.erode(grown, np.ones((3, 3), np.uint8), borderValue=0)
    alpha = cv2.GaussianBlur(thinner, (5, 5), 0, borderType=cv2.BORDER_REPLICATE)
    # A mask without interior would vanish: keep it unchanged.
    return alpha if alpha.max() >= 128 else grown


def _name(record: Mapping[str, Any]) -> str:
    return f"coco-{record['id']}"


def _meets(box: Sequence[float], window: tuple[int, int, int, int]) -> bool:
    x, y, w, h = box
    return x < window[2] and y < window[3] and x + w > window[0] and y + h > window[1]


def _draw(
    records: Sequence[Mapping[str, Any]], window: tuple[int, int, int, int], height: int, width: int
) -> np.ndarray:
    """The union of the instances inside the window (x0, y0, x1, y1), bool."""
    x0, y0, x1, y1 = window
    canvas = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for record in records:
        segmentation = record["segmentation"]
        if isinstance(segmentation, list):
            # Not drawn by pycocotools: thousands of instances are only checked, each in a small window.
            polygons = [
                np.rint(np.asarray(p, np.float64).reshape(-1, 2) - (x0, y0)).astype(np.int32)
                for p in segmentation
                if len(p) >= 6
            ]
            for polygon in polygons:
                cv2.fillPoly(canvas, [polygon], 1)
        else:
            canvas |= masks.decode(masks.from_coco(segmentation, height, width))[y0:y1, x0:x1]
    return canvas.astype(bool)


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        note_read(path, raw)
        data = json.loads(raw.decode())
    except FileNotFoundError:
        raise InputError(path, "no such file", "check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"can't be read ({error})", "check the path") from error
    except json.JSONDecodeError as error:
        raise InputError(path, f"not JSON (line {error.lineno}: {error.msg})", _CURE) from error
    if not isinstance(data, dict):
        raise InputError(path, "contains a list, not an object", _CURE)
    needed = {
        "images": ("id", "file_name", "height", "width"),
        "annotations": ("id", "image_id", "category_id", "segmentation", "bbox", "area"),
        "categories": ("id", "name"),
    }
    for key, fields in needed.items():
        rows = data.get(key)
        if not isinstance(rows, list):
            raise InputError(path, f"has no list {key!r}", _CURE)
        for row in rows:
            missing = [f for f in fields if not isinstance(row, dict) or f not in row]
            if missing:
                raise InputError(path, f"a record of {key} lacks {', '.join(missing)}", _CURE)
    names = Counter(a["id"] for a in data["annotations"])
    twice = [i for i, n in names.items() if n > 1]
    if twice:
        raise InputError(path, f"annotation id {twice[0]} is used twice", "give each annotation its own id")
    return data
