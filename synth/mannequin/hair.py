"""Hair on the head, and loose hair that hangs from it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deocc_bench.synth.mannequin.body import Skeleton
from deocc_bench.synth.mannequin.garments import Outfit
from deocc_bench.synth.mannequin.paint import Material, Part, mix
from deocc_bench.synth.mannequin.shapes import Shape, loft, smooth, tube
from deocc_bench.synth.mannequin.skull import Head, Knots, flat_ring, ring

HAIR = 2

_SHORT: Knots = ((-1, -0.62), (-0.4, -0.52), (-0.1, -0.12), (0.18, -0.02), (0.42, 0.40), (0.75, 0.62), (1, 0.62))

_FULL: Knots = ((-1, -0.95), (-0.1, -0.95), (0.12, -0.62), (0.3, -0.05), (0.48, 0.42), (0.75, 0.60), (1, 0.6))

_BALD: Knots = ((-1, -0.62), (-0.4, -0.5), (-0.1, -0.1), (0.12, 0.05), (0.14, 9), (1, 9))

_FRINGE = 0.30

_LONG = frozenset({"long", "wavy"})

DOWN = frozenset({"bob", "long", "wavy", "afro"})


@dataclass
class LooseHair:
    """Loose hair: hair falling at the back, and the locks on the far and the near side of the head."""

    back: list[Part] = field(default_factory=list)
    far: list[Part] = field(default_factory=list)
    near: list[Part] = field(default_factory=list)


def under_hat(outfit: Outfit) -> str:
    flat = {"afro": "curly", "quiff": "short", "mohawk": "buzz", "bun": "ponytail"}
    return flat.get(outfit.style, outfit.style) if outfit.hat else outfit.style


def scalp(head: Head, outfit: Outfit, style: str, rng: np.random.Generator) -> list[Part]:
    """The hair on the head."""
    knots = _FULL if style in DOWN or style in ("braids", "pigtails") else _SHORT
    volume = {
        "buzz": 0.37,
        "short": 0.40,
        "bald": 0.375,
        "curly": 0.45,
        "afro": 0.60,
        "ponytail": 0.385,
        "bun": 0.385,
        "mohawk": 0.368,
    }.get(style, 0.415)
    if outfit.hat:
        volume = min(volume, 0.40)
    if style == "bald":
        knots = _BALD
    if style == "bald" and (outfit.hair.colours[0][0] % 2 == 0 or outfit.hat):
        return []
    if outfit.fringe and style in ("short", "bob", "long", "ponytail", "bun", "pigtails", "braids", "afro"):
        knots = (*knots[:-3], (0.42, 0.18), (0.75, _FRINGE), (1, _FRINGE))
    tilt = {"side-part": 0.26, "long": 0.10, "wavy": -0.16, "bob": 0.08}.get(style, 0.0) * (0 if outfit.fringe else 1)
    up = 0.08 + (0.05 if style in ("curly", "afro") else 0.0)
    radii = (volume, volume + 0.07, volume + 0.075)
    at = (0.0, up, -0.06)
    shape = Shape(shells=[head.shell(at, radii, knots, tilt)])
    if style in ("curly", "afro"):
        shape.circles += _bumps(head, at, radii, rng)
    if style == "quiff":
        shape.polys += [head.blob((0.04 * k, 0.50 - abs(k) * 0.02, 0.20), (0.17, 0.12, 0.19)) for k in (-3, 0, 3)]
    if style == "mohawk":
        shape.circles += [
            head.circle(0, 0.54 - 0.5 * a * a, a, 0.12) for a in (-0.42, -0.3, -0.18, -0.06, 0.06, 0.18, 0.3)
        ]
    if style == "bun":
        shape.circles.append(head.circle(0, 0.50, -0.36, 0.21))
    origin = head.at(0, 0.5, 0.0)
    down = -head.axes[:2, 1]
    axis = (float(origin[0]), float(origin[1]), float(down[0]), float(down[1]))
    cloth = outfit.hair
    if style == "buzz":
        cloth = Material((mix(outfit.hair.colours[0], outfit.skin, 0.25),))
    return [Part(HAIR, shape, cloth, axis, round=0.2, shadow=0.22 if style != "buzz" else 0.0)]


def _bumps(
    head: Head, at: tuple[float, float, float], radii: tuple[float, float, float], rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Curls along the upper outline of the hair, but not in front of the face."""
    rim = head.blob(at, radii)
    centre = head.at(*at)[:2]
    up, ahead = head.axes[:2, 1], head.axes[:2, 2]
    out = []
    for p in rim[::2]:
        rise, lead = float(((p - centre) * up).sum()), float(((p - centre) * ahead).sum())
        if rise > -0.05 and not (rise < 0.5 * radii[1] and lead > 0.2):
            q = centre + (p - centre) * 0.93
            out.append((float(q[0]), float(q[1]), float(rng.uniform(0.08, 0.13)) * head.size))
    return out


