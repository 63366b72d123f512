"""Plane geometry of the mannequin: unions of circles and convex polygons, and their rasterisation.

Coordinates are in head heights ("hu") with x to the viewer's right and y down, until `Frame` maps them to sub-pixels.
They are rounded to 1/16 sub-pixel before any pixel is set, so that the last bits of floating point numbers (which
differ between processors) never affect an image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.uint8]

SHIFT = 4
"""Fractional bits of the integer drawing coordinates."""
UNIT = 1 << SHIFT


@dataclass(frozen=True)
class Frame:
    """Maps hu to sub-pixels of a canvas: `pixel = hu * scale + (x0, y0)`."""

    scale: float
    x0: float
    y0: float
    height: int
    width: int

    def points(self, xy: Floats) -> NDArray[np.int32]:
        """Map N x 2 hu to N x 2 int32 in 1/16 sub-pixel."""
        out = np.rint((xy * self.scale + (self.x0, self.y0)) * UNIT)
        return out.astype(np.int32)

    def radius(self, r: float) -> int:
        """Convert a length in hu to 1/16 sub-pixel, at least half a sub-pixel."""
        return max(UNIT // 2, round(r * self.scale * UNIT))

    def window(self, box: tuple[float, float, float, float], pad: int) -> tuple[int, int, int, int]:
        """Integer window (x0, y0, x1, y1) around a box in hu, grown by `pad` sub-pixels, clipped to the canvas."""
        x0 = max(0, int(np.floor(box[0] * self.scale + self.x0)) - pad)
        y0 = max(0, int(np.floor(box[1] * self.scale + self.y0)) - pad)
        x1 = min(self.width, int(np.ceil(box[2] * self.scale + self.x0)) + pad + 1)
        y1 = min(self.height, int(np.ceil(box[3] * self.scale + self.y0)) + pad + 1)
        return x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)


@dataclass
class Shell:
    """The visible part of an ellipsoid on the head: where hair or a hat grows.

    A surface point with unit-sphere coordinates (l, u, f) = (left, up, forward) belongs to it when
    `u > interp(f; knots) + tilt * l`.
    """

    centre: Floats
    axes: Floats
    radii: tuple[float, float, float]
    knots: tuple[tuple[float, float], ...]
    tilt: float = 0.0

    def outline(self) -> Floats:
        return ellipsoid(self.centre, self.axes, self.radii)

    def mask(self, frame: Frame, window: tuple[int, int, int, int]) -> Mask:
        """uint8 (0 or 255) mask of the window."""
        x0, y0, x1, y1 = window
        x = ((np.arange(x0, x1) - frame.x0) / frame.scale - self.centre[0]).astype(np.float32)[None, :]
        y = ((np.arange(y0, y1) - frame.y0) / frame.scale - self.centre[1]).astype(np.float32)[:, None]
        scaled = self.axes / np.asarray(self.radii)
        # Rounded, so that a last bit of double precision can't move a pixel.
        scaled = np.rint(scaled * 65536) / 65536
        m = (np.rint(scaled @ scaled.T * 65536) / 65536).astype(np.float32)
        b = m[0, 2] * x + m[1, 2] * y
        c = m[0, 0] * x * x + m[1, 1] * y * y + (2 * m[0, 1]) * x * y - np.float32(1)
        disc = b * b - m[2, 2] * c
        z = (np.sqrt(np.maximum(disc, 0)) - b) / m[2, 2]
        s = scaled.astype(np.float32)
        up = s[0, 1] * x + s[1, 1] * y + s[2, 1] * z
        ahead = s[0, 2] * x + s[1, 2] * y + s[2, 2] * z
        # A table look-up instead of interp per pixel: 128 steps of f are finer than a sub-pixel.
        knots = np.asarray(self.knots)
        table = np.interp(np.linspace(-1, 1, 129), knots[:, 0], knots[:, 1]).astype(np.float32)
        limit = table[np.clip(((ahead + 1) * 64).astype(np.int32), 0, 128)]
        if self.tilt:
            left = s[0, 0] * x + s[1, 0] * y + s[2, 0] * z
            limit = limit + np.float32(self.tilt) * left
        inside = (disc >= 0) & (up > limit)
        return inside.astype(np.uint8) * np.uint8(255)


@dataclass
class Shape:
    """A union of simple polygons, circles (x, y, r) and shells, minus the polygons in `cuts`. Units: hu."""

    polys: list[Floats] = field(default_factory=list)
    circles: list[tuple[float, float, float]] = field(default_factory=list)
    shells: list[Shell] = field(default_factory=list)
    cuts: list[Floats] = field(default_factory=list)

    def __add__(self, other: Shape) -> Shape:
        return Shape(
            self.polys + other.polys,
            self.circles + other.circles,
            self.shells + other.shells,
            self.cuts + other.cuts,
        )

    def box(self) -> tuple[float, float, float, float]:
        """(x0, y0, x1, y1) in hu; shells count as full ellipsoids."""
        points = [*self.polys, *(shell.outline() for shell in self.shells)]
        if self.circles:
            c = np.asarray(self.circles)
            points += [c[:, :2] - c[:, 2:], c[:, :2] + c[:, 2:]]
        every = np.concatenate(points)
        a, b = every.min(axis=0), every.max(axis=0)
        return float(a[0]), float(a[1]), float(b[0]), float(b[1])

    def mask(self, frame: Frame, window: tuple[int, int, int, int]) -> Mask:
        """uint8 (0 or 255) mask of the window of the canvas."""
        x0, y0, x1, y1 = window
        out = np.zeros((y1 - y0, x1 - x0), np.uint8)
        local = Frame(frame.scale, frame.x0 - x0, frame.y0 - y0, y1 - y0, x1 - x0)
        for shell in self.shells:
            np.maximum(out, shell.mask(frame, window), out=out)
        if self.polys:
            every = local.points(np.concatenate(self.polys))
            start = 0
            for poly in self.polys:
                cv2.fillPoly(out, [every[start : start + len(poly)]], 255, cv2.LINE_8, SHIFT)
                start += len(poly)
        if self.circles:
            middles = local.points(np.asarray(self.circles)[:, :2]).tolist()
            for (cx, cy), (_, _, r) in zip(middles, self.circles, strict=True):
                cv2.circle(out, (cx, cy), local.radius(r), 255, -1, cv2.LINE_8, SHIFT)
        for poly in self.cuts:
            cv2.fillPoly(out, [local.points(poly)], 0, cv2.LINE_8, SHIFT)
        return out


def hull(points: Floats) -> Floats:
    """The convex hull (M x 2) of N x 2 points."""
    return cv2.convexHull(points.astype(np.float32)).reshape(-1, 2).astype(np.float64)


def ellipsoid(centre: Floats, axes: Floats, radii: tuple[float, float, float], n: int = 28) -> Floats:
    """Outline, n x 2, of an ellipsoid with semi-axes `radii` along the columns of `axes`, seen along z."""
    scaled = (axes * np.asarray(radii))[:2]
    cov = scaled @ scaled.T
    a = float(np.sqrt(cov[0, 0]))
    b = float(cov[0, 1]) / a
    c = float(np.sqrt(max(cov[1, 1] - b * b, 1e-8)))
    return np.stack([centre[0] + a * _COS[n], centre[1] + b * _COS[n] + c * _SIN[n]], axis=1)


def ellipse(x: float, y: float, rx: float, ry: float, angle: float = 0.0, *, n: int = 28) -> Floats:
    """An ellipse in the plane, n x 2; `angle` in radians."""
    c, s = np.cos(angle), np.sin(angle)
    ex, ey = rx * _COS[n], ry * _SIN[n]
    return np.stack([x + c * ex - s * ey, y + s * ex + c * ey], axis=1)


def capsule(a: Floats, b: Floats, ra: float, rb: float) -> Shape:
    """Two circles and the area between them. `a`, `b`: (x, y, ...) in hu."""
    return tube(np.stack([a[:2], b[:2]]), np.array([ra, rb]), True, True)


def tube(centres: Floats, radii: Floats, round_start: bool = True, round_end: bool = False) -> Shape:
    """A limb: circles of radius `radii` (K) swept along `centres` (K x 2); ends are flat unless round."""
    shape = Shape()
    step = np.diff(centres, axis=0)
    length = np.sqrt((step * step).sum(axis=1))
    safe = np.maximum(length, 1e-6)
    normal = np.stack([-step[:, 1] / safe, step[:, 0] / safe], axis=1)
    a, b = centres[:-1], centres[1:]
    wide_a, wide_b = normal * radii[:-1, None], normal * radii[1:, None]
    quads = np.stack([a + wide_a, b + wide_b, b - wide_b, a - wide_a], axis=1)
    shape.polys = [quad for quad, size in zip(quads, length, strict=True) if size > 1e-4]
    inner = range(0 if round_start else 1, len(centres) if round_end else len(centres) - 1)
    shape.circles = [(float(centres[i, 0]), float(centres[i, 1]), float(radii[i])) for i in inner]
    return shape


def loft(rings: list[Floats]) -> Shape:
    """The silhouette of a surface stretched over successive rings (each N x 2 or N x 3, seen along z)."""
    flat = [ring[:, :2] for ring in rings]
    return Shape(polys=[hull(np.concatenate(pair)) for pair in pairwise(flat)])


def smooth(points: Floats, steps: int = 5, closed: bool = False) -> Floats:
    """Catmull-Rom curve through N x D points: `steps` points for each span."""
    if closed:
        p = np.concatenate([points[-1:], points, points[:2]])
    else:
        p = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i][:, None, :] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    curve = curve.reshape(-1, points.shape[1])
    return curve if closed else np.concatenate([curve, points[-1:]])


_ANGLES = {n: 2 * np.pi * np.arange(n) / n for n in (12, 20, 28)}
_COS = {n: np.cos(a) for n, a in _ANGLES.items()}
_SIN = {n: np.sin(a) for n, a in _ANGLES.items()}
