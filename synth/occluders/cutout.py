"""Prepares cut-outs for fast, bit-stable warping.

A cut-out is stored premultiplied in a pyramid whose levels shrink by the square root of two, so that a bilinear warp
never skips pixels. The warp matrix is rounded to 1/128. Every product in OpenCV's bilinear kernel is then exact in
float32, and processors with and without fused multiply-add produce the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core.types import Occluder

_STEP = 2**-0.5
_GRID = 128  # fractions of a source pixel in the warp matrix
_SMALLEST = 8  # px: no pyramid level has a shorter side


@dataclass(frozen=True)
class PreparedOccluder:
    """An occluder as a pyramid of uint8 levels, without float arrays.

    Args:
        levels: uint8 h x w x 4, RGBA premultiplied, largest first.
        area: pixels of alpha >= 0.5 at level 0.
    """

    id: str
    group_id: str
    category: str
    licence: str
    levels: tuple[np.ndarray, ...]
    area: int

    @property
    def height(self) -> int:
        """Height of level 0, pixels."""
        return int(self.levels[0].shape[0])

    @property
    def width(self) -> int:
        """Width of level 0, pixels."""
        return int(self.levels[0].shape[1])


def prepare(occluder: Occluder, max_side: int = 640) -> PreparedOccluder:
    """Clean the colours at the edge, premultiply and build the pyramid. Takes about 5 ms, so cache the result.

    Args:
        occluder: as returned by a source's `load`.
        max_side: maximum length of the longer side of level 0; twice the side of the crop loses nothing visible.
    """
    alpha = np.rint(occluder.alpha * np.float32(255)).astype(np.uint8)
    image = occluder.image
    longest = max(alpha.shape)
    if longest > max_side:
        size = _shrunk(alpha.shape, max_side / longest)
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    image = bleed(image, alpha)
    top = np.dstack([_scaled(image, alpha), alpha])
    levels = [top]
    while True:
        size = _shrunk(top.shape[:2], _STEP ** len(levels))
        if min(size) < _SMALLEST:
            break
        levels.append(cv2.resize(top, size, interpolation=cv2.INTER_AREA))
    area = int(np.count_nonzero(alpha >= 128))
    return PreparedOccluder(occluder.id, occluder.group_id, occluder.category, occluder.licence, tuple(levels), area)


def bleed(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Replace the colours of pixels that are not opaque by those of the nearest opaque pixels.

    The colour of an edge pixel is mixed with the background of its photo; on a new background this shows as a halo.
    """
    core = (alpha >= 243).astype(np.uint8)
    out = image.copy()
    todo = (core == 0) & (alpha > 0)
    for radius in (2, 4, 8):
        if not todo.any():
            break
        side = (2 * radius + 1, 2 * radius + 1)
        weight = cv2.boxFilter(core, cv2.CV_32S, side, normalize=False, borderType=cv2.BORDER_CONSTANT)
        colour = cv2.boxFilter(
            image * core[..., None], cv2.CV_32S, side, normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        here = todo & (weight > 0)
        out[here] = (colour[here] + weight[here, None] // 2) // weight[here, None]
        todo &= ~here
    return out


@dataclass(frozen=True)
class Pose:
    """Scale, rotation and mirroring of an occluder.

    Args:
        scale: output pixels per pixel of level 0.
        angle: degrees, counter-clockwise.
        flip: mirror horizontally before rotating.
    """

    scale: float
    angle: float = 0.0
    flip: bool = False

    def extent(self, occluder: PreparedOccluder) -> tuple[int, int]:
        """(height, width) of the box around the posed occluder, output pixels."""
        h, w = occluder.height * self.scale, occluder.width * self.scale
        if self.angle:
            c, s = abs(math.cos(math.radians(self.angle))), abs(math.sin(math.radians(self.angle)))
            h, w = w * s + h * c, w * c + h * s
        return max(1, math.ceil(round(h, 3))), max(1, math.ceil(round(w, 3)))


def warp(occluder: PreparedOccluder, pose: Pose, region: tuple[int, int, int, int] | None = None) -> np.ndarray:
    """The posed occluder, premultiplied RGBA uint8.

    Args:
        region: (x0, y0, x1, y1) within `pose.extent`, end exclusive, may extend beyond it; None: the whole extent.
    """
    height, width = pose.extent(occluder)
    x0, y0, x1, y1 = region or (0, 0, width, height)
    return _sample(occluder, pose, extent=(height, width), size=(y1 - y0, x1 - x0), origin=(x0, y0), step=1)


def coarse(occluder: PreparedOccluder, pose: Pose, cell: int) -> np.ndarray:
    """The mask of the posed occluder on a grid of `cell` pixels: uint8 0 / 1, rows x columns."""
    height, width = pose.extent(occluder)
    size = (-(-height // cell), -(-width // cell))
    sampled = _sample(occluder, pose, extent=(height, width), size=size, origin=(0, 0), step=cell)
    return cv2.threshold(cv2.extractChannel(sampled, 3), 127, 1, cv2.THRESH_BINARY)[1]


def edge(patch: np.ndarray, feather: float) -> np.ndarray:
    """The alpha of a warped patch (uint8 h x w), with its edge softened inwards by a Gaussian of `feather` pixels."""
    alpha = cv2.extractChannel(patch, 3)
    if feather > 0:
        side = 2 * math.ceil(feather * 1.4) + 1
        alpha = cv2.min(cv2.GaussianBlur(alpha, (side, side), feather, borderType=cv2.BORDER_REPLICATE), alpha)
    return alpha


def fade(alpha: np.ndarray) -> np.ndarray:
    """Fade the alpha (uint8) to 0 within 2 px of the pixels with an alpha of at least 0.5.

    Pixels farther from the occluder's mask then never change, even if the cut-out has a haze around it.
    """
    hard = cv2.threshold(alpha, 127, 255, cv2.THRESH_BINARY)[1]
    near = cv2.multiply(
        cv2.blur(hard, (5, 5), borderType=cv2.BORDER_CONSTANT), 3.0
    )  # 1 at the first pixel of a straight edge
    return cv2.multiply(alpha, cv2.max(near, hard), scale=1 / 255)


def with_alpha(patch: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The premultiplied patch with a lower alpha; the texture stays sharp."""
    change = cv2.divide(alpha, cv2.extractChannel(patch, 3), scale=255)
    out = cv2.multiply(patch, cv2.merge([change, change, change, change]), scale=1 / 255)
    cv2.insertChannel(alpha, out, 3)
    return out


def _sample(
    occluder: PreparedOccluder,
    pose: Pose,
    *,
    extent: tuple[int, int],
    size: tuple[int, int],
    origin: tuple[int, int],
    step: int,
) -> np.ndarray:
    """Sample every `step`-th pixel of the posed occluder (of `extent`) from `origin` (x, y), `size` (rows, columns)."""
    x0, y0 = origin
    level = 0
    while level + 1 < len(occluder.levels) and pose.scale <= step * _STEP ** (level + 1):
        level += 1
    source = occluder.levels[level]
    height, width = extent
    hs, ws = source.shape[:2]
    sx, sy = ws / (pose.scale * occluder.width), hs / (pose.scale * occluder.height)  # source pixels per output pixel
    cos, sin = math.cos(math.radians(pose.angle)), math.sin(math.radians(pose.angle))
    mirror = -1.0 if pose.flip else 1.0
    rows = [(mirror * sx * cos, mirror * -sx * sin, ws), (sy * sin, sy * cos, hs)]
    # Rounding the matrix must not shift the picture: the centre of the sampled region stays fixed.
    mi, mj = (size[0] - 1) / 2, (size[1] - 1) / 2
    dx, dy = x0 + (step - width) / 2 + mj * step, y0 + (step - height) / 2 + mi * step
    matrix = np.empty((2, 3))
    for row, (a, b, n) in enumerate(rows):
        p, q = _grid(a * step), _grid(b * step)
        matrix[row] = p, q, _grid(n / 2 - 0.5 + a * dx + b * dy - p * mj - q * mi)
    return cv2.warpAffine(source, matrix, size[::-1], flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def _grid(value: float) -> float:
    return round(value * _GRID) / _GRID


def _scaled(image: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """image * alpha / 255, rounded."""
    return cv2.multiply(image, cv2.merge([alpha] * 3), scale=1 / 255)


def _shrunk(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    """(width, height) for OpenCV."""
    return max(1, round(shape[1] * factor)), max(1, round(shape[0] * factor))
