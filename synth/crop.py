"""The square crop around a person, with derived values that are computed once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.errors import InvariantError
from deocc_bench.core.labels import LIP
from deocc_bench.core.types import Human
from deocc_bench.core.window import Window, cut, window
from deocc_bench.synth.overlap import Field, field

_COARSE = 40  # cells on the longer side of the grid that placement searches


@dataclass(frozen=True)
class Jitter:
    """Random geometry of a crop; the defaults are those of the parent code's proxy.

    Args:
        shift: maximum shift of the centre in each direction, as a share of the side.
        scale: range of the factor that multiplies the side.
        flip: probability of mirroring.
        keep_inside: never cut the person's box, regardless of shift and scale.
    """

    shift: float = 0.2
    scale: tuple[float, float] = (0.8, 1.2)
    flip: float = 0.5
    keep_inside: bool = True


@dataclass(frozen=True)
class Crop:
    """A person in the frame of a sample. Samples share the arrays: treat them as read-only.

    Args:
        image: uint8 H x W x 3, RGB.
        mask: bool H x W, the whole person.
        parsing: uint8 H x W, LIP ids, non-zero exactly where `mask` is true; or None.
        photo: the rectangle (x0, y0, x1, y1), end exclusive, that contains the photo without padding; None: all.
    """

    image: np.ndarray
    mask: np.ndarray
    parsing: np.ndarray | None
    photo: tuple[int, int, int, int] | None = None

    def __post_init__(self) -> None:
        if not self.mask.any():
            raise InvariantError("the person vanished from the crop")

    @cached_property
    def pixels(self) -> np.ndarray:
        """The mask as uint8 0 / 255."""
        return np.where(self.mask, np.uint8(255), np.uint8(0))

    @cached_property
    def area(self) -> int:
        """Area of the person, pixels."""
        return int(cv2.countNonZero(self.pixels))

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """Tight box (x0, y0, x1, y1), end exclusive."""
        box = masks.tight_box(self.mask)
        assert box is not None  # __post_init__ found a pixel
        return box

    @cached_property
    def frame(self) -> tuple[int, int, int, int]:
        """`photo`, or the whole frame if None. Occluders are clipped to it, as if they were in the original photo."""
        height, width = self.mask.shape
        return self.photo or (0, 0, width, height)

    @cached_property
    def cell(self) -> int:
        """Side of a cell in the placement grid, pixels."""
        return max(1, math.ceil(max(self.mask.shape) / _COARSE))

    @cached_property
    def grid(self) -> Field:
        """The person's mask on the placement grid."""
        return field(self.pixels, self.box, self.cell)

    @cached_property
    def soft(self) -> np.ndarray:
        """uint8 alpha of the person over objects behind them: soft inside the outline, 0 outside the mask."""
        blurred = cv2.blur(self.pixels, (3, 3), borderType=cv2.BORDER_REPLICATE)
        return cv2.bitwise_and(blurred, self.pixels)


def jittered(box: tuple[int, int, int, int], jitter: Jitter, rng: np.random.Generator) -> tuple[Window, bool]:
    """A random window around the box, and whether to mirror it."""
    x0, y0, x1, y1 = box
    dx, dy = (float(v) for v in rng.uniform(-jitter.shift, jitter.shift, 2))
    scale = float(rng.uniform(*jitter.scale))
    flip = bool(rng.random() < jitter.flip)
    w = window(box, (dx, dy), scale)
    if jitter.keep_inside:
        side = max(w.side, x1 - x0, y1 - y0)
        w = Window(min(max(w.x, x1 - side), x0), min(max(w.y, y1 - side), y0), side)
    return w, flip


def crop(
    human: Human, size: int | None = 256, jitter: Jitter | None = None, rng: np.random.Generator | None = None
) -> Crop:
    """Crop the photo around a person.

    Args:
        human: as returned by a source's `load`.
        size: side of the square result, pixels; None (native): the uncropped photo.
        jitter: random geometry, drawn from `rng`; None: the centred square. Native size uses only its flip.
    """
    box = masks.tight_box(human.mask)
    if box is None:
        raise InvariantError(f"{human.id}: the mask is empty")
    flip = False
    where: Window | None = None
    if jitter is not None:
        if rng is None:
            raise ValueError("jitter needs a generator")
        where, flip = jittered(box, jitter, rng)
    if size is None:
        result = Crop(human.image, human.mask, human.parsing)
    else:
        result = _cut(human, where or window(box), size)
    return mirrored(result) if flip else result


def mirrored(source: Crop) -> Crop:
    """Mirror the crop and swap left and right labels, because the person's left hand becomes their right hand."""
    parsing = None if source.parsing is None else LIP.flip_table()[source.parsing[:, ::-1]]
    x0, y0, x1, y1 = source.frame
    width = source.mask.shape[1]
    return Crop(
        np.ascontiguousarray(source.image[:, ::-1]),
        np.ascontiguousarray(source.mask[:, ::-1]),
        parsing,
        (width - x1, y0, width - x0, y1),
    )


def _cut(human: Human, where: Window, size: int) -> Crop:
    """Crop all arrays with the same geometry: pixel centres map to pixel centres in photo and labels."""
    shrink = where.side > size
    photo = cv2.resize(
        cut(human.image, where), (size, size), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
    )
    height, width = human.mask.shape
    scale = size / where.side
    frame = (
        max(0, math.floor(-where.x * scale)),
        max(0, math.floor(-where.y * scale)),
        min(size, math.ceil((width - where.x) * scale)),
        min(size, math.ceil((height - where.y) * scale)),
    )
    # INTER_NEAREST would take the top left pixel of each square, which is half a square off.
    if human.parsing is not None:
        parsing = cv2.resize(cut(human.parsing, where), (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
        return Crop(photo, parsing > 0, parsing, frame)
    mask = cv2.resize(cut(human.mask, where).view(np.uint8), (size, size), interpolation=cv2.INTER_NEAREST_EXACT)
    return Crop(photo, mask > 0, None, frame)
