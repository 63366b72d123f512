"""nearest-human: the most alike person of the training split lends the hidden parts."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.baselines.fills import extend, regions
from deocc_bench.baselines.shapes import SIDE, fitted_or_raise, sample_grids
from deocc_bench.core import images, masks
from deocc_bench.core.dataset import DatasetReader, SampleRecord
from deocc_bench.core.errors import InputError
from deocc_bench.core.seeding import hash64
from deocc_bench.core.types import Batch, ContentOutput

_STORED = 128  # pixels, side of the square that a donor's box is stored in


@dataclass(frozen=True)
class _Donors:
    """n donors in their amodal boxes. pictures: uint8 n x S x S x 3, person only, extended outwards; shapes: float32
    n x SIDE x SIDE; colours: float32 n x SIDE x SIDE x 3 in [0, 1]."""

    pictures: np.ndarray
    shapes: np.ndarray
    colours: np.ndarray


class NearestHuman:
    """Retrieval: the training person with the most alike silhouette and visible colours, pasted box on box.

    Distance = mean silhouette difference over the box + `colour` x mean colour difference over what is visible of the
    target and there of the donor. Both mirror images of a donor are tried. The donor's colours are shifted by the mean
    difference along the hole's rim, so that the paste meets the visible person.

    Source: own, after Hays & Efros, "Scene completion using millions of photographs" (SIGGRAPH 2007).

    Args:
        colour: weight of the colours against the silhouette.
        limit: at most so many humans are remembered.
    """

    name = "nearest-human"
    needs = ("fit",)

    def __init__(self, colour: float = 2.0, limit: int = 1000) -> None:
        self.colour, self.limit = float(colour), int(limit)
        self._donors: _Donors | None = None

    def fit(self, dataset: DatasetReader, split: str) -> None:
        """Remember the complete humans of `split`, one sample each.

        Raises:
            InputError: the split has no complete images.
        """
        chosen: dict[str, SampleRecord] = {}
        for record in dataset.records(split):
            if record.complete_path is not None:
                chosen.setdefault(record.human_id, record)
        if not chosen:
            raise InputError(
                dataset.root, f"split {split!r} has no complete images to lend from", "give a synthetic dataset"
            )
        # A hash order takes a fair part of a large split, and the same one whatever the file lists first.
        humans = sorted(chosen, key=lambda h: hash64("donor", h))[: self.limit]
        pictures, shapes, colours = [], [], []
        for human in humans:
            path = chosen[human].complete_path
            body = masks.decode(chosen[human].amodal)
            box = masks.tight_box(body)
            if path is None or box is None:
                continue
            x0, y0, x1, y1 = box
            crop = extend(images.read_rgb(path), body)[y0:y1, x0:x1]
            pictures.append(cv2.resize(crop, (_STORED, _STORED), interpolation=cv2.INTER_AREA))
            shapes.append(sample_grids(body, np.array([box], dtype=np.float64))[0])
            colours.append(cv2.resize(pictures[-1], (SIDE, SIDE), interpolation=cv2.INTER_AREA) / np.float32(255))
        self._donors = _Donors(np.stack(pictures), np.stack(shapes), np.stack(colours).astype(np.float32))

    def recover(self, batch: Batch) -> ContentOutput:
        """The images with the holes painted, uint8 N x H x W x 3."""
        fitted_or_raise(self.name, self._donors)
        visible, holes = regions(self.name, batch)
        out = batch.images.copy()
        for i in range(len(batch)):
            if holes[i].any():
                out[i][holes[i]] = self._lend(batch.images[i], visible[i], holes[i])
        return ContentOutput(out)

    def _lend(self, image: np.ndarray, visible: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """uint8 n x 3: colours of the hole's pixels."""
        box = masks.tight_box(visible | hole)
        donors = self._donors
        if box is None or donors is None:
            return image[hole]
        x0, y0, x1, y1 = box
        index, mirrored = self._nearest(donors, image, visible, hole, box)
        picture = donors.pictures[index][:, ::-1] if mirrored else donors.pictures[index]
        pasted = cv2.resize(np.ascontiguousarray(picture), (x1 - x0, y1 - y0), interpolation=cv2.INTER_LINEAR)
        gap, seen, there = hole[y0:y1, x0:x1], visible[y0:y1, x0:x1], image[y0:y1, x0:x1]
        result = pasted[gap].astype(np.float32)
        rim = seen & (cv2.dilate(gap.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0)
        if rim.any():
            # Each hole pixel takes the shift of its neighbourhood on the rim: sleeve and trousers differ.
            shift = _smooth_extension(there.astype(np.float32) - pasted, rim)
            result += shift[gap]
        return np.rint(np.clip(result, 0, 255)).astype(np.uint8)

    def _nearest(
        self,
        donors: _Donors,
        image: np.ndarray,
        visible: np.ndarray,
        hole: np.ndarray,
        box: tuple[int, int, int, int],
    ) -> tuple[int, bool]:
        x0, y0, x1, y1 = box
        boxes = np.array([box], dtype=np.float64)
        body, seen = sample_grids(visible | hole, boxes)[0], sample_grids(visible, boxes)[0]
        if visible.any():
            crop = extend(image, visible)[y0:y1, x0:x1]
        else:
            crop = image[y0:y1, x0:x1]
        colours = cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        costs = []
        for flip in (slice(None), slice(None, None, -1)):
            shapes = donors.shapes[:, :, flip]
            cost = np.abs(shapes - body).mean(axis=(1, 2)) / max(float(body.mean()), 1e-6)
            weight = shapes * seen
            off = np.abs(donors.colours[:, :, flip] - colours).mean(axis=3)
            cost += self.colour * (off * weight).sum(axis=(1, 2)) / np.maximum(weight.sum(axis=(1, 2)), 1e-3)
            costs.append(cost)
        flat = int(np.argmin(np.concatenate(costs)))
        return flat % len(donors.shapes), flat >= len(donors.shapes)


def _smooth_extension(values: np.ndarray, known: np.ndarray, sigma: float = 12.0) -> np.ndarray:
    """float32 H x W x 3: local Gaussian mean of the known values, fading to zero far from them."""
    weight = known.astype(np.float32)
    near = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma)
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    return near / (total + 1e-2 * max(float(total.max()), 1e-6))[..., None]
