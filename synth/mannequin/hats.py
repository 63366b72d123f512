"""Hats."""

from __future__ import annotations

import numpy as np

from deocc_bench.synth.mannequin.garments import Outfit
from deocc_bench.synth.mannequin.paint import Material, Part
from deocc_bench.synth.mannequin.shapes import Shape, hull, loft
from deocc_bench.synth.mannequin.skull import Head, ring

HAT = 1


def hat_layers(head: Head, outfit: Outfit) -> list[Part]:
    hat = outfit.hat
    if hat is None:
        return []
    origin = head.at(0, 0.2, 0)
    side = head.axes[:2, 1]
    axis = (float(origin[0]), float(origin[1]), float(side[0]), float(side[1]))
    accent = Material((hat.accent,))
    if hat.kind == "beanie":
        band = head.shell((0, 0.08, -0.05), (0.435, 0.47, 0.495), ((-1, -0.18), (1, 0.34)))
        dome = head.shell((0, 0.10, -0.05), (0.425, 0.50, 0.485), ((-1, 0.12), (1, 0.62)))
        ball = Shape(circles=[head.circle(0, 0.66, -0.06, 0.12)])
        return [
            Part(HAT, ball, accent, round=0.1),
            Part(HAT, Shape(shells=[band]), hat.cloth.plain(0.82), axis, round=0.18),
            Part(HAT, Shape(shells=[dome]), hat.cloth, axis, round=0.2, shadow=0.15),
        ]
    if hat.kind == "beret":
        disc = head.blob((0.10, 0.42, -0.10), (0.54, 0.17, 0.52))
        band = head.shell((0, 0.08, -0.05), (0.405, 0.46, 0.47), ((-1, 0.25), (1, 0.52)))
        return [
            Part(HAT, Shape(shells=[band]), hat.cloth.plain(0.8), axis),
            Part(HAT, Shape(polys=[disc]), hat.cloth, axis, round=0.2),
        ]
    if hat.kind == "cap":
        shell = Shape(shells=[head.shell((0, 0.09, -0.05), (0.415, 0.47, 0.48), ((-1, 0.0), (1, 0.40)))])
        arc = np.radians(np.linspace(-78, 78, 13))
        rim = np.stack(
            [head.at(0.40 * np.sin(a), 0.22 - 0.07 * np.cos(a), 0.30 + 0.46 * np.cos(a) - 0.12) for a in arc]
        )
        root = np.stack([head.at(0.39 * np.sin(a), 0.27, 0.40 * np.cos(a) - 0.03) for a in arc])
        visor = Shape(polys=[hull(np.concatenate([rim, rim - head.axes[:, 1] * 0.035, root])[:, :2])])
        peak = Part(HAT, visor, Material((hat.accent,)), round=0.06, shadow=0.4)
        top = Part(HAT, shell, hat.cloth, axis, round=0.2)
        return [top, peak] if head.facing > -0.1 else [peak, top]
    brim = loft([ring(head, 0.27, 0.74, 0.78, -0.03), ring(head, 0.24, 0.74, 0.78, -0.03)])
    body = loft(
        [
            ring(head, 0.24, 0.42, 0.46, -0.05),
            ring(head, 0.42, 0.40, 0.44, -0.05),
            ring(head, 0.62, 0.33, 0.37, -0.05),
            ring(head, 0.66, 0.26, 0.30, -0.05),
        ]
    )
    ribbon = loft([ring(head, 0.24, 0.43, 0.47, -0.05), ring(head, 0.34, 0.425, 0.46, -0.05)])
    return [
        Part(HAT, brim, hat.cloth, axis, round=0.08, shadow=0.4),
        Part(HAT, body, hat.cloth, axis, round=0.18, shadow=0.2),
        Part(HAT, ribbon, accent, axis, round=0.14, shadow=0.0),
    ]
