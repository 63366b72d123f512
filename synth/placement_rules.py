"""Size and position of occluders: two rules for occluders in front of the person, and one for those behind.

"overlap" is the rule of the published training code for this task (`BOX_OVERLAP`): the cut-out has the size that the
ratio needs and is mostly within the bounding box of the person, at any height. Hidden regions are then often surrounded
by visible ones. "grounded" avoids floating objects: they have their usual size and stand on the ground in front of the
person or enter from the side. Whole legs or one whole side are then hidden, and their appearance is often ambiguous,
which makes the task harder.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from deocc_bench.synth.crop import Crop
from deocc_bench.synth.occluders.cutout import PreparedOccluder
from deocc_bench.synth.overlap import Counts

# Usual height in metres of objects that stand on the ground, relative to a person of 1.7 m.
_HEIGHTS_ON_GROUND = {
    "person": 1.7,
    "bicycle": 1.1,
    "car": 1.5,
    "motorcycle": 1.2,
    "bus": 3.0,
    "truck": 2.8,
    "boat": 1.6,
    "fire hydrant": 0.8,
    "parking meter": 1.4,
    "bench": 0.9,
    "cat": 0.35,
    "dog": 0.6,
    "horse": 1.8,
    "sheep": 0.9,
    "cow": 1.5,
    "elephant": 2.6,
    "bear": 1.4,
    "zebra": 1.4,
    "giraffe": 4.0,
    "suitcase": 0.7,
    "backpack": 0.5,
    "chair": 0.95,
    "couch": 0.9,
    "potted plant": 0.9,
    "lemur": 0.6,
    "drawn furniture": 0.9,
    "drawn foliage": 1.1,
    "drawn pole": 2.6,
    "drawn box": 0.9,
    "drawn polygon": 0.9,
    "drawn blob": 0.7,
}
RULES = ("overlap", "grounded")
BOX_OVERLAP = 0.4
"""Minimum share of the occluder's box inside the box of the person, as in the original training code."""

_PERSON = 1.7
_HELD = 0.45  # metres: objects that are held, hang or fly near the camera
_NEAR = 2.2  # objects in front are up to this factor nearer to the camera than the person


@dataclass(frozen=True)
class Size:
    """Output pixels per occluder pixel: the sampled scale and the maximum."""

    scale: float
    largest: float


def stands_on_ground(occluder: PreparedOccluder) -> bool:
    """Whether objects of this category usually stand on the ground."""
    return occluder.category in _HEIGHTS_ON_GROUND


def draw_size(
    rule: str,
    occluder: PreparedOccluder,
    scene: Crop,
    *,
    want: float,
    max_enlarge: float,
    rng: np.random.Generator,
) -> Size:
    """Sample a size that can hide `want` pixels; for "grounded", at least the usual size of an object in front."""
    grounded = rule == "grounded"
    natural = 0.0
    if grounded:
        nearness = math.exp(float(rng.random()) * math.log(_NEAR))
        natural = _natural_scale(occluder, scene) * nearness
    frame = max(scene.mask.shape)
    largest = min(max_enlarge, 1.6 * frame / max(occluder.height, occluder.width))
    # About half of an occluder hides the person; the rest extends beyond them.
    enough = math.sqrt(want * float(rng.uniform(1.2 if grounded else 1.05, 2.2)) / max(1, occluder.area))
    least = 12 / max(1, min(occluder.height, occluder.width))
    scale = min(max(natural, enough, least), largest)
    return Size(round(scale, 4), largest)


def draw_size_behind(occluder: PreparedOccluder, scene: Crop, max_enlarge: float, rng: np.random.Generator) -> float:
    """Sample a natural size for an object farther away than the person, but not a tiny one."""
    height, width = scene.mask.shape
    natural = _natural_scale(occluder, scene) * float(rng.uniform(0.6, 1.0))
    least = 0.2 * (scene.box[3] - scene.box[1]) / max(occluder.height, occluder.width)
    largest = min(max_enlarge, 1.2 * height / occluder.height, 1.2 * width / occluder.width)
    return round(min(max(natural, least), largest), 4)


def allowed_positions(
    rule: str,
    occluder: PreparedOccluder,
    scene: Crop,
    *,
    table: Counts,
    shape: tuple[int, int],
    rng: np.random.Generator,
) -> np.ndarray:
    """The positions in `table` that the rule allows for an occluder of `shape` (height, width): bool, as the table."""
    if rule == "overlap":
        return _overlapping_positions(scene, table, shape)
    return _grounded_positions(occluder, scene, table, shape, rng)


def _overlapping_positions(scene: Crop, table: Counts, shape: tuple[int, int]) -> np.ndarray:
    rows, columns = table.pixels.shape
    x0, y0, x1, y1 = scene.box
    top = table.y + np.arange(rows) * table.cell
    left = table.x + np.arange(columns) * table.cell
    tall = np.minimum(top + shape[0], y1) - np.maximum(top, y0)
    wide = np.minimum(left + shape[1], x1) - np.maximum(left, x0)
    common = np.maximum(tall, 0)[:, None] * np.maximum(wide, 0)
    return common >= BOX_OVERLAP * shape[0] * shape[1]


def _grounded_positions(
    occluder: PreparedOccluder, scene: Crop, table: Counts, shape: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    """Choose one of three cases at random. On the ground: the bottom of the occluder is at the feet of the person or
    lower, as for any nearer object. From the side: it enters from the left or right. Free: anywhere."""
    rows, columns = table.pixels.shape
    places = np.zeros((rows, columns), bool)
    draw = float(rng.random())
    if draw < (0.95 if stands_on_ground(occluder) else 0.3):
        tall = scene.box[3] - scene.box[1]
        feet = scene.box[3] - shape[0] - table.y
        first = math.ceil((feet - 0.02 * tall) / table.cell)
        last = math.floor((feet + 0.6 * tall) / table.cell)
        places[max(0, first) : max(0, min(rows, last + 1))] = True
    elif draw < 0.97:
        left = table.x + np.arange(columns) * table.cell
        places[:, (left < scene.frame[0]) | (left + shape[1] > scene.frame[2])] = True
    else:
        places[:] = True
    return places


def rows_behind(scene: Crop, table: Counts, shape: tuple[int, ...]) -> slice:
    """Rows of `table` where the bottom of an object is above the feet of the person, so it is farther away."""
    tall = scene.box[3] - scene.box[1]
    feet = scene.box[3] - shape[0] - table.y
    first = math.ceil((feet - 0.25 * tall) / table.cell)
    last = math.floor((feet - 0.03 * tall) / table.cell)
    return slice(max(0, first), max(0, min(table.pixels.shape[0], last + 1)))


def _natural_scale(occluder: PreparedOccluder, scene: Crop) -> float:
    """Scale at which the occluder has its usual size relative to the person."""
    metres = _HEIGHTS_ON_GROUND.get(occluder.category, _HELD)
    person = scene.box[3] - scene.box[1]
    # Objects much wider than tall (a boat, a dog lying down) are measured by their width.
    extent = max(occluder.height, 0.5 * occluder.width)
    return metres / _PERSON * person / extent
