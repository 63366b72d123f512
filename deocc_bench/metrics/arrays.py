"""The arrays of one sample that metrics read: true and predicted, and derived arrays that several metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

Box = tuple[int, int, int, int]
MASKS = ("amodal", "modal", "initial", "predicted", "predicted_modal", "fill")
PARSINGS = ("parsing", "predicted_parsing")
PICTURES = ("image", "complete", "recovered")
# Name -> dtype, and the dimensions after height and width.
LAYOUT: Mapping[str, tuple[str, tuple[int, ...]]] = {
    **dict.fromkeys(MASKS, ("bool", ())),
    **dict.fromkeys(PARSINGS, ("uint8", ())),
    **dict.fromkeys(PICTURES, ("uint8", (3,))),
}


@dataclass(frozen=True, eq=False, kw_only=True)
class SampleArrays:
    """The arrays of one sample; a missing array is None. Treat them as read-only.

    Args:
        amodal, modal: true masks, bool (H, W).
        initial: the method's input mask, bool (H, W).
        predicted, predicted_modal: predicted amodal and modal mask, bool (H, W).
        parsing, predicted_parsing: uint8 (H, W) LIP ids of the amodal person; 255 in the ground truth is ignored.
        image, complete, recovered: occluded, un-occluded and recovered picture, uint8 (H, W, 3) RGB.
        fill: bool (H, W), the region that is taken from the recovered picture; None: the true invisible region. In the
            joint task it is the method's own amodal & ~modal.

    Raises:
        ValueError: an array has the wrong dtype, or its size differs from the others.
    """

    amodal: np.ndarray | None = None
    modal: np.ndarray | None = None
    initial: np.ndarray | None = None
    predicted: np.ndarray | None = None
    predicted_modal: np.ndarray | None = None
    parsing: np.ndarray | None = None
    predicted_parsing: np.ndarray | None = None
    image: np.ndarray | None = None
    complete: np.ndarray | None = None
    recovered: np.ndarray | None = None
    fill: np.ndarray | None = None

    def __post_init__(self) -> None:
        for name, (dtype, channels) in LAYOUT.items():
            array = getattr(self, name)
            if array is not None and (array.dtype != dtype or array.shape != (*self.size, *channels)):
                shape = "(H, W, 3)" if channels else "(H, W)"
                raise ValueError(
                    f"Expected `{name}` to be a {dtype} array {shape} of size {self.size}, "
                    f"but got {array.dtype} {array.shape}"
                )

    def holds(self, names: tuple[str, ...]) -> bool:
        """Whether all arrays with these names are present."""
        return all(getattr(self, name) is not None for name in names)

    def of(self, name: str) -> np.ndarray:
        """The array with this name, which must be present; masks in row-major order."""
        array = getattr(self, name)
        if array is None:
            raise ValueError(f"Expected `{name}` to be given, but it is None")
        return np.asarray(array)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width, read from the first array that is present."""
        height, width = next(a for name in LAYOUT if (a := getattr(self, name)) is not None).shape[:2]
        return int(height), int(width)

    @cached_property
    def hidden(self) -> np.ndarray:
        """The true invisible region, bool (H, W)."""
        return np.asarray(self.of("amodal") & ~self.of("modal"))

    def packed(self, name: str) -> np.ndarray:
        """The mask `name` packed to one bit per pixel (see `pack`); cached."""
        if name not in self._packed:
            self._packed[name] = pack(self.of(name))
        return self._packed[name]

    @cached_property
    def _packed(self) -> dict[str, np.ndarray]:
        return {}

    @cached_property
    def truth(self) -> np.ndarray:
        """The ground-truth picture (see `truth_image`), uint8 (H, W, 3)."""
        return truth_image(self.of("image"), self.of("complete"), self.of("amodal"))

    @cached_property
    def composite(self) -> np.ndarray:
        """The picture that is scored (see `composite`), uint8 (H, W, 3)."""
        return composite(self.of("image"), self.of("recovered"), self.hidden if self.fill is None else self.fill)

    @cached_property
    def difference(self) -> np.ndarray:
        """Absolute difference between composite and ground truth, uint8 (H, W, 3)."""
        return np.asarray(cv2.absdiff(self.composite, self.truth))

    @cached_property
    def box(self) -> Box | None:
        """(top, bottom, left, right) of the pixels where composite and ground truth differ; None if they are equal."""
        # The interleaved channels form one plane, whose box is three times as wide.
        x, y, w, h = cv2.boundingRect(self.difference.reshape(self.difference.shape[0], -1))
        return (y, y + h, x // 3, (x + w + 2) // 3) if w and h else None

    @property
    def content_regions(self) -> dict[str, np.ndarray | None]:
        """Region name -> mask of the pixels that are compared; None for all pixels."""
        return {"image": None, "human": self.of("amodal"), "invisible": self.hidden}


def truth_image(image: np.ndarray, complete: np.ndarray, amodal: np.ndarray) -> np.ndarray:
    """The ground truth: `complete` inside the amodal mask, the occluded `image` outside; uint8 (H, W, 3)."""
    return _paste(complete, image, amodal)


def composite(image: np.ndarray, recovered: np.ndarray, fill: np.ndarray) -> np.ndarray:
    """The scored picture: `recovered` inside `fill` (bool H x W), the occluded `image` elsewhere; uint8 (H, W, 3)."""
    return _paste(recovered, image, fill)


def pack(mask: np.ndarray) -> np.ndarray:
    """Pack a bool mask (H, W) into uint64 words, one bit per pixel, zero-padded at the end."""
    # RLE decoders often return column-major arrays; mixing the two orders costs more than this copy.
    bits = np.packbits(np.ascontiguousarray(mask))
    rest = -bits.size % 8
    return (np.concatenate([bits, np.zeros(rest, np.uint8)]) if rest else bits).view(np.uint64)


def popcount(words: np.ndarray) -> int:
    """Number of set bits."""
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def _paste(source: np.ndarray, background: np.ndarray, mask: np.ndarray) -> np.ndarray:
    out = np.array(background, order="C")
    return np.asarray(cv2.copyTo(source, np.ascontiguousarray(mask).view(np.uint8), out))
