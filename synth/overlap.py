"""Counts the person's pixels that an occluder hides: for all positions at once on a coarse grid, or exactly for one.

For all positions, the Fourier transform turns the sum over pixels into a product. The masks are reduced to a coarse
grid with small integer values. The sums are therefore integers below 2^24, and rounding them removes the rounding error
of the transform, which differs between processors.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_LEVELS = 16  # the coverage of a coarse cell is counted in sixteenths
MARGIN = 3  # cells around the person where an occluder hides nothing


@dataclass(frozen=True)
class Field:
    """A mask on a coarse grid over the box of the person.

    Args:
        x, y: pixel position of the grid's top left corner.
        cell: side of a cell, pixels.
        values: float32 rows x columns, integers 0..16: the coverage of each cell.
    """

    x: int
    y: int
    cell: int
    values: np.ndarray

    @property
    def unit(self) -> float:
        """Number of pixels per unit of `values`."""
        return self.cell * self.cell / _LEVELS


@dataclass(frozen=True)
class Counts:
    """Overlap for all positions: `pixels[i, j]` (float32) has the top left corner at (x + j cell, y + i cell)."""

    x: int
    y: int
    cell: int
    pixels: np.ndarray


def field(pixels: np.ndarray, box: tuple[int, int, int, int], cell: int) -> Field:
    """The coarse grid of a uint8 0 / 255 mask over `box` (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    return Field(x0, y0, cell, _full(_coarse(pixels[y0:y1, x0:x1], cell)))


def counts(person: Field, piece: np.ndarray) -> Counts:
    """Overlap of `person` with an occluder on the same grid (0 / 1, rows x columns) for all positions."""
    piece = piece.astype(np.float32)
    rows = person.values.shape[0] + piece.shape[0] - 1 + 2 * MARGIN
    columns = person.values.shape[1] + piece.shape[1] - 1 + 2 * MARGIN
    size = (cv2.getOptimalDFTSize(rows), cv2.getOptimalDFTSize(columns))
    # The person is offset by the largest displacement up and left, so that no displacement is negative.
    up, left = piece.shape[0] - 1 + MARGIN, piece.shape[1] - 1 + MARGIN
    product = cv2.mulSpectrums(_spectrum(person.values, size, up, left), _spectrum(piece, size, 0, 0), 0, conjB=True)
    table = np.rint(cv2.idft(product, flags=cv2.DFT_SCALE)[:rows, :columns]) * np.float32(person.unit)
    return Counts(person.x - left * person.cell, person.y - up * person.cell, person.cell, table)


def exact(pixels: np.ndarray, hard: np.ndarray, x: int, y: int) -> int:
    """Number of pixels of the H x W mask covered by an occluder (h x w, both uint8 0 / 255) with top left (x, y)."""
    height, width = pixels.shape
    h, w = hard.shape
    x0, y0, x1, y1 = max(0, x), max(0, y), min(width, x + w), min(height, y + h)
    if x1 <= x0 or y1 <= y0:
        return 0
    return int(cv2.countNonZero(cv2.bitwise_and(pixels[y0:y1, x0:x1], hard[y0 - y : y1 - y, x0 - x : x1 - x])))


def _coarse(mask: np.ndarray, cell: int) -> np.ndarray:
    """The uint8 mean over cells; the last row and column are padded with 0."""
    h, w = mask.shape
    rows, columns = -(-h // cell), -(-w // cell)
    if (rows * cell, columns * cell) != (h, w):
        mask = cv2.copyMakeBorder(mask, 0, rows * cell - h, 0, columns * cell - w, cv2.BORDER_CONSTANT, value=0)
    return cv2.resize(mask, (columns, rows), interpolation=cv2.INTER_AREA)


def _full(mean: np.ndarray) -> np.ndarray:
    return np.rint(mean * np.float32(_LEVELS / 255))


def _spectrum(values: np.ndarray, size: tuple[int, int], top: int, left: int) -> np.ndarray:
    padded = np.zeros(size, np.float32)
    padded[top : top + values.shape[0], left : left + values.shape[1]] = values
    return cv2.dft(padded)