def loose_hair(sk: Skeleton, head: Head, outfit: Outfit, style: str, rng: np.random.Generator) -> LooseHair:
    """Long hair, tails and braids."""
    length = float(rng.uniform(0.55, 1.35))
    wide = float(rng.uniform(0.38, 0.5))
    swing = float(rng.uniform(-0.12, 0.12))
    back, locks = Shape(), {-1: Shape(), 1: Shape()}
    if style == "bob":
        back = loft(
            [
                ring(head, 0.2, 0.42, 0.40, -0.06),
                ring(head, -0.15, 0.46, 0.36, -0.10),
                ring(head, -0.46, 0.42, 0.30, -0.14),
            ]
        )
    elif style == "afro":
        back = Shape(polys=[head.blob((0, 0.08, -0.12), (0.58, 0.60, 0.52))])
        back.circles = _bumps(head, (0, 0.08, -0.12), (0.58, 0.60, 0.52), rng)
    elif style in _LONG:
        rings = [ring(head, 0.2, 0.41, 0.38, -0.06), ring(head, -0.2, 0.45, 0.32, -0.12)]
        root = sk.neck_base - sk.chest[:, 2] * 0.24
        for drop, w in ((0.1, wide + 0.04), (0.5 * length, wide), (length, wide * 0.8)):
            rings.append(flat_ring(root - sk.chest[:, 1] * drop, sk.chest, w * head.size, 0.10))
        back = loft(rings)
        if style == "wavy":
            edge = np.concatenate([0.82 * r[::5, :2] + 0.18 * r[:, :2].mean(axis=0) for r in rings[2:]])
            back.circles = [(float(x), float(y), float(rng.uniform(0.11, 0.17))) for x, y in edge]
        if head.facing > 0.1 and length > 0.7:
            for s in (-1, 1):
                end = sk.neck_base + sk.chest @ np.array([s * 0.46, -0.55 * length, 0.34])
                mid = sk.neck_base + sk.chest @ np.array([s * 0.44, 0.0, 0.20])
                path = np.stack([head.at(s * 0.40, 0.0, 0.0), head.at(s * 0.42, -0.35, 0.02), mid, end])
                points = smooth(path, 5)[:, :2]
                locks[s] = tube(
                    points, np.interp(np.linspace(0, 1, len(points)), (0, 0.5, 1), (0.08, 0.13, 0.04)), True, True
                )
    elif style == "ponytail":
        high = 0.32 if outfit.hat is None else 0.0
        trail = [
            (0.0, high, -0.44),
            (swing, high + 0.05, -0.66),
            (swing * 2, -0.35, -0.74),
            (swing * 3, -0.45 - 0.6 * length, -0.62),
        ]
        back = head.tube(trail, (0.09, 0.16, 0.15, 0.04))
    elif style == "braids":
        for s in (-1, 1):
            a = head.at(s * 0.36, -0.28, -0.05)
            b = sk.neck_base + sk.chest @ np.array([s * 0.42, -0.5 * length - 0.2, 0.34])
            n = 7
            for i in range(n + 1):
                p = a + (b - a) * (i / n) + sk.chest[:, 0] * s * 0.12 * np.sin(np.pi * i / n)
                locks[s].circles.append((float(p[0]), float(p[1]), 0.10 - 0.05 * i / n))
    elif style == "pigtails":
        for s in (-1, 1):
            back = back + head.tube(
                [(s * 0.36, 0.12, -0.12), (s * 0.56, 0.12, -0.14), (s * 0.64, -0.3, -0.12), (s * 0.56, -0.62, -0.1)],
                (0.08, 0.15, 0.14, 0.03),
            )
    origin = head.at(0, 0.4, -0.1)
    axis = (float(origin[0]), float(origin[1]), 0.0, 1.0)
    out = LooseHair()
    if back.circles or back.polys:
        out.back.append(Part(HAIR, back, outfit.hair, axis, round=0.16, shadow=0.2))
    for s, lock in locks.items():
        if lock.circles:
            part = Part(HAIR, lock, outfit.hair, axis, round=0.1, shadow=0.25)
            hidden = s * float(head.axes[2, 0]) < -0.25
            if head.facing < -0.3:
                out.back.append(part)
            else:
                (out.far if hidden else out.near).append(part)
    return out
