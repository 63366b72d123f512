"""Coats and scarves."""

from __future__ import annotations

import math

import numpy as np

from deocc_bench.synth.mannequin.body import Skeleton
from deocc_bench.synth.mannequin.bottoms import hang_rings
from deocc_bench.synth.mannequin.garments import Outfit
from deocc_bench.synth.mannequin.paint import Crease, Material, Part
from deocc_bench.synth.mannequin.shapes import Floats, Shape, capsule, loft, tube
from deocc_bench.synth.mannequin.torso import COSINES, SINES, Torso

COAT, SCARF = 7, 11


def waist_folds(torso: Torso, ease: float) -> tuple[Crease, ...]:
    """Creases from the flanks and below the arms."""
    out = []
    for h0, a0, h1, a1 in (
        (0.42, 80, 0.34, 30),
        (0.36, -80, 0.42, -34),
        (0.80, 70, 0.66, 40),
        (0.80, -70, 0.66, -40),
        (0.22, 80, 0.28, 44),
        (0.24, -78, 0.2, -40),
    ):
        flip = 0 if torso.sk.facing > -0.2 else 180
        (x0, y0), _ = torso.place(h0, a0 + flip, ease)
        (x1, y1), _ = torso.place(h1, a1 + flip, ease)
        out.append((float(x0), float(y0), float(x1), float(y1), 0.03))
    return tuple(out)


def coat_reach(sk: Skeleton, outfit: Outfit) -> float:
    """How far the coat reaches down the legs; a coat over lifted thighs ends at the hips (-1)."""
    if outfit.coat is None:
        return -1.0
    lifted = max(float(leg.joints[1] @ sk.up) - float(leg.joints[0] @ sk.up) for leg in sk.legs.values())
    return outfit.coat.reach if lifted < -0.8 * sk.build.thigh else -1.0


def coat_back(sk: Skeleton, torso: Torso, outfit: Outfit) -> list[Part]:
    """The lining that shows between the legs."""
    reach = coat_reach(sk, outfit)
    if outfit.coat is None or reach < 0:
        return []
    shape = loft([torso.ring(0.0, outfit.coat.ease), *hang_rings(sk, reach, outfit.coat.ease, 0.1)])
    return [Part(COAT, shape, Material((outfit.coat.lining,)), round=0.1, shadow=0.0)]


def coat_layers(sk: Skeleton, torso: Torso, outfit: Outfit) -> list[Part]:
    coat = outfit.coat
    if coat is None:
        return []
    reach = coat_reach(sk, outfit)
    shape = torso.body(-0.10, 1.0, coat.ease)
    rings: list[Floats] = []
    if reach > 0:
        rings = [torso.ring(0.0, coat.ease), *hang_rings(sk, reach, coat.ease, 0.1)]
        shape = shape + loft(rings)
    parts: list[Part] = []
    opening = _opening(torso, coat.gap, coat.ease, rings) if coat.gap else None
    if opening is not None:
        shape.cuts.append(opening)
    form = (
        shape + loft([rings[-1], 2 * rings[-1] - rings[-2]]) if rings else shape + torso.body(-0.26, -0.09, coat.ease)
    )
    parts.append(
        Part(COAT, shape, coat.cloth, torso.axis, round=0.3, shadow=0.4, folds=waist_folds(torso, coat.ease), form=form)
    )
    if coat.gap == 0:
        strip = torso.strip(0.92, -0.06, 4.0, coat.ease, 0.02)
        if strip:
            parts.append(Part(COAT, strip, coat.cloth.plain(0.7), round=0.0, shadow=0.0, over=(COAT,)))
            spots = [torso.place(float(h), -6.0, coat.ease)[0] for h in (0.78, 0.62, 0.46, 0.3, 0.14)]
            dots = Shape(circles=[(float(x), float(y), 0.04) for x, y in spots])
            parts.append(Part(COAT, dots, Material((coat.lining,)), round=0.04, shadow=0.2, over=(COAT,)))
    gap = max(coat.gap, 8.0)
    for s in (-1, 1):
        if coat.lapel:
            wing = torso.patch(
                [
                    (1.03, s * 60),
                    (0.97, s * 78),
                    (0.90, s * 62),
                    (0.86, s * 70),
                    (0.62, s * gap),
                    (0.9, s * gap * 0.9),
                    (1.0, s * 30),
                ],
                coat.ease,
            )
            if wing is not None and sk.facing > -0.1:
                parts.append(Part(COAT, Shape(polys=[wing]), coat.cloth.plain(0.88), round=0.04, shadow=0.3))
        pocket = torso.patch([(0.2, s * 48), (0.2, s * 72), (0.16, s * 72), (0.16, s * 48)], coat.ease)
        if pocket is not None:
            parts.append(Part(COAT, Shape(polys=[pocket]), coat.cloth.plain(0.76), round=0.0, shadow=0.1, over=(COAT,)))
    if coat.hood or not coat.lapel:
        parts += _collar(sk, coat.cloth, 0.30 if coat.hood else 0.20, coat.hood)
    return parts


