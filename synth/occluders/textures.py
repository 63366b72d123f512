"""Drawn surfaces for the built-in occluders: uint8 h x w x 3, RGB, determined by a random generator.

Everything is computed in float64 or integers, so every byte is the same on all processors.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np

Colour = np.ndarray  # float64 (3,), 0..255


def colour(rng: np.random.Generator, saturation: float = 0.75) -> Colour:
    """A random colour that is neither very bright nor very dark."""
    hue, sat, value = rng.random(), rng.random() * saturation, 0.25 + 0.65 * rng.random()
    return np.array(colorsys.hsv_to_rgb(hue, sat, value)) * 255


def noise(rng: np.random.Generator, height: int, width: int, cells: int, octaves: int = 3) -> np.ndarray:
    """Value noise in [0, 1], float64 h x w; `cells` grid cells on the longer side in the first octave."""
    total = np.zeros((height, width))
    weight = 0.0
    for octave in range(octaves):
        n = cells * 2**octave
        grid = rng.random((n + 2, n + 2))
        ys = np.arange(height) * (n / max(height, width))
        xs = np.arange(width) * (n / max(height, width))
        y0, x0 = ys.astype(np.intp), xs.astype(np.intp)
        fy, fx = _smooth(ys - y0)[:, None], _smooth(xs - x0)[None, :]
        top = grid[y0][:, x0] * (1 - fx) + grid[y0][:, x0 + 1] * fx
        low = grid[y0 + 1][:, x0] * (1 - fx) + grid[y0 + 1][:, x0 + 1] * fx
        total += 0.5**octave * (top * (1 - fy) + low * fy)
        weight += 0.5**octave
    return total / weight


def surface(rng: np.random.Generator, height: int, width: int, name: str | None = None) -> np.ndarray:
    """A textured surface; `name` is one of `SURFACES`, chosen at random if None."""
    if name is None:
        name = list(SURFACES)[int(rng.integers(len(SURFACES)))]
    grain = rng.standard_normal((height, width, 1)) * 3
    return to_bytes(SURFACES[name](rng, height, width) + grain)


def to_bytes(values: np.ndarray) -> np.ndarray:
    """Round and clip to uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _smooth(t: np.ndarray) -> np.ndarray:
    return t * t * (3 - 2 * t)


def _mix(a: Colour, b: Colour, t: np.ndarray) -> np.ndarray:
    return a + (b - a) * t[..., None]


def _coordinates(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """y and x in pixels, rotated by a random angle."""
    angle = rng.random() * np.pi
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    c, s = round(float(np.cos(angle)), 9), round(float(np.sin(angle)), 9)
    return y * c - x * s, y * s + x * c


def _plain(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    base = colour(rng)
    return _mix(base * 0.9, base * 1.1, noise(rng, height, width, 3))


def _mottled(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    return _mix(colour(rng), colour(rng), noise(rng, height, width, int(rng.integers(4, 12)), 4))


def _striped(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, _ = _coordinates(rng, height, width)
    period = rng.uniform(8, 36)
    edge = np.clip((np.abs((y / period) % 1 - 0.5) - 0.25) * period / 1.5 + 0.5, 0, 1)
    return _mix(colour(rng), colour(rng), edge)


def _checked(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = _coordinates(rng, height, width)
    period = rng.uniform(14, 44)
    on = ((y / period) % 1 < 0.5).astype(float) + ((x / period) % 1 < 0.5)
    return _mix(colour(rng), colour(rng), on / 2)


def _wood(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    if rng.random() < 0.5:
        y, x = x, y
    warp = noise(rng, height, width, 3) * rng.uniform(10, 40)
    rings = ((y + warp + 0.03 * x) / rng.uniform(7, 16)) % 1
    dark = np.array([96, 60, 32]) * rng.uniform(0.5, 1.3)
    planks = 1 - 0.25 * ((y % rng.uniform(50, 110)) < 2)
    return _mix(dark, dark * rng.uniform(1.3, 1.8), np.abs(rings - 0.5) * 2) * planks[..., None]


def _brick(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    bh = rng.uniform(12, 24)
    bw = bh * rng.uniform(2.0, 2.8)
    row = np.floor(y / bh)
    shifted = x + (row % 2) * bw / 2
    column = np.floor(shifted / bw)
    tint = ((row * 37 + column * 101 + 13) % 17) / 17
    joint = ((y % bh) < 2) | ((shifted % bw) < 2)
    stone = np.array([150, 75, 55]) if rng.random() < 0.6 else colour(rng, 0.3)
    wall = _mix(stone * 0.8, stone * 1.15, tint) * (0.85 + 0.3 * noise(rng, height, width, 16))[..., None]
    wall[joint] = np.array([190, 184, 172]) * rng.uniform(0.6, 1.1)
    return wall


def _dotted(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    y, x = _coordinates(rng, height, width)
    period = rng.uniform(12, 30)
    away = ((y / period) % 1 - 0.5) ** 2 + ((x / period) % 1 - 0.5) ** 2
    return _mix(colour(rng), colour(rng), np.clip((0.09 - away) * 25 + 0.5, 0, 1))


SURFACES: dict[str, Callable[[np.random.Generator, int, int], np.ndarray]] = {
    "plain": _plain,
    "mottled": _mottled,
    "striped": _striped,
    "checked": _checked,
    "wood": _wood,
    "brick": _brick,
    "dotted": _dotted,
}
