"""Seats of trousers, skirts, and the front of dungarees."""

from __future__ import annotations

import numpy as np

from deocc_bench.synth.mannequin import limbs
from deocc_bench.synth.mannequin.body import Skeleton
from deocc_bench.synth.mannequin.garments import Outfit
from deocc_bench.synth.mannequin.paint import Crease, Material, Part
from deocc_bench.synth.mannequin.shapes import Floats, Shape, loft, tube
from deocc_bench.synth.mannequin.torso import COSINES, SINES, Torso

UPPER, DRESS, PANTS, JUMPSUIT, SKIRT = 5, 6, 9, 10, 12


def trousers_seat(sk: Skeleton, torso: Torso, outfit: Outfit) -> list[Part]:
    bottom = outfit.bottom
    if bottom.skirt:
        return []
    label = JUMPSUIT if outfit.one_piece else PANTS
    high = 0.40
    crotch = _crotch(sk, torso, outfit)
    cloth = bottom.cloth
    shape = torso.body(-0.19, high, bottom.ease)
    form = shape + torso.body(high, high + 0.2, bottom.ease)
    for limb in sk.legs.values():
        t = limbs.steps(0.0, min(bottom.reach, 0.9))
        form = form + tube(limb.at(t)[:, :2], limbs.leg_radius(sk, t) + bottom.ease, True, True)
    parts = [Part(label, shape, cloth, torso.axis, round=0.24, shadow=0.0, folds=crotch, form=form)]
    if bottom.belt and not outfit.one_piece:
        parts.append(
            Part(
                label,
                torso.body(high - 0.07, high - 0.01, bottom.ease + 0.01),
                Material((bottom.belt,)),
                round=0.1,
                shadow=0.1,
            )
        )
    return parts


def _crotch(sk: Skeleton, torso: Torso, outfit: Outfit) -> tuple[Crease, ...]:
    flip = 0 if sk.facing > -0.2 else 180
    out = []
    for h0, a0, h1, a1 in ((-0.17, 0, 0.16, 0), (-0.13, 10, -0.04, 40), (-0.13, -10, -0.04, -40)):
        (x0, y0), s0 = torso.place(h0, a0 + flip, outfit.bottom.ease)
        (x1, y1), s1 = torso.place(h1, a1 + flip, outfit.bottom.ease)
        if not (s0 or s1):
            out.append((float(x0), float(y0), float(x1), float(y1), 0.016))
    return tuple(out)


def hang_rings(sk: Skeleton, reach: float, ease: float, flare: float) -> list[Floats]:
    """Rings around both legs down to `reach` (0 hip, 1 knee, 2 ankle), which define the shape of a skirt."""
    rings = []
    for t in np.linspace(0.12, reach, max(3, int(reach / 0.2) + 1)):
        points = []
        for limb in sk.legs.values():
            p = limb.at(np.array([t]))[0]
            d = limb.direction(float(t))
            # Below the knee, cloth hangs straight down and does not follow a bent shin.
            d = d * 0.4 - sk.up * 0.6 if t > 1 else d * 0.85 - sk.up * 0.15
            d = d / float(np.sqrt((d * d).sum()))
            a = sk.pelvis[:, 0] - d * float((sk.pelvis[:, 0] * d).sum())
            a = a / float(np.sqrt((a * a).sum()))
            b = np.array([d[1] * a[2] - d[2] * a[1], d[2] * a[0] - d[0] * a[2], d[0] * a[1] - d[1] * a[0]])
            r = float(limbs.leg_radius(sk, np.array([min(t, 0.9)]))[0]) + ease + flare * float(t)
            points.append(p + np.outer(r * SINES, a) + np.outer(r * COSINES, b))
        rings.append(np.concatenate(points))
    return rings


def skirt(sk: Skeleton, torso: Torso, outfit: Outfit) -> list[Part]:
    bottom = outfit.bottom
    if not bottom.skirt:
        return []
    label = DRESS if outfit.one_piece else SKIRT
    rings = [torso.ring(h, bottom.ease) for h in (0.42, 0.3, 0.18, 0.06, -0.02)]
    hang = hang_rings(sk, bottom.reach, bottom.ease + 0.02, bottom.flare)
    shape = loft([*rings, *hang])
    form = shape + loft([hang[-1], hang[-1] + (hang[-1] - hang[-2])])
    waist = torso.section(0.2)[0][:2]
    low = hang[-1][:, :2]
    left, right = low[low[:, 0].argmin()], low[low[:, 0].argmax()]
    folds = []
    for k in (0.12, 0.27, 0.42, 0.56, 0.71, 0.87):
        end = left + (right - left) * k
        start = waist + (end - waist) * (0.55 + 0.3 * abs(k - 0.5))
        folds.append((float(start[0]), float(start[1]), float(end[0]), float(end[1]), 0.028))
    parts = [Part(label, shape, bottom.cloth, torso.axis, round=0.26, shadow=0.25, folds=tuple(folds), form=form)]
    if bottom.belt or label == SKIRT:
        band = bottom.belt or bottom.cloth.plain(0.8).colours[0]
        parts.append(Part(label, torso.body(0.35, 0.42, bottom.ease + 0.012), Material((band,)), round=0.1, shadow=0.1))
    return parts


def bib(torso: Torso, outfit: Outfit) -> list[Part]:
    """The front piece and straps of dungarees."""
    if outfit.one_piece != "dungarees":
        return []
    ease = outfit.top.ease + 0.01
    cloth = outfit.bottom.cloth
    parts = []
    for face, high in ((0, 0.76), (180, 0.62)):
        patch = torso.patch(
            [
                (0.36, face - 62),
                (0.55, face - 46),
                (high, face - 34),
                (high, face),
                (high, face + 34),
                (0.55, face + 46),
                (0.36, face + 62),
                (0.36, face),
            ],
            ease,
        )
        if patch is not None:
            parts.append(
                Part(JUMPSUIT, Shape(polys=[patch]), cloth, torso.axis, round=0.08, shadow=0.2, over=(UPPER, JUMPSUIT))
            )
        for s in (-1, 1):
            path = [
                torso.place(float(h), face + s * (30 + 20 * k), ease) for k, h in enumerate(np.linspace(high, 0.97, 3))
            ]
            if not any(side for _, side in path):
                strap = tube(np.stack([p for p, _ in path]), np.full(3, 0.055))
                parts.append(Part(JUMPSUIT, strap, cloth, torso.axis, round=0.05, shadow=0.15, over=(UPPER, JUMPSUIT)))
    return parts
