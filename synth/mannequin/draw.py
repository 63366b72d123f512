"""Draws one mannequin: seed and index in, a human with exact parsing out."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from deocc_bench.core import images  # noqa: F401  (disables IPP, whose results depend on the processor)
from deocc_bench.core.errors import InputError
from deocc_bench.core.seeding import rng as make_rng
from deocc_bench.core.types import Human
from deocc_bench.synth.mannequin.backdrop import backdrop, cast_shadow, stool
from deocc_bench.synth.mannequin.body import Skeleton, pose_body, sample_build
from deocc_bench.synth.mannequin.chance import pick
from deocc_bench.synth.mannequin.figure import build_parts, seat_colour
from deocc_bench.synth.mannequin.garments import sample_outfit
from deocc_bench.synth.mannequin.paint import SUPERSAMPLE, Canvas, wrinkle_tile
from deocc_bench.synth.mannequin.poses import AIRBORNE, SEATED, sample_pose
from deocc_bench.synth.mannequin.shapes import Frame

LICENCE = "CC0-1.0"
SOURCE = "mannequin"
SIZE = (384, 288)
SMALLEST, LARGEST = 64, 2048
VIEWS = {
    0.0: 0.34,
    28.0: 0.11,
    -28.0: 0.11,
    60.0: 0.06,
    -60.0: 0.06,
    90.0: 0.08,
    -90.0: 0.08,
    180.0: 0.10,
    150.0: 0.03,
    -150.0: 0.03,
}
"""Directions the figure may face (0 the viewer, 90 the viewer's right, 180 away) and their weights."""


def draw(seed: int, index: int, size: tuple[int, int] = SIZE) -> Human:
    """Draw one human. The same arguments produce the same bytes on every machine.

    Args:
        seed: random seed of the population.
        index: index of the human in the population, 0 or more.
        size: (height, width) of the picture, each 64..2048.

    Returns:
        A `Human` with LIP parsing; left and right are the person's own.

    Raises:
        InputError: the size or the index is out of range.
    """
    check_size(size)
    if index < 0:
        raise InputError("mannequin", f"index {index} is negative", "count from 0")
    rng = make_rng(seed, "mannequin", index)
    build = sample_build(rng)
    pose, angles = sample_pose(rng)
    yaw = pick(rng, VIEWS) + float(rng.uniform(-14, 14))
    sk = pose_body(build, pose, angles, yaw, pitch=float(rng.uniform(4, 11)))
    outfit = sample_outfit(rng, build)
    parts = build_parts(sk, outfit, rng)
    boxes = [part.shape.box() for part in parts]
    frame = fit(boxes, size, rng)
    light = pick(rng, ((-0.78, -0.62), (0.78, -0.62), (-0.4, -0.92), (0.4, -0.92)))
    canvas = Canvas(frame, light, wrinkle_tile(rng))
    for part, box in zip(parts, boxes, strict=True):
        canvas.paint(part, box)
    rgb, cover, parsing = canvas.finish()
    scene = _scene(rng, sk, frame, size)
    picture = _grain(rng, _over(rgb, cover, scene))
    name = f"{SOURCE}-{index:06d}"
    return Human(name, name, picture, parsing > 0, parsing, LICENCE, SOURCE)


def check_size(size: tuple[int, int]) -> None:
    """Raise InputError if (height, width) is out of range for a figure."""
    if len(size) != 2 or not all(isinstance(n, (int, np.integer)) and SMALLEST <= n <= LARGEST for n in size):
        raise InputError("mannequin", f"size {size} is not (height, width) in {SMALLEST}..{LARGEST}", "e.g. (384, 288)")


def fit(boxes: list[tuple[float, float, float, float]], size: tuple[int, int], rng: np.random.Generator) -> Frame:
    """A frame around all boxes (hu) with a margin: 60 to 90 % of the height, less if the figure is wide."""
    h, w = size
    corners = np.array(boxes)
    x0, y0 = corners[:, :2].min(axis=0)
    x1, y1 = corners[:, 2:].max(axis=0)
    wanted = float(rng.uniform(0.66, 0.90)) * h / (y1 - y0)
    # Rims are drawn up to a sub-pixel wide of the geometry; 4 % and 3 pixels keep clear of the border.
    scale = min(wanted, (w * 0.92 - 6) / (x1 - x0), (h * 0.92 - 6) / (y1 - y0))
    free_x, free_y = w - scale * (x1 - x0), h - scale * (y1 - y0)
    left = free_x * (0.5 + 0.5 * float(rng.uniform(-1, 1)) * max(0.0, 1 - 0.09 * w / free_x))
    top = free_y * (0.5 + 0.5 * float(rng.uniform(-0.6, 0.9)) * max(0.0, 1 - 0.09 * h / free_y))
    left, top = min(max(left, 3.0), free_x - 3), min(max(top, 3.0), free_y - 3)
    k = SUPERSAMPLE
    # Rounded, so that a last bit of double precision can't move a pixel.
    scale = math.floor(scale * k * 1024) / 1024
    x, y = left * k - x0 * scale, top * k - y0 * scale
    return Frame(scale, round(x * 16) / 16, round(y * 16) / 16, h * k, w * k)


def _scene(rng: np.random.Generator, sk: Skeleton, frame: Frame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The background with a seat and the ground shadow below the figure."""
    h, _ = size
    k = SUPERSAMPLE
    scale = frame.scale / k

    def pixel(x: float, y: float) -> tuple[float, float]:
        return x * scale + frame.x0 / k, y * scale + frame.y0 / k

    # Shadows lie below each foot, at the level of the lower foot; below a jumping figure the level is lower.
    level = sk.ground - (0.45 if sk.pose in AIRBORNE else 0.0)
    soles = [leg.joints[2] + leg.tip[:, 2] * 0.2 for leg in sk.legs.values()]
    feet = [pixel(*(p + sk.up * (level - float((p * sk.up).sum())))[:2]) for p in soles]
    ground = min(max(y for _, y in feet), h - 3.0)
    scene = backdrop(rng, size, int(ground))
    spots = [(x, min(y, h - 2.0), 0.55 * scale, 0.11 * scale) for x, y in feet]
    colour, solid = seat_colour(rng), bool(rng.random() < 0.5)
    strength = float(rng.uniform(0.3, 0.6))
    if sk.pose in SEATED:
        thigh = (sk.legs["l"].joints[1] + sk.legs["r"].joints[1]) / 2
        x, _ = pixel(*(thigh * 0.28)[:2])
        half = 0.85 * scale * max(0.6, sk.build.thigh / 1.8)
        rump = pixel(0.0, float(-sk.up[1]) * 0.30 * sk.build.leg_girth)[1]
        spots.append((x, ground, half * 1.1, 0.12 * scale))
        scene = cast_shadow(scene, spots, strength)
        stool(scene, (x - half, rump, x + half, ground + 1), colour, solid)
        return scene
    mid = (sum(x for x, _ in feet) / 2, sum(y for _, y in feet) / 2)
    spots.append((mid[0], min(mid[1], h - 2.0), abs(feet[0][0] - feet[1][0]) / 2 + 0.5 * scale, 0.10 * scale))
    return cast_shadow(scene, spots, strength)


def _over(rgb: NDArray[np.uint8], cover: NDArray[np.uint8], scene: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Blend the figure over the scene; `rgb` is premultiplied by cover / 4."""
    x, y, w, h = cv2.boundingRect(cover)
    view = (slice(y, y + h), slice(x, x + w))
    out = scene.copy()
    rest = scene[view].astype(np.uint16) * (4 - cover[view].astype(np.uint16))[..., None]
    figure = np.where(cover[view][..., None] > 0, rgb[view], 0)
    out[view] = np.minimum(figure + ((rest + 2) >> 2), 255).astype(np.uint8)
    return out


def _grain(rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add a little sensor noise."""
    amount = int(rng.integers(2, 6))
    noise = rng.integers(0, 2 * amount + 1, image.shape[:2], dtype=np.uint8)
    return cv2.subtract(cv2.add(image, cv2.merge([noise] * 3)), (amount, amount, amount, 0))


class MannequinSource:
    """A population of drawn humans, as a source of `synth`.

    Args:
        count: number of humans.
        seed: random seed of the population.
        size: (height, width) of every picture.
    """

    def __init__(self, count: int = 1000, seed: int = 0, size: tuple[int, int] = SIZE) -> None:
        if count < 1:
            raise InputError("mannequin", f"count {count} is below 1", "ask for at least one human")
        check_size(size)
        self.count, self.seed, self.size = count, seed, size

    def ids(self) -> list[str]:
        """All ids in order."""
        return [f"{SOURCE}-{i:06d}" for i in range(self.count)]

    def load(self, id: str) -> Human:
        """Draw the human with this id; raises InputError if it is not one of `ids()`."""
        prefix, _, digits = id.rpartition("-")
        if prefix != SOURCE or not digits.isdecimal() or len(digits) < 6 or int(digits) >= self.count:
            raise InputError("mannequin", f"no human {id!r}", f"use {SOURCE}-000000 to {SOURCE}-{self.count - 1:06d}")
        return draw(self.seed, int(digits), self.size)

    def describe(self) -> dict[str, object]:
        """Kind, settings and licence, for the provenance of a dataset."""
        return {
            "kind": SOURCE,
            "count": self.count,
            "seed": self.seed,
            "size": list(self.size),
            "licence": LICENCE,
            "parsing": "LIP",
        }
