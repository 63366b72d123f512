"""The surface of the trunk, used to place hems, openings and pockets of garments."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deocc_bench.synth.mannequin.body import Skeleton
from deocc_bench.synth.mannequin.paint import Axis
from deocc_bench.synth.mannequin.shapes import Floats, Shape, loft, smooth, tube

SINES = np.sin(2 * np.pi * np.arange(20) / 20)

COSINES = np.cos(2 * np.pi * np.arange(20) / 20)


_LOW, _STEPS = -0.4, 128
"""Sections are stored for heights from `_LOW` upwards, `_STEPS` per unit of height."""


class Torso:
    """The surface of the trunk: rings at heights h (0 hips, 1 neck), points by (h, azimuth from the front)."""

    def __init__(self, sk: Skeleton) -> None:
        self.sk = sk
        curve = smooth(np.asarray(sk.build.rings), 4)
        grid = np.arange(_LOW, 1.2, 1 / _STEPS)
        table = np.stack([np.interp(grid, curve[:, 0], curve[:, i]) for i in (1, 2, 3)], axis=1)
        self.table: list[list[float]] = table.tolist()
        self.axis = self._axis()

    def _axis(self) -> Axis:
        a, b = self.sk.spine[20][:2], self.sk.spine[6][:2]
        d = b - a
        n = float(np.sqrt((d * d).sum()))
        d = d / n if n > 0.3 else np.array([0.0, 1.0])
        return float(a[0]), float(a[1]), float(d[0]), float(d[1])

    def section(self, h: float) -> tuple[Floats, Floats, float, float]:
        """Centre, frame, half width and half depth."""
        w, d, ahead = self.table[min(max(round((h - _LOW) * _STEPS), 0), len(self.table) - 1)]
        centre, frame = self.sk.torso_at(h)
        return centre + frame[:, 2] * ahead, frame, w, d

    def ring(self, h: float, ease: float) -> Floats:
        centre, frame, w, d = self.section(h)
        return centre + np.outer((w + ease) * SINES, frame[:, 0]) + np.outer((d + ease) * COSINES, frame[:, 2])

    def body(self, low: float, high: float, ease: float) -> Shape:
        """The silhouette between two heights; the ease fades out at the neck."""
        heights = np.arange(low, high + 0.03, 0.06)
        return loft([self.ring(float(h), ease * min(1.0, max(0.25, (1.05 - h) / 0.2))) for h in heights])

    def place(self, h: float, degrees: float, ease: float) -> tuple[Floats, int]:
        """A point (x, y) of the surface, and its side (-1, 1; 0: visible). A hidden point is moved to the outline."""
        centre, frame, w, d = self.section(h)
        w, d = w + ease, d + ease
        a = math.radians(degrees)
        best = math.atan2(float(frame[2, 0]) / w, float(frame[2, 2]) / d)
        off = (a - best + math.pi) % (2 * math.pi) - math.pi
        side = 0 if abs(off) <= math.pi / 2 else (1 if off > 0 else -1)
        if side:
            a = best + side * math.pi / 2
        p = centre + frame[:, 0] * (w * math.sin(a)) + frame[:, 2] * (d * math.cos(a))
        return p[:2], side

    def patch(self, corners: Sequence[tuple[float, float]], ease: float) -> Floats | None:
        """A polygon on the surface from (h, azimuth) corners, or None if it is completely turned away."""
        points, sides = zip(*(self.place(h, a, ease) for h, a in corners), strict=True)
        if all(s != 0 for s in sides):
            return None
        return np.stack(points)

    def strip(self, h0: float, h1: float, degrees: float, ease: float, r: float) -> Shape | None:
        """A narrow band down the surface."""
        places = [self.place(float(h), degrees, ease) for h in np.linspace(h0, h1, 6)]
        if any(s for _, s in places):
            return None
        return tube(np.stack([p for p, _ in places]), np.full(6, r))
