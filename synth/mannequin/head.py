"""Neck and head: skin, hair, eyewear and hat in painting order."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deocc_bench.synth.mannequin.body import Skeleton
from deocc_bench.synth.mannequin.garments import Outfit
from deocc_bench.synth.mannequin.hair import DOWN, loose_hair, scalp, under_hat
from deocc_bench.synth.mannequin.hats import hat_layers
from deocc_bench.synth.mannequin.paint import Material, Part
from deocc_bench.synth.mannequin.shapes import tube
from deocc_bench.synth.mannequin.skull import FACE, Head, eyewear, skull


@dataclass
class HeadParts:
    """Layers of the head by position among the body layers: behind the body, over the torso, over the head."""

    behind: list[Part] = field(default_factory=list)
    neck: list[Part] = field(default_factory=list)
    over: list[Part] = field(default_factory=list)


def head_parts(sk: Skeleton, outfit: Outfit, rng: np.random.Generator) -> HeadParts:
    """All layers of the head for a posed body."""
    head = Head(sk)
    out = HeadParts()
    skin = Material((outfit.skin,))
    g = sk.build.neck_girth
    # A collar is higher at the nape than at the throat.
    base = sk.neck_base + sk.chest[:, 1] * (0.02 - 0.06 * (1 + sk.facing))
    top = head.at(0, -0.2, -0.08)
    middle = (base + top) / 2
    neck = tube(np.stack([base, middle, top])[:, :2], np.array([g * 1.15, g, g]), True, True)
    out.neck.append(Part(FACE, neck, skin, round=0.16, shadow=0.2))
    style = under_hat(outfit)
    loose = loose_hair(sk, head, outfit, style, rng)
    from_behind = head.facing < -0.15
    if not from_behind:
        out.behind += loose.back
    out.over += loose.far
    out.over += skull(head, outfit, style in DOWN, skin)
    out.over += scalp(head, outfit, style, rng)
    if from_behind:
        out.over += loose.back
    out.over += loose.near
    if outfit.eyewear:
        out.over += eyewear(head, outfit.eyewear)
    if outfit.hat:
        out.over += hat_layers(head, outfit)
    return out
