"""Builds the layers of a clothed body, from farthest to nearest."""

from __future__ import annotations

import numpy as np

from deocc_bench.synth.mannequin import limbs
from deocc_bench.synth.mannequin.body import Skeleton
from deocc_bench.synth.mannequin.bottoms import bib, skirt, trousers_seat
from deocc_bench.synth.mannequin.coats import coat_back, coat_layers, scarf, waist_folds
from deocc_bench.synth.mannequin.garments import Outfit
from deocc_bench.synth.mannequin.head import head_parts
from deocc_bench.synth.mannequin.paint import Colour, Material, Part
from deocc_bench.synth.mannequin.shapes import Shape, hull, smooth
from deocc_bench.synth.mannequin.skull import FACE
from deocc_bench.synth.mannequin.torso import Torso

UPPER, DRESS, JUMPSUIT = 5, 6, 10


def build_parts(sk: Skeleton, outfit: Outfit, rng: np.random.Generator) -> list[Part]:
    """All layers in painting order. Left and right are the person's own."""
    torso = Torso(sk)
    head = head_parts(sk, outfit, rng)
    middle = float(sk.spine[16][2])
    depth = {s: float(a.joints[1][2] + a.joints[2][2]) / 2 - middle for s, a in sk.arms.items()}
    yoke = torso.body(0.78, 1.0, outfit.coat.ease if outfit.coat else outfit.top.ease)
    arms = {s: limbs.arm(sk, outfit, s, yoke) for s in "lr"}
    hips = torso.body(-0.19, 0.40, outfit.bottom.ease)
    order = sorted("lr", key=lambda s: depth[s])
    far = [s for s in order if depth[s] < -0.2]
    near = [s for s in order if s not in far]
    legs_order = sorted("lr", key=lambda s: float(sk.legs[s].joints[1][2] + sk.legs[s].joints[2][2]))
    legs = [part for s in legs_order for part in limbs.leg(sk, outfit, s, hips)]
    lower = trousers_seat(sk, torso, outfit)
    upper = _top(torso, outfit)
    parts = [*head.behind]
    for s in far:
        parts += arms[s]
    if outfit.coat:
        parts += coat_back(sk, torso, outfit)
    bowed = float(sk.chest[2, 1]) > 0.35
    tucked = outfit.top.tucked and outfit.one_piece != "dress" and not bowed
    # A thigh lifted towards the viewer is in front of the trunk.
    lap = (
        sk.facing > 0.3
        and max(float(leg.joints[1][2] - leg.joints[0][2]) for leg in sk.legs.values()) > 0.72 * sk.build.thigh
    )
    if lap:
        parts += [*upper, *lower, *legs, *skirt(sk, torso, outfit)]
    elif tucked:
        parts += [*upper, *legs, *lower, *skirt(sk, torso, outfit)]
    else:
        parts += [*legs, *lower, *skirt(sk, torso, outfit), *upper]
    parts += head.neck if outfit.top.neck != "turtle" else _turtle(outfit, head.neck)
    parts += _neckline(torso, outfit)
    parts += bib(torso, outfit)
    parts += coat_layers(sk, torso, outfit)
    parts += scarf(sk, torso, outfit)
    return [*parts, *head.over, *(p for s in near for p in arms[s])]


def _top_label(outfit: Outfit) -> int:
    return {"dress": DRESS, "jumpsuit": JUMPSUIT}.get(outfit.one_piece, UPPER)


def _top(torso: Torso, outfit: Outfit) -> list[Part]:
    top = outfit.top
    label = _top_label(outfit)
    low = 0.37 if outfit.one_piece in ("dress", "jumpsuit") or top.tucked else top.hem
    shape = torso.body(low, 1.0, top.ease)
    form = shape + torso.body(max(low - 0.15, -0.25), low + 0.02, top.ease)
    part = Part(label, shape, top.cloth, torso.axis, round=0.3, folds=waist_folds(torso, top.ease), form=form)
    parts = [part]
    trim = Material((top.accent,))
    if top.detail == "buttons" or top.detail == "zip":
        strip = torso.strip(0.84, max(low, 0.0) + 0.02, 0.0, top.ease, 0.03)
        if strip:
            parts.append(Part(label, strip, top.cloth.plain(0.8), round=0.0, shadow=0.0, over=(label,)))
        if strip and top.detail == "buttons":
            spots = [torso.place(float(h), 0.0, top.ease)[0] for h in np.arange(0.8, max(low, 0.0), -0.14)]
            dots = Shape(circles=[(float(x), float(y), 0.03) for x, y in spots])
            parts.append(Part(label, dots, Material(((240, 238, 230),)), round=0.0, shadow=0.0, over=(label,)))
    elif top.detail == "logo":
        patch = torso.patch([(0.78, -22), (0.78, 22), (0.6, 26), (0.6, -26)], top.ease)
        if patch is not None:
            parts.append(
                Part(
                    label,
                    Shape(polys=[hull(smooth(patch, 4, closed=True))]),
                    trim,
                    round=0.0,
                    shadow=0.0,
                    over=(label,),
                )
            )
    elif top.detail == "pocket":
        patch = torso.patch([(0.78, 22), (0.78, 44), (0.65, 44), (0.62, 33), (0.65, 22)], top.ease)
        if patch is not None:
            parts.append(
                Part(label, Shape(polys=[patch]), top.cloth.plain(0.86), round=0.04, shadow=0.1, over=(label,))
            )
    return parts


def _turtle(outfit: Outfit, neck: list[Part]) -> list[Part]:
    label = _top_label(outfit)
    tall = neck[0].shape
    collar = Shape(tall.polys[:1], [(x, y, r + 0.03) for x, y, r in tall.circles[:2]])
    return [*neck, Part(label, collar, outfit.top.cloth.plain(0.92), round=0.12, shadow=0.1)]


def _neckline(torso: Torso, outfit: Outfit) -> list[Part]:
    top = outfit.top
    label = _top_label(outfit)
    parts: list[Part] = []
    skin = Material((outfit.skin,))
    if top.neck in ("vee", "scoop", "collar"):
        deep = {"vee": 0.80, "scoop": 0.86, "collar": 0.88}[top.neck]
        if top.neck == "scoop":
            corners = [(1.01, -62), (0.94, -40), (deep, -16), (deep - 0.01, 0), (deep, 16), (0.94, 40), (1.01, 62)]
        else:
            corners = [(1.01, -50), (0.94, -24), (deep, 0), (0.94, 24), (1.01, 50)]
        patch = torso.patch(corners, top.ease * 0.5)
        if patch is not None and torso.sk.facing > -0.1:
            parts.append(Part(FACE, Shape(polys=[patch]), skin, round=0.0, shadow=0.0, over=(label,)))
    if top.neck == "collar":
        for s in (-1, 1):
            wing = torso.patch(
                [(1.03, s * 75), (1.02, s * 40), (0.90, s * 4), (0.88, s * 30), (0.97, s * 70)], top.ease * 0.6
            )
            if wing is not None and torso.sk.facing > -0.1:
                parts.append(Part(label, Shape(polys=[wing]), top.cloth.plain(1.12), round=0.04, shadow=0.25))
    return parts


def seat_colour(rng: np.random.Generator) -> Colour:
    """The wood or paint colour of a stool."""
    options: tuple[Colour, ...] = ((150, 108, 70), (98, 70, 50), (196, 190, 180), (70, 84, 96), (168, 74, 60))
    return options[int(rng.integers(len(options)))]
