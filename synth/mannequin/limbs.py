"""Arms, legs, hands and feet, bare and clothed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from deocc_bench.synth.mannequin.body import Limb, Skeleton
from deocc_bench.synth.mannequin.garments import Coat, Outfit
from deocc_bench.synth.mannequin.paint import Axis, Bend, Colour, Crease, Material, Part
from deocc_bench.synth.mannequin.shapes import Floats, Shape, capsule, hull, tube

COAT, SOCKS, GLOVE = 7, 8, 3
ARM = {"l": 14, "r": 15}
LEG = {"l": 16, "r": 17}
SHOE = {"l": 18, "r": 19}

_ARM_T = np.array([0, 0.15, 0.35, 0.6, 0.85, 1.0, 1.18, 1.4, 1.7, 1.92, 2.0])
_ARM_R = np.array([0.200, 0.212, 0.195, 0.180, 0.155, 0.150, 0.158, 0.148, 0.115, 0.098, 0.098])
_LEG_T = np.array([0, 0.2, 0.5, 0.8, 0.98, 1.1, 1.3, 1.5, 1.75, 1.92, 2.0])
_LEG_R = np.array([0.370, 0.360, 0.315, 0.255, 0.225, 0.212, 0.228, 0.205, 0.145, 0.122, 0.125])


def arm_radius(sk: Skeleton, t: Floats) -> Floats:
    return np.interp(t, _ARM_T, _ARM_R) * sk.build.arm_girth


def leg_radius(sk: Skeleton, t: Floats) -> Floats:
    return np.interp(t, _LEG_T, _LEG_R) * sk.build.leg_girth


def steps(start: float, end: float, pitch: float = 0.12) -> Floats:
    """Positions along a limb from `start` to `end`, including the middle joint."""
    t = np.linspace(start, end, max(3, int((end - start) / pitch) + 2))
    return np.unique(np.concatenate([t, [1.0]])) if start < 1 < end else t


def sleeve(
    limb: Limb,
    t: Floats,
    radius: Floats,
    label: int,
    cloth: Material,
    *,
    depth: float = 0.16,
    root: Shape | None = None,
) -> Part:
    """A tube of cloth or skin around a limb between t[0] and t[-1]; at its start it continues into `root`."""
    centres = limb.at(t)[:, :2]
    shape = tube(centres, radius, round_start=t[0] <= 0)
    # The relief extends past both ends, because cloth does not close at a hem.
    ends = np.array([max(t[0] - 0.2, 0.0), t[0]]), np.array([t[-1], min(t[-1] + 0.25, 2.2)])
    form = shape + tube(limb.at(ends[1])[:, :2], radius[[-1, -1]], True, True)
    if t[0] > 0:
        form = form + tube(limb.at(ends[0])[:, :2], radius[[0, 0]], True, True)
    cast = None
    if root is not None:
        form = form + root
        late = t >= min(0.22, t[-2])
        cast = tube(centres[late], radius[late])
    axis, bend = bend_axes(limb)
    joint = bend if t[0] < 1 < t[-1] else None
    if t[0] >= 1:
        axis = bend[4]
    folds: tuple[Crease, ...] = ()
    if t[0] < 1 < t[-1]:
        folds = _creases(limb, float(np.interp(1.0, t, radius)))
    return Part(label, shape, cloth, axis, joint, round=depth, folds=folds, form=form, cast=cast)


def bend_axes(limb: Limb) -> tuple[Axis, Bend]:
    """The pattern axis of the upper bone, and the change to the axis of the lower bone at the joint."""
    a, b, c = limb.joints[:, :2]
    up, low = _unit(b - a), _unit(c - b)
    mid = _unit(up + low)
    lower = (float(b[0]), float(b[1]), float(low[0]), float(low[1]))
    return (float(a[0]), float(a[1]), float(up[0]), float(up[1])), (
        float(b[0]),
        float(b[1]),
        float(mid[0]),
        float(mid[1]),
        lower,
    )


def _unit(v: Floats) -> Floats:
    n = float(np.sqrt((v * v).sum()))
    return v / n if n > 0.05 else np.array([0.0, 1.0])


def _creases(limb: Limb, r: float) -> tuple[Crease, ...]:
    """Folds that fan out from the inside of a bent joint."""
    a, b, c = limb.joints[:, :2]
    up, low = _unit(a - b), _unit(c - b)
    inner = up + low
    size = float(np.sqrt((inner * inner).sum()))
    if size < 0.35:
        return ()
    inner = inner / size
    start = b + inner * r * 0.95
    out = []
    for pull, reach in ((up, 0.9), (low, 0.9), (-inner, 1.1)):
        end = start + pull * r * reach - inner * r * 0.35
        out.append((float(start[0]), float(start[1]), float(end[0]), float(end[1]), 0.035))
    return tuple(out)


def hand(sk: Skeleton, side: str) -> Shape:
    """Palm, fingers and thumb; open fingers on a raised hand."""
    limb = sk.arms[side]
    size = sk.build.arm_girth * 0.35 + 0.65 * min(1.0, sk.build.forearm / 1.1)
    wrist, frame = limb.joints[2], limb.tip
    along, ahead = -frame[:, 1], frame[:, 2]
    across = frame[:, 0] * (1 if side == "l" else -1)
    curl = along * 0.97 - across * 0.1 + ahead * 0.12
    palm = wrist + along * 0.19 * size
    shape = capsule(wrist, palm, 0.105 * size, 0.125 * size)
    raised = float(limb.joints[2] @ sk.up) > float(limb.joints[0] @ sk.up) + 0.25
    if raised:
        for k, reach in ((-1.5, 0.38), (-0.5, 0.44), (0.5, 0.43), (1.5, 0.37)):
            root = palm + ahead * (k * 0.055 * size)
            tip = root + (along + ahead * (k * 0.13)) * reach * size
            shape = shape + capsule(root, tip, 0.046 * size, 0.038 * size)
    else:
        shape = shape + capsule(palm, palm + curl * 0.30 * size, 0.125 * size, 0.078 * size)
    thumb = wrist + (along * 0.10 + ahead * 0.06) * size
    tip = thumb + (along * 0.22 + ahead * 0.15 - across * 0.05) * size
    return shape + capsule(thumb, tip, 0.055 * size, 0.042 * size)


def arm(sk: Skeleton, outfit: Outfit, side: str, yoke: Shape) -> list[Part]:
    """Skin, hand or glove, and sleeve of one arm, in painting order; `yoke` is the top of the trunk."""
    limb, top, coat = sk.arms[side], outfit.top, outfit.coat
    reach = 1.93 if coat else top.sleeve
    skin = Material((outfit.skin,))
    parts = []
    t = steps(max(0.0, reach - 0.25), 2.0)
    bare = sleeve(limb, t, arm_radius(sk, t), ARM[side], skin, root=yoke if reach == 0 else None)
    fist = hand(sk, side)
    if outfit.gloves:
        if reach < 1.9:
            parts.append(bare)
        t = steps(1.72, 2.0, 0.07)
        cuff = tube(limb.at(t)[:, :2], arm_radius(sk, t) + 0.035)
        parts.append(Part(GLOVE, fist + cuff, outfit.gloves, round=0.1))
    else:
        parts.append(replace(bare, shape=bare.shape + fist, round=0.13))
    if coat:
        parts += _coat_sleeve(sk, coat, side, yoke)
    elif reach > 0:
        t = steps(0.0, reach)
        loose = top.ease * np.clip(0.3 + t * 1.4, 0.3, 1) + (0.05 if reach < 1 else 0.0) * t
        label = {"dress": 6, "jumpsuit": 10}.get(outfit.one_piece, 5)
        parts.append(sleeve(limb, t, arm_radius(sk, t) + loose, label, top.cloth, root=yoke))
        if reach > 1.5:
            t = steps(reach - 0.12, reach, 0.06)
            parts.append(sleeve(limb, t, arm_radius(sk, t) + loose[-1] + 0.012, label, top.cloth.plain(0.86)))
    return parts


def _coat_sleeve(sk: Skeleton, coat: Coat, side: str, yoke: Shape) -> list[Part]:
    limb = sk.arms[side]
    t = steps(0.0, 1.93)
    loose = coat.ease * np.clip(0.3 + t, 0.3, 0.8)
    parts = [sleeve(limb, t, arm_radius(sk, t) + loose, COAT, coat.cloth, root=yoke)]
    t = steps(1.80, 1.94, 0.06)
    parts.append(sleeve(limb, t, arm_radius(sk, t) + coat.ease * 0.8 + 0.01, COAT, coat.cloth.plain(0.82)))
    return parts


def foot(sk: Skeleton, side: str, grow: float = 0.0) -> tuple[Shape, Shape]:
    """A foot or shoe, and the strip of its sole."""
    limb = sk.legs[side]
    size = (0.4 + 0.6 * min(1.0, sk.build.shin / 1.66)) * (0.75 + 0.25 * sk.build.leg_girth)
    ankle, frame = limb.joints[2], limb.tip
    down, ahead = -frame[:, 1], frame[:, 2]

    def ball(fwd: float, low: float, r: float) -> tuple[Floats, float]:
        return ankle + (ahead * fwd + down * low) * size, r * size + grow

    spheres = [
        ball(0.0, 0.02, 0.125),
        ball(-0.09, 0.17, 0.125),
        ball(0.42, 0.185, 0.115),
        ball(0.60, 0.215, 0.085),
        ball(0.22, 0.11, 0.12),
    ]
    groups = ((0, 1, 4), (1, 4, 2), (1, 2, 3))
    shape = Shape(polys=[hull(np.concatenate([_disc(*spheres[i]) for i in g])) for g in groups])
    bottoms = [ball(-0.10, 0.265, 0.035), ball(0.42, 0.275, 0.03), ball(0.62, 0.275, 0.025)]
    widths = [(0.105, bottoms[0]), (0.115, bottoms[1]), (0.08, bottoms[2])]
    left = frame[:, 0]
    rims = [np.concatenate([_disc(p + left * k * (w * size), r) for k in (-1, 1)]) for w, (p, r) in widths]
    return shape, Shape(polys=[hull(np.concatenate(rims))])


def _disc(p: Floats, r: float) -> Floats:
    return np.stack([p[0] + r * _C, p[1] + r * _S], axis=1)


_TURN = 2 * np.pi * np.arange(14) / 14
_C, _S = np.cos(_TURN), np.sin(_TURN)


def leg(sk: Skeleton, outfit: Outfit, side: str, hips: Shape) -> list[Part]:
    """Skin, sock, shoe and trouser leg of one leg, in painting order; `hips` is the bottom of the trunk."""
    limb, bottom = sk.legs[side], outfit.bottom
    skin = Material((outfit.skin,))
    parts = []
    socked = outfit.socks is not None
    covered = 0.0 if bottom.skirt else max(0.0, bottom.reach - 0.25)
    if not (socked and outfit.sock_top <= covered):
        t = steps(covered, 2.0)
        parts.append(sleeve(limb, t, leg_radius(sk, t), LEG[side], skin, depth=0.2))
    if outfit.socks is not None:
        t = steps(max(outfit.sock_top, covered), 2.0)
        # Tights continue into the foot, so that a low shoe shows no other cloth.
        shape, _ = foot(sk, side, -0.02)
        part = sleeve(limb, t, leg_radius(sk, t) + 0.012, SOCKS, outfit.socks, depth=0.2)
        parts.append(Part(SOCKS, part.shape + shape, part.material, part.axis, part.joint, round=0.18))
    shoes = _shoe(sk, outfit, side, skin, socked)
    tucked = outfit.shoe == "boot" and (bottom.skirt or bottom.ease < 0.04 or bottom.reach < 1.4)
    if not tucked:
        parts += shoes
    if not bottom.skirt:
        t = steps(0.0, bottom.reach)
        radius = leg_radius(sk, t) + bottom.ease + bottom.flare * np.clip(t - 0.7, 0, 2)
        label = 10 if outfit.one_piece else 9
        parts.append(sleeve(limb, t, radius, label, bottom.cloth, depth=0.22, root=hips))
        if bottom.reach > 1.8 or bottom.reach < 1:
            t = steps(bottom.reach - 0.07, bottom.reach + 0.005, 0.05)
            rim = float(radius[-1]) + 0.004
            parts.append(sleeve(limb, t, np.full(len(t), rim), label, bottom.cloth.darker(0.86), depth=0.22))
    if tucked:
        parts += shoes
    return parts


def _shoe(sk: Skeleton, outfit: Outfit, side: str, skin: Material, socked: bool) -> list[Part]:
    label = SHOE[side]
    limb = sk.legs[side]
    shape, sole = foot(sk, side, 0.02)
    cloth = Material(outfit.shoe_cloth.colours[:1])
    if outfit.shoe == "boot":
        t = steps(1.5, 2.0, 0.1)
        shaft = tube(limb.at(t)[:, :2], leg_radius(sk, t) + 0.035)
        parts = [Part(label, shape + shaft, cloth, round=0.14)]
    else:
        parts = [Part(label, shape, cloth, round=0.12)]
    parts.append(Part(label, sole, Material((outfit.sole,)), round=0.04, shadow=0.15))
    if outfit.shoe == "flat":
        parts.append(_instep(sk, outfit, side, skin, socked))
    if outfit.shoe == "sneaker":
        parts.append(_laces(sk, side, label, outfit.sole))
    return parts


def _instep(sk: Skeleton, outfit: Outfit, side: str, skin: Material, socked: bool) -> Part:
    """The bare or socked back of the foot that a low shoe leaves open."""
    limb = sk.legs[side]
    frame, ankle = limb.tip, limb.joints[2]
    r = float(leg_radius(sk, np.array([2.0]))[0]) * 0.9
    end = ankle + frame[:, 2] * 0.20 - frame[:, 1] * 0.06
    material = outfit.socks if socked and outfit.socks else skin
    return Part(
        SOCKS if socked else LEG[side], capsule(ankle, end, r, r * 0.7), material.plain(), round=0.1, shadow=0.0
    )


def _laces(sk: Skeleton, side: str, label: int, colour: Colour) -> Part:
    limb = sk.legs[side]
    frame, ankle = limb.tip, limb.joints[2]
    shape = Shape()
    for fwd, low in ((0.16, 0.0), (0.24, 0.03), (0.32, 0.06)):
        p = ankle + frame[:, 2] * fwd - frame[:, 1] * low
        shape = shape + capsule(p - frame[:, 0] * 0.06, p + frame[:, 0] * 0.06, 0.016, 0.016)
    return Part(label, shape, Material((colour,)), round=0.0, shadow=0.0, over=(label,))
