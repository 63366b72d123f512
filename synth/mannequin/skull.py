"""Positions on the head; skin, features and eyewear of the face."""

from __future__ import annotations

import numpy as np

from deocc_bench.synth.mannequin.body import Skeleton
from deocc_bench.synth.mannequin.garments import Outfit
from deocc_bench.synth.mannequin.paint import Material, Part, mix, tone
from deocc_bench.synth.mannequin.shapes import Floats, Shape, Shell, capsule, ellipsoid, hull, smooth, tube

SUNGLASSES, FACE = 4, 13

Knots = tuple[tuple[float, float], ...]

# Hairlines on the unit sphere: the height above which hair grows, as a function of the forward coordinate (-1 .. 1).


class Head:
    """Places shapes on the head; coordinates are (left, up, forward) in head heights from its centre."""

    def __init__(self, sk: Skeleton) -> None:
        self.size = sk.build.head
        self.centre = sk.head_centre
        self.axes = sk.head
        self.facing = float(sk.head[2, 2])

    def at(self, left: float, up: float, ahead: float) -> Floats:
        return self.centre + self.axes @ np.array([left, up, ahead]) * self.size

    def blob(self, at: tuple[float, float, float], radii: tuple[float, float, float]) -> Floats:
        """The outline of an ellipsoid."""
        return ellipsoid(self.at(*at), self.axes, (radii[0] * self.size, radii[1] * self.size, radii[2] * self.size))

    def shell(
        self, at: tuple[float, float, float], radii: tuple[float, float, float], knots: Knots, tilt: float = 0.0
    ) -> Shell:
        scaled = (radii[0] * self.size, radii[1] * self.size, radii[2] * self.size)
        return Shell(self.at(*at), self.axes, scaled, knots, tilt)

    def circle(self, left: float, up: float, ahead: float, r: float) -> tuple[float, float, float]:
        p = self.at(left, up, ahead)
        return float(p[0]), float(p[1]), r * self.size

    def tube(self, path: list[tuple[float, float, float]], radii: tuple[float, ...], n: int = 4) -> Shape:
        """A curved lock through points of the head."""
        points = smooth(np.stack([self.at(*p) for p in path]), n)[:, :2]
        r = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(radii)), radii) * self.size
        return tube(points, r, True, True)

    def sees(self, left: float, up: float, ahead: float) -> bool:
        """Whether this point of the surface faces the viewer."""
        v = self.axes @ np.array([left, up, ahead])
        return float(v[2]) > 0.12 * float(np.sqrt((v * v).sum()))


def skull(head: Head, outfit: Outfit, covered: bool, skin: Material) -> list[Part]:
    """The skin and features of the face."""
    cranium = head.blob((0, 0.08, -0.05), (0.36, 0.42, 0.43))
    jaw = head.blob((0, -0.16, 0.10), (0.30, 0.32, 0.29))
    chin = head.blob((0, -0.39, 0.20), (0.13, 0.11, 0.13))
    shape = Shape(polys=[cranium, hull(np.concatenate([jaw, chin])), jaw])
    if head.facing > -0.35:
        shape.polys.append(
            hull(
                np.concatenate(
                    [head.blob((0, 0.06, 0.36), (0.03, 0.04, 0.04)), head.blob((0, -0.10, 0.46), (0.05, 0.045, 0.065))]
                )
            )
        )
    if not covered:
        shape.polys += [head.blob((s * 0.365, -0.05, -0.06), (0.045, 0.11, 0.075)) for s in (-1, 1)]
    parts = [Part(FACE, shape, skin, round=0.22, shadow=0.34)]
    parts += _features(head, outfit)
    return parts


