"""`shapes[:N]`: drawn occluders, built in and free of rights: boxes, blobs, poles, furniture, foliage, umbrellas."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.errors import UsageError
from deocc_bench.core.seeding import rng as seeded
from deocc_bench.core.types import Occluder
from deocc_bench.synth.occluders import textures
from deocc_bench.synth.occluders.base import summary

DEFAULT_COUNT = 200
_FINE = 2  # drawn at twice the size, then halved: soft edges without a blur
Canvas = tuple[np.ndarray, np.ndarray]  # RGB uint8, mask uint8 0/255, both at drawing size


def open_source(argument: str, seed: int = 0, **_: Any) -> ShapeOccluders:
    """Open drawn shapes; `argument` is "" or the number of shapes."""
    if argument and not (argument.isdigit() and 0 < int(argument) <= 1_000_000):
        raise UsageError(f"--occluders shapes:{argument}: N must be a number from 1 to 1000000, e.g. shapes:200")
    return ShapeOccluders(int(argument or DEFAULT_COUNT), seed)


class ShapeOccluders:
    """`count` drawn occluders; the kinds alternate. Shape i does not depend on `count`.

    Args:
        count: number of shapes.
        seed: random seed; another seed produces other shapes with other ids.
    """

    kind = "shapes"

    def __init__(self, count: int = DEFAULT_COUNT, seed: int = 0) -> None:
        self.count, self.seed = count, seed
        self._ids = {f"shape-{seed}-{i:05d}": i for i in range(count)}

    def ids(self) -> list[str]:
        """The ids of all shapes, sorted."""
        return sorted(self._ids)

    def group_of(self, occluder_id: str) -> str:
        """The shape itself."""
        return occluder_id

    def category_of(self, occluder_id: str) -> str:
        """The kind of shape."""
        return list(DRAWERS)[self._ids[occluder_id] % len(DRAWERS)]

    def rejected(self) -> list[tuple[str, str]]:
        """Empty: no shape is rejected."""
        return []

    def describe(self) -> dict[str, Any]:
        """Counts, licence and seed."""
        return summary(self, Counter({"Apache-2.0": self.count}), seed=self.seed)

    def load(self, occluder_id: str) -> Occluder:
        """Draw the shape; takes 5 to 30 ms."""
        generator = seeded(self.seed, "shape", self._ids[occluder_id])
        category = self.category_of(occluder_id)
        image, mask = DRAWERS[category](generator)
        size = (image.shape[1] // _FINE, image.shape[0] // _FINE)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)
        x0, y0, x1, y1 = masks.tight_box(alpha > 0) or (0, 0, 0, 0)
        return Occluder(
            id=occluder_id,
            group_id=occluder_id,
            image=np.ascontiguousarray(image[y0:y1, x0:x1]),
            alpha=alpha[y0:y1, x0:x1].astype(np.float32) / np.float32(255),
            category=category,
            licence="Apache-2.0",
            source=self.kind,
        )


def _box(rng: np.random.Generator) -> Canvas:
    """A crate, wall or board with rounded corners, lit from one side."""
    height, width = int(rng.integers(200, 560)), int(rng.integers(200, 560))
    mask = np.zeros((height, width), np.uint8)
    radius = int(rng.integers(1, min(height, width) // 4))
    corners = [(radius, radius), (width - 1 - radius, radius), (radius, height - 1 - radius)]
    corners.append((width - 1 - radius, height - 1 - radius))
    for corner in corners:
        cv2.circle(mask, corner, radius, 255, -1)
    mask[radius : height - radius] = 255
    mask[:, radius : width - radius] = 255
    return _lit(rng, textures.surface(rng, height, width), mask), mask


def _ellipse(rng: np.random.Generator) -> Canvas:
    """A ball or balloon with round shading."""
    height, width = int(rng.integers(240, 520)), int(rng.integers(240, 520))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    v, u = (y - height / 2) / (height / 2 - 2), (x - width / 2) / (width / 2 - 2)
    away = u * u + v * v
    side = rng.uniform(-0.6, 0.6)
    depth = np.sqrt(np.clip(1 - away, 0, 1))
    light = np.clip(0.45 + 0.6 * np.clip(depth * 0.7 - v * 0.55 + u * side, 0, 1), 0, 1.15)
    base = textures.surface(rng, height, width)
    return textures.to_bytes(base * light[..., None]), np.where(away <= 1, 255, 0).astype(np.uint8)


def _blob(rng: np.random.Generator) -> Canvas:
    """A smooth closed outline: a sack, a stone, a cushion."""
    size = int(rng.integers(300, 520))
    theta = np.arange(180) * (2 * math.pi / 180)
    radius = np.ones_like(theta)
    for k in range(2, 7):
        radius += rng.normal(0, 0.22 / k) * np.cos(k * theta + rng.random() * 6.28)
    radius = np.clip(radius, 0.4, 1.6) * size * 0.3
    stretch = rng.uniform(0.7, 1.4)
    points = np.stack(
        [size / 2 + radius * np.cos(theta) * stretch**0.5, size / 2 + radius * np.sin(theta) / stretch**0.5]
    )
    mask = _fill(size, size, points.T)
    return _lit(rng, textures.surface(rng, size, size), mask), mask


def _polygon(rng: np.random.Generator) -> Canvas:
    """An angular object with two faces."""
    size = int(rng.integers(260, 500))
    count = int(rng.integers(3, 8))
    theta = np.sort(rng.random(count) * 0.6 + np.arange(count)) * (2 * math.pi / count)
    radius = rng.uniform(0.6, 1.0, count) * (size / 2 - 4)
    points = np.stack([size / 2 + radius * np.cos(theta), size / 2 + radius * np.sin(theta)], axis=1)
    mask = _fill(size, size, points)
    image = textures.surface(rng, size, size)
    face = np.concatenate([points[: count // 2 + 1], [[size / 2, size / 2]]])
    dark = _fill(size, size, face) > 0
    image[dark] = textures.to_bytes(image[dark] * 0.72)
    return _lit(rng, image, mask), mask


def _pole(rng: np.random.Generator) -> Canvas:
    """A post, often with a sign or lamp on it."""
    height, thick = int(rng.integers(480, 720)), int(rng.integers(36, 100))
    width = int(thick * rng.uniform(1.5, 4.0)) if rng.random() < 0.6 else thick
    x = np.abs(np.arange(width) - width / 2) / (thick / 2)
    round_light = np.clip(1.1 - 0.5 * x * x, 0.4, 1.1)
    image = textures.to_bytes(textures.surface(rng, height, width) * round_light[None, :, None])
    mask = np.zeros((height, width), np.uint8)
    cv2.rectangle(mask, (width // 2 - thick // 2, 0), (width // 2 + thick // 2, height - 1), 255, -1)
    if width > thick * 1.3:
        top = int(rng.integers(width // 2, width))
        sign = np.zeros_like(mask)
        if rng.random() < 0.5:
            cv2.circle(sign, (width // 2, width // 2), width // 2 - 1, 255, -1)
        else:
            cv2.rectangle(sign, (0, 0), (width - 1, top), 255, -1)
        image[sign > 0] = textures.surface(rng, height, width)[sign > 0]
        mask |= sign
    return image, mask


def _furniture(rng: np.random.Generator) -> Canvas:
    """A chair, stool or bench from the front: a seat on legs, with or without a back."""
    width, height = int(rng.integers(280, 620)), int(rng.integers(320, 560))
    mask = np.zeros((height, width), np.uint8)
    shade = np.ones((height, width))
    leg = int(rng.integers(16, 40))
    seat = int(height * rng.uniform(0.35, 0.6))
    thick = int(rng.integers(24, 60))
    for x in (0, width - leg, int(width * 0.12), int(width * 0.88) - leg):
        inner = 0 < x < width - leg
        foot = height - 1 if not inner else int(height * 0.93)
        cv2.rectangle(mask, (x, seat), (x + leg, foot), 255, -1)
        if inner:
            shade[seat:, x : x + leg] = 0.6
    cv2.rectangle(mask, (0, seat), (width - 1, seat + thick), 255, -1)
    shade[seat : seat + thick] = 1.1
    if rng.random() < 0.75:
        if rng.random() < 0.5:
            cv2.rectangle(mask, (leg // 2, 0), (width - 1 - leg // 2, seat), 255, -1)
        else:
            cv2.rectangle(mask, (leg // 2, 0), (width - 1 - leg // 2, thick), 255, -1)
            for x in np.linspace(leg // 2, width - 1 - leg - leg // 2, int(rng.integers(3, 7))):
                cv2.rectangle(mask, (int(x), 0), (int(x) + leg, seat), 255, -1)
        shade[:seat] = 0.9
    if rng.random() < 0.5:  # closed below, like a chest
        cv2.rectangle(mask, (leg, seat), (width - 1 - leg, int(height * rng.uniform(0.8, 1.0))), 255, -1)
    image = textures.surface(rng, height, width, "wood" if rng.random() < 0.5 else None)
    return textures.to_bytes(image * shade[..., None]), mask


def _foliage(rng: np.random.Generator) -> Canvas:
    """A bush or plant: many leaves, each with its own green, some on a stem or in a pot."""
    size = int(rng.integers(380, 600))
    image = np.zeros((size, size, 3), np.uint8)
    mask = np.zeros((size, size), np.uint8)
    green = np.array([rng.uniform(40, 110), rng.uniform(90, 160), rng.uniform(30, 80)])
    potted = rng.random() < 0.5
    middle = np.array([size / 2, size * (0.36 if potted else 0.5)])
    spread = size * (0.3 if potted else 0.4)
    if potted:
        pot = textures.surface(rng, size, size, "plain")
        points = np.array([[0.34, 0.66], [0.66, 0.66], [0.6, 0.98], [0.4, 0.98]]) * size
        here = _fill(size, size, points) > 0
        image[here] = pot[here]
        mask[here] = 255
        cv2.line(image, (size // 2, int(size * 0.7)), (int(middle[0]), int(middle[1])), (70, 55, 35), 14)
        cv2.line(mask, (size // 2, int(size * 0.7)), (int(middle[0]), int(middle[1])), 255, 14)
    long = size * rng.uniform(0.07, 0.15)
    slim = rng.uniform(0.3, 0.6)
    count = int(rng.integers(160, 260))
    for i in range(count):
        away = math.sqrt(rng.random()) * spread
        turn = rng.random() * 2 * math.pi
        centre = middle + away * np.array([math.cos(turn), math.sin(turn) * 0.9])
        axes = (max(2, int(long * rng.uniform(0.6, 1.1))), max(2, int(long * slim * rng.uniform(0.6, 1.1))))
        tone = green * (0.45 + 0.75 * i / count) * rng.uniform(0.8, 1.15)
        spot = (int(centre[0]), int(centre[1]))
        tilt = math.degrees(turn) + rng.normal(0, 40)
        cv2.ellipse(image, spot, axes, tilt, 0, 360, [float(v) for v in np.clip(tone, 0, 255)], -1)
        cv2.ellipse(mask, spot, axes, tilt, 0, 360, 255, -1)
    grain = rng.standard_normal((size, size, 1)) * 6
    return textures.to_bytes(image + grain), mask


def _umbrella(rng: np.random.Generator) -> Canvas:
    """A canopy of coloured panels on a stick."""
    width = int(rng.integers(420, 640))
    dome = int(width * rng.uniform(0.32, 0.5))
    height = int(dome + width * rng.uniform(0.3, 0.6))
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    u = (x - width / 2) / (width / 2 - 2)
    panels = int(rng.integers(5, 9))
    scallop = 0.06 * np.abs(np.sin(u * panels * math.pi / 2))
    v = (dome - y) / dome
    canopy = (u * u + v * v <= 1) & (v >= scallop)
    base = np.stack([textures.colour(rng), textures.colour(rng)])
    # Panels narrow towards the top, where their seams meet.
    seam = np.floor((u / np.sqrt(np.clip(1 - v * v, 0.02, 1)) + 1) / 2 * panels).astype(np.intp) % 2
    light = 0.6 + 0.4 * np.clip(v + 0.3 * u, 0, 1)
    image = textures.to_bytes(base[seam] * light[..., None] + rng.standard_normal((height, width, 1)) * 3)
    mask = np.where(canopy, 255, 0).astype(np.uint8)
    stick = (np.abs(x - width / 2) < 6) & (y > dome * 0.5) & ~canopy
    image[stick] = (52, 46, 42)
    mask[stick] = 255
    return image, mask


DRAWERS: dict[str, Callable[[np.random.Generator], Canvas]] = {
    "drawn box": _box,
    "drawn ellipse": _ellipse,
    "drawn furniture": _furniture,
    "drawn blob": _blob,
    "drawn foliage": _foliage,
    "drawn pole": _pole,
    "drawn umbrella": _umbrella,
    "drawn polygon": _polygon,
}


def _fill(height: int, width: int, points: np.ndarray) -> np.ndarray:
    """uint8 0/255 mask of a polygon of float (x, y) points."""
    return cv2.fillPoly(np.zeros((height, width), np.uint8), [np.rint(points).astype(np.int32)], 255)


def _lit(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Add light from one side and a darker rim, so that a flat texture looks like a solid object."""
    height, width = mask.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    slope = rng.uniform(-0.3, 0.3) * (x / width - 0.5) - rng.uniform(0.05, 0.3) * (y / height - 0.5)
    depth = cv2.distanceTransform(np.pad(mask, 1), cv2.DIST_L1, 3)[1:-1, 1:-1].astype(np.float64)
    rim = np.clip(depth / (0.12 * min(height, width)), 0, 1)
    return textures.to_bytes(image * (0.78 + 0.26 * rim + slope)[..., None])