def _collar(sk: Skeleton, cloth: Material, r: float, hood: bool) -> list[Part]:
    """A stand-up collar, or a hood on the back."""
    centre, frame = sk.torso_at(1.0)
    g = sk.build.neck_girth
    shape = Shape()
    for s in (-1, 1):
        a = centre + frame[:, 0] * s * (g + 0.05) - frame[:, 2] * 0.1 + frame[:, 1] * 0.05
        b = centre + frame[:, 0] * s * 0.10 + frame[:, 2] * 0.24 - frame[:, 1] * 0.12
        shape = shape + capsule(a, b, r * 0.48, 0.05)
    back = centre - frame[:, 2] * (0.24 if hood else 0.12) + frame[:, 1] * (-0.05 if hood else 0.05)
    if sk.facing < 0.45:
        shape = shape + capsule(
            centre - frame[:, 0] * g + (back - centre), centre + frame[:, 0] * g + (back - centre), r * 0.6, r * 0.6
        )
    return [Part(COAT, shape, cloth.plain(0.9), round=0.1, shadow=0.3)]


def _opening(torso: Torso, gap: float, ease: float, rings: list[Floats]) -> Floats | None:
    """The opening of a coat: a polygon over the silhouette, or None if seen from behind."""
    heights = np.linspace(1.03, -0.10, 9)
    sides: dict[int, list[Floats]] = {-1: [], 1: []}
    seen = False
    for h in heights:
        half = gap * (0.75 + 0.5 * (1.0 - float(h)))
        centre = torso.section(float(h))[0][:2]
        for s in (-1, 1):
            p, away = torso.place(float(h), s * half, ease)
            seen |= away == 0
            # The cut extends beyond the outline, so that no sliver remains.
            sides[s].append(p + (p - centre) * 0.25 if away else p)
    if not seen or torso.sk.facing < -0.35:
        return None
    if rings:
        last = {s: sides[s][-1] for s in (-1, 1)}
        low = rings[-1].mean(axis=0)
        front = torso.sk.pelvis
        half = float(np.abs((rings[-1] - low) @ front[:, 0]).max()) * math.sin(math.radians(min(gap * 1.5, 70)))
        reach = float(np.abs((rings[-1] - low) @ front[:, 2]).max())
        for s in (-1, 1):
            end = (low + front[:, 0] * s * half + front[:, 2] * reach * 0.8 - torso.sk.up * 0.2)[:2]
            sides[s].append(end if torso.place(0.0, s * gap, ease)[1] == 0 else end + (last[s] - last[-s]))
    else:
        for s in (-1, 1):
            sides[s].append(sides[s][-1] - torso.sk.pelvis[:2, 1] * 0.3)
    return np.stack([*sides[-1], *sides[1][::-1]])


def scarf(sk: Skeleton, torso: Torso, outfit: Outfit) -> list[Part]:
    if outfit.scarf is None:
        return []
    cloth = outfit.scarf
    g = sk.build.neck_girth
    rings = []
    for h, r, ahead in ((0.93, g + 0.17, 0.06), (1.0, g + 0.22, 0.03), (1.08, g + 0.17, 0.02), (1.12, g + 0.08, 0.0)):
        centre, frame = sk.torso_at(min(h, 1.09))
        rings.append(
            centre
            + frame[:, 2] * (ahead - 0.05)
            + np.outer(r * SINES, frame[:, 0])
            + np.outer(r * COSINES, frame[:, 2])
        )
    parts = []
    if sk.facing > -0.1:
        side = 1 if outfit.scarf_tail > 1 else -1
        ease = (outfit.coat.ease if outfit.coat else outfit.top.ease) + 0.03
        heights = np.linspace(0.97, 0.97 - 0.42 * outfit.scarf_tail, 6)
        path = [torso.place(float(h), side * 16.0, ease) for h in heights]
        if not any(away for _, away in path):
            tail = tube(np.stack([p for p, _ in path]), np.linspace(0.11, 0.15, 6))
            parts.append(Part(SCARF, tail, cloth, torso.axis, round=0.1, shadow=0.35))
    parts.append(
        Part(
            SCARF,
            loft(rings),
            cloth,
            (torso.axis[0], torso.axis[1], torso.axis[3], -torso.axis[2]),
            round=0.14,
            shadow=0.3,
        )
    )
    return parts