def _features(head: Head, outfit: Outfit) -> list[Part]:
    parts: list[Part] = []

    def dab(at: tuple[float, float, float], radii: tuple[float, float, float], colour: tuple[int, int, int]) -> None:
        if head.sees(at[0] * 1.2, at[1], at[2]):
            parts.append(
                Part(
                    FACE, Shape(polys=[head.blob(at, radii)]), Material((colour,)), round=0.0, shadow=0.0, over=(FACE,)
                )
            )

    shade, blush = tone(outfit.skin, 0.80), mix(outfit.skin, (226, 96, 92), 0.22)
    hair = tone(outfit.hair.colours[0], 0.8)
    if outfit.beard:
        beard = mix(outfit.skin, hair, 0.35) if outfit.beard == "stubble" else hair
        if outfit.beard != "moustache":
            # Flipped vertically and front to back, so that "above the line" means the lower face.
            line = ((-1, 0.12), (-0.7, 0.16), (-0.2, -0.05), (0.3, -0.3), (0.34, 9), (1, 9))
            low = head.shell((0, -0.16, 0.10), (0.305, 0.34, 0.31), line)
            low = Shell(low.centre, -low.axes, low.radii, low.knots)
            whiskers = Shape(
                polys=[head.blob((0, -0.40, 0.22), (0.15, 0.12, 0.14))] if head.sees(0, -0.3, 0.4) else [], shells=[low]
            )
            parts.append(Part(FACE, whiskers, Material((beard,)), round=0.08, shadow=0.0, over=(FACE,)))
        dab((0, -0.205, 0.40), (0.13, 0.035, 0.03), beard)
    for s in (-1, 1):
        dab((s * 0.215, -0.14, 0.31), (0.075, 0.06, 0.03), blush)
        dab((s * 0.15, 0.0, 0.355), (0.075, 0.044, 0.02), (246, 244, 240))
        dab((s * 0.148, 0.0, 0.37), (0.036, 0.042, 0.02), outfit.iris)
        dab((s * 0.15, 0.042, 0.36), (0.085, 0.016, 0.02), tone(outfit.skin, 0.45))
        brow = [head.at(s * x, u, 0.36 - 0.25 * x)[:2] for x, u in ((0.07, 0.135), (0.15, 0.165), (0.24, 0.13))]
        if head.sees(s * 0.18, 0.1, 0.345):
            arch = tube(np.stack(brow), np.array([0.020, 0.018, 0.012]), True, True)
            parts.append(
                Part(FACE, arch, Material((mix(hair, outfit.skin, 0.2),)), round=0.0, shadow=0.0, over=(FACE,))
            )
    dab((0, -0.15, 0.44), (0.06, 0.024, 0.03), shade)
    dab((0.03, -0.06, 0.42), (0.018, 0.09, 0.03), mix(outfit.skin, shade, 0.6))
    if head.sees(0, -0.28, 0.37):
        for drop, thick, colour in ((0.0, 0.030, outfit.lips), (0.008, 0.012, tone(outfit.lips, 0.62))):
            corners = (
                (-0.12, 0.022 * outfit.smile),
                (-0.06, -0.008 * outfit.smile),
                (0, -0.012 * outfit.smile),
                (0.06, -0.008 * outfit.smile),
                (0.12, 0.022 * outfit.smile),
            )
            path = np.stack([head.at(x, -0.275 + drop + u, 0.39 - 0.8 * x * x - 0.2 * abs(x))[:2] for x, u in corners])
            lips = tube(path, np.array([0.008, thick, thick, thick, 0.008]) * (1.0 if drop == 0.0 else 0.9), True, True)
            parts.append(Part(FACE, lips, Material((colour,)), round=0.0, shadow=0.0, over=(FACE,)))
    return parts


def ring(head: Head, up: float, w: float, d: float, ahead: float) -> Floats:
    return flat_ring(head.at(0, up, ahead), head.axes, w * head.size, d * head.size)


def flat_ring(centre: Floats, axes: Floats, w: float, d: float, n: int = 20) -> Floats:
    a = 2 * np.pi * np.arange(n) / n
    return centre + np.outer(w * np.sin(a), axes[:, 0]) + np.outer(d * np.cos(a), axes[:, 2])


def eyewear(head: Head, kind: str) -> list[Part]:
    """Dark lenses, or spectacles with the lens filled (their label is the same)."""
    frame = Shape()
    for s in (-1, 1):
        if head.sees(s * 0.42, 0, 0.30):
            hinge, ear = head.at(s * 0.31, 0.03, 0.27), head.at(s * 0.375, 0.0, -0.04)
            frame = frame + capsule(hinge, ear, 0.022, 0.022)
        if head.sees(s * 0.10, 0, 0.36):
            frame.polys.append(head.blob((s * 0.165, -0.01, 0.375), (0.135, 0.10 if kind == "sun" else 0.105, 0.03)))
    if head.sees(0, 0, 0.4):
        frame = frame + capsule(head.at(-0.06, 0.03, 0.40), head.at(0.06, 0.03, 0.40), 0.022, 0.022)
    if not frame.polys:
        return []
    rim, lens = ((30, 30, 36), (46, 50, 62)) if kind == "sun" else ((60, 44, 40), (206, 214, 220))
    parts = [Part(SUNGLASSES, frame, Material((rim,)), round=0.0, shadow=0.1)]
    for s in (-1, 1):
        if head.sees(s * 0.10, 0, 0.36):
            glass = Shape(polys=[head.blob((s * 0.165, -0.01, 0.385), (0.108, 0.075, 0.02))])
            parts.append(Part(SUNGLASSES, glass, Material((lens,)), round=0.06, shadow=0.0, over=(SUNGLASSES,)))
            if kind == "glasses":
                pupil = Shape(polys=[head.blob((s * 0.15, 0.0, 0.39), (0.036, 0.042, 0.02))])
                parts.append(
                    Part(SUNGLASSES, pupil, Material(((60, 46, 40),)), round=0.0, shadow=0.0, over=(SUNGLASSES,))
                )
    return parts
