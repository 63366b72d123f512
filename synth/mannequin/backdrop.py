"""Backgrounds: drawn rooms, streets, parks and plain backdrops, with the figure's shadow on the ground."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from deocc_bench.synth.mannequin.chance import pick
from deocc_bench.synth.mannequin.paint import Colour, mix, tone

Image = NDArray[np.uint8]

_WALLS: tuple[Colour, ...] = (
    (222, 214, 200), (196, 208, 206), (188, 178, 196), (206, 186, 168), (150, 168, 180), (116, 130, 124),
    (232, 228, 220), (178, 140, 124), (92, 104, 120), (214, 200, 150),
)  # fmt: skip
_SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((120, 172, 218), (212, 230, 240)), ((150, 170, 190), (214, 218, 220)), ((226, 170, 140), (246, 224, 190)),
    ((92, 130, 190), (190, 212, 232)), ((60, 66, 104), (214, 150, 130)),
)  # fmt: skip


_HEIGHT = 384


def gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image:
    """A vertical gradient, uint8 H x W x 3."""
    h, w = size
    t = np.arange(h, dtype=np.int64)[:, None]
    column = (np.array(top) * (h - 1 - t) + np.array(bottom) * t) // max(h - 1, 1)
    return np.ascontiguousarray(np.broadcast_to(column[:, None, :], (h, w, 3)).astype(np.uint8))


def cloud(rng: np.random.Generator, size: tuple[int, int], cells: int, octaves: int = 3) -> NDArray[np.int16]:
    """Smooth noise, int16 H x W in about -128..127; `cells` cells across the width in the coarsest octave."""
    h, w = size
    total = np.zeros(size, np.int32)
    for k in range(octaves):
        n = cells << k
        grid = rng.integers(0, 256, (max(2, n * h // w), max(2, n))).astype(np.uint8)
        total += cv2.resize(grid, (w, h), interpolation=cv2.INTER_LINEAR_EXACT).astype(np.int32) * (
            1 << (octaves - 1 - k)
        )
    return (total // ((1 << octaves) - 1) - 128).astype(np.int16)


def add(image: Image, change: NDArray[np.int16]) -> Image:
    """Add an H x W change to every channel of the image."""
    return np.clip(image.astype(np.int16) + change[..., None], 0, 255).astype(np.uint8)


def _rect(image: Image, x0: float, y0: float, x1: float, y1: float, *, colour: Colour) -> None:
    cv2.rectangle(image, (round(x0), round(y0)), (round(x1), round(y1)), colour, -1)


def _disc(image: Image, x: float, y: float, rx: float, ry: float, *, colour: Colour) -> None:
    cv2.ellipse(image, (round(x), round(y)), (max(1, round(rx)), max(1, round(ry))), 0, 0, 360, colour, -1, cv2.LINE_AA)


def _receding_lines(image: Image, top: int, *, count: int, far: float, near: float, colour: Colour) -> None:
    """Lines on the floor that run towards the viewer, from `top` to the image's foot.

    `count` on each side of the middle one; `far`, `near`: their distance there, as a share of the image's width.
    """
    h, w = image.shape[:2]
    for k in range(-count, count + 1):
        start, end = (round(w / 2 + k * w * far), top), (round(w / 2 + k * w * near), h)
        cv2.line(image, start, end, colour, 1, cv2.LINE_AA)


def _poly(image: Image, points: list[tuple[float, float]], colour: Colour) -> None:
    pts = np.array([(round(x * 16), round(y * 16)) for x, y in points], np.int32)
    cv2.fillPoly(image, [pts], colour, cv2.LINE_AA, 4)


def studio(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """A paper sweep with a soft vignette."""
    h, w = size
    base = pick(rng, _WALLS)
    image = gradient(size, tone(base, 1.1), tone(base, 0.86))
    sweep = gradient((h - floor, w), tone(base, 0.98), tone(base, 1.08)) if floor < h else image[:0]
    image[floor:] = sweep
    return cv2.blur(image, (1, 31))


def mist(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """Smooth coloured noise."""
    del floor
    a, b = pick(rng, _WALLS), pick(rng, _WALLS)
    t = np.clip(cloud(rng, size, int(rng.integers(2, 7)), 4).astype(np.int32) + 128, 0, 255)[..., None]
    return ((np.array(a) * (255 - t) + np.array(b) * t) // 255).astype(np.uint8)


def room(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """A wall with a picture, window, shelf or plant, a skirting board and floorboards."""
    h, w = size
    wall = pick(rng, _WALLS)
    image = gradient(size, tone(wall, 1.04), tone(wall, 0.92))
    if rng.random() < 0.35:
        step = int(rng.integers(10, 28))
        for band in range(int(rng.integers(0, step)), w, step):
            _rect(image, band, 0, band + step * 0.4, floor, colour=tone(wall, 0.95))
    for side in (0, 1):
        x = w * (0.06 + 0.58 * side + 0.08 * rng.random())
        y, ww, hh = h * (0.08 + 0.14 * rng.random()), w * (0.2 + 0.12 * rng.random()), h * (0.2 + 0.16 * rng.random())
        kind = pick(rng, ("picture", "window", "shelf", "plant", "lamp", "none"))
        if kind == "picture":
            _rect(
                image,
                x - 3,
                y - 3,
                x + ww + 3,
                y + hh + 3,
                colour=pick(rng, ((70, 56, 44), (40, 40, 44), (220, 214, 200))),
            )
            image[round(y) : round(y + hh), round(x) : round(x + ww)] = pick(rng, _WALLS)
            _disc(image, x + ww * 0.5, y + hh * 0.6, ww * 0.3, hh * 0.25, colour=pick(rng, _WALLS))
        elif kind == "window":
            _rect(image, x - 4, y - 4, x + ww + 4, y + hh * 1.3 + 4, colour=(236, 234, 228))
            sky = pick(rng, _SKIES)
            _rect(image, x, y, x + ww, y + hh * 1.3, colour=sky[1])
            _rect(image, x, y, x + ww, y + hh * 0.6, colour=sky[0])
            _rect(image, x + ww / 2 - 2, y, x + ww / 2 + 2, y + hh * 1.3, colour=(236, 234, 228))
        elif kind == "shelf":
            for k in range(3):
                yy = y + hh * (0.4 + 0.55 * k)
                _rect(image, x, yy, x + ww, yy + 4, colour=(112, 82, 58))
                xx = x
                while xx < x + ww - 8:
                    b = float(rng.uniform(4, 9))
                    _rect(image, xx, yy - float(rng.uniform(14, 26)), xx + b, yy - 1, colour=pick(rng, _WALLS))
                    xx += b + 1
        elif kind == "plant":
            _poly(
                image,
                [
                    (x + ww * 0.3, floor - 30),
                    (x + ww * 0.7, floor - 30),
                    (x + ww * 0.62, floor + 6),
                    (x + ww * 0.38, floor + 6),
                ],
                (164, 96, 66),
            )
            for _ in range(9):
                dx, dy = float(rng.uniform(-0.5, 0.5)) * ww, float(rng.uniform(30, 100))
                _poly(
                    image,
                    [
                        (x + ww * 0.5, floor - 28),
                        (x + ww * 0.5 + dx * 0.4, floor - 40 - dy * 0.7),
                        (x + ww * 0.5 + dx, floor - 40 - dy),
                    ],
                    (60 + int(dy) // 3, 112, 70),
                )
        elif kind == "lamp":
            _rect(image, x + ww * 0.48, y + hh * 0.6, x + ww * 0.52, floor, colour=(60, 56, 54))
            _poly(
                image,
                [(x + ww * 0.3, y), (x + ww * 0.7, y), (x + ww * 0.85, y + hh * 0.6), (x + ww * 0.15, y + hh * 0.6)],
                (240, 222, 170),
            )
    boards = pick(rng, ((150, 112, 78), (110, 82, 60), (176, 150, 120), (120, 120, 122), (188, 180, 168)))
    image[floor:] = gradient((h - floor, w), tone(boards, 0.9), tone(boards, 1.1))
    _rect(image, 0, floor - 5, w, floor, colour=tone(wall, 1.12))
    _receding_lines(image, floor, count=8, far=0.10, near=0.26, colour=tone(boards, 0.86))
    return image


def street(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """House fronts, a kerb and a pavement."""
    h, w = size
    image = gradient(size, *pick(rng, _SKIES))
    x = -float(rng.uniform(0, 40))
    while x < w:
        width = float(rng.uniform(0.22, 0.42)) * w
        top = float(rng.uniform(-0.1, 0.4)) * h
        wall = pick(rng, _WALLS)
        _rect(image, x, top, x + width, floor, colour=wall)
        _rect(image, x, top, x + width, top + 5, colour=tone(wall, 0.8))
        cols, pitch = int(rng.integers(2, 5)), float(rng.uniform(30, 46))
        glass = pick(rng, ((74, 92, 108), (120, 146, 164), (226, 206, 150), (60, 66, 76)))
        for i in range(cols):
            wx = x + width * (i + 0.22) / cols
            wy = top + 16
            while wy < floor - pitch * 1.1:
                _rect(image, wx, wy, wx + width * 0.56 / cols, wy + pitch * 0.56, colour=glass)
                _rect(image, wx, wy, wx + width * 0.56 / cols, wy + 3, colour=tone(glass, 0.7))
                wy += pitch
        if rng.random() < 0.6:
            _rect(image, x + width * 0.38, floor - 52, x + width * 0.62, floor, colour=tone(wall, 0.5))
        x += width
    stone = pick(rng, ((168, 166, 162), (146, 144, 146), (178, 168, 152)))
    image[floor:] = gradient((h - floor, w), tone(stone, 0.92), tone(stone, 1.04))
    _rect(image, 0, floor, w, floor + 3, colour=tone(stone, 0.7))
    y, step = floor + 12.0, 14.0
    while y < h:
        cv2.line(image, (0, round(y)), (w, round(y)), tone(stone, 0.88), 1)
        y, step = y + step, step * 1.35
    _receding_lines(image, floor + 3, count=7, far=0.12, near=0.3, colour=tone(stone, 0.9))
    return image


def park(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """Sky, hills, trees, grass and perhaps a path."""
    h, w = size
    image = gradient(size, *pick(rng, _SKIES))
    for _ in range(4):
        cx, cy = float(rng.uniform(0, w)), float(rng.uniform(0.04, 0.28)) * h
        for k in range(4):
            _disc(image, cx + (k - 1.5) * 14, cy - 5 * (k % 2), 20, 9, colour=(242, 244, 246))
    green = pick(rng, ((104, 140, 84), (126, 150, 78), (84, 122, 92), (170, 156, 84), (222, 226, 232)))
    for k, f in ((0, 0.72), (1, 0.86)):
        pts = (
            [(-10.0, float(h))]
            + [(w * i / 5, floor - h * float(rng.uniform(0.04, 0.2)) * (1 - 0.5 * k)) for i in range(6)]
            + [(w + 10.0, float(h))]
        )
        _poly(image, pts, mix(tone(green, f), (190, 206, 216), 0.4 - 0.3 * k))
    for _ in range(int(rng.integers(3, 8))):
        x, y, s = float(rng.uniform(0, w)), floor + float(rng.uniform(-8, 6)), float(rng.uniform(0.5, 1.2))
        leaf = tone(
            pick(rng, ((58, 98, 58), (84, 118, 56), (130, 110, 50), (44, 84, 70))), float(rng.uniform(0.85, 1.15))
        )
        _rect(image, x - 4 * s, y - 60 * s, x + 4 * s, y, colour=(88, 66, 50))
        if rng.random() < 0.3:
            _poly(image, [(x, y - 170 * s), (x + 34 * s, y - 36 * s), (x - 34 * s, y - 36 * s)], leaf)
            continue
        for _ in range(7):
            dx, dy = float(rng.uniform(-26, 26)) * s, float(rng.uniform(-135, -70)) * s
            _disc(image, x + dx, y + dy, 26 * s, 22 * s, colour=tone(leaf, float(rng.uniform(0.85, 1.18))))
    image[floor:] = gradient((h - floor, w), tone(green, 0.86), tone(green, 1.06))
    if rng.random() < 0.5:
        c = w * float(rng.uniform(0.3, 0.7))
        _poly(image, [(c - 14, floor), (c + 14, floor), (c + w * 0.5, h), (c - w * 0.5, h)], (188, 172, 142))
    speckle = cloud(rng, (h - floor, w), 60, 2) // 10 if h - floor > 4 else None
    if speckle is not None:
        image[floor:] = add(image[floor:], speckle)
    return image


def shore(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """Sky, sea and sand."""
    h, w = size
    sky = pick(rng, _SKIES)
    image = gradient(size, *sky)
    sea = pick(rng, ((66, 122, 148), (84, 150, 164), (70, 96, 124)))
    horizon = round(floor - h * float(rng.uniform(0.12, 0.3)))
    image[horizon:] = gradient((h - horizon, w), mix(sea, sky[1], 0.3), sea)
    for _ in range(26):
        y = int(rng.integers(horizon + 2, max(floor, horizon + 3)))
        x = int(rng.integers(0, w))
        cv2.line(image, (x, y), (x + int(rng.integers(8, 40)), y), tone(sea, 1.2), 1)
    sand = pick(rng, ((222, 202, 160), (200, 184, 150), (232, 220, 190)))
    _poly(
        image,
        [
            (0.0, float(h)),
            (0.0, floor - 4.0),
            (w * 0.3, floor + 2.0),
            (w * 0.7, floor - 6.0),
            (float(w), floor + 1.0),
            (float(w), float(h)),
        ],
        sand,
    )
    return add(image, cloud(rng, size, 50, 2) // 18)


def brick(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """A brick or tiled wall above a plain ground."""
    h, w = size
    base = pick(rng, ((164, 92, 72), (186, 176, 166), (120, 108, 104), (206, 196, 178), (112, 132, 140)))
    bw, bh = int(rng.integers(22, 44)), int(rng.integers(9, 22))
    y, x = np.arange(h)[:, None], np.arange(w)[None, :]
    row = y // bh
    col = (x + (row % 2) * (bw // 2)) // bw
    tint = ((row * 7919 + col * 104729) % 37) - 18
    image = add(np.full((h, w, 3), base, np.uint8), tint.astype(np.int16))
    joint = (y % bh == 0) | ((x + (row % 2) * (bw // 2)) % bw == 0)
    image[joint] = tone(base, 0.75)
    ground = pick(rng, ((128, 126, 124), (96, 94, 96), (160, 152, 140)))
    image[floor:] = gradient((h - floor, w), tone(ground, 0.85), tone(ground, 1.08))
    return add(image, cloud(rng, size, 4, 4) // 8)


def night(rng: np.random.Generator, size: tuple[int, int], floor: int) -> Image:
    """Out-of-focus lights."""
    h, w = size
    base = pick(rng, ((34, 36, 52), (50, 40, 52), (28, 48, 56), (60, 52, 46)))
    image = gradient(size, base, tone(base, 1.5))
    glow = np.zeros_like(image)
    for _ in range(int(rng.integers(14, 34))):
        lamp = pick(rng, ((250, 206, 130), (246, 150, 110), (150, 196, 240), (240, 236, 210), (220, 120, 150)))
        r = float(rng.uniform(4, 17))
        spot = tone(lamp, float(rng.uniform(0.25, 0.7)))
        _disc(glow, float(rng.uniform(0, w)), float(rng.uniform(0, floor)), r, r, colour=spot)
    image = cv2.add(image, cv2.blur(glow, (3, 3)))
    image[floor:] = gradient((h - floor, w), tone(base, 1.2), tone(base, 2.0))
    return image


SCENES: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int], int], Image], float]] = {
    "studio": (studio, 0.13),
    "mist": (mist, 0.09),
    "room": (room, 0.23),
    "street": (street, 0.19),
    "park": (park, 0.16),
    "shore": (shore, 0.07),
    "brick": (brick, 0.08),
    "night": (night, 0.05),
}
"""Name: (painter, share)."""


def backdrop(rng: np.random.Generator, size: tuple[int, int], ground: int) -> Image:
    """A background, uint8 H x W x 3; the floor begins above the figure's lowest point, row `ground`."""
    h, w = size
    name = pick(rng, {k: share for k, (_, share) in SCENES.items()})
    # Lengths in the scenes are pixels of a picture of this height.
    high, wide = _HEIGHT, max(2, _HEIGHT * w // h)
    floor = int(min(max(ground * high / h - high * float(rng.uniform(0.05, 0.16)), high * 0.45), high - 4))
    image = SCENES[name][0](rng, (high, wide), floor)
    k = int(pick(rng, {1: 0.35, 3: 0.4, 5: 0.25}))
    image = cv2.blur(image, (k, k)) if k > 1 else image
    if (high, wide) == size:
        return image
    return cv2.resize(image, (w, h), interpolation=cv2.INTER_LINEAR_EXACT)


def stool(image: Image, box: tuple[float, float, float, float], colour: Colour, solid: bool) -> None:
    """Draw a stool into the background; `box` is (x0, y0, x1, y1) in pixels, y0 the seat, y1 the ground."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    if solid:
        _rect(image, x0, y0, x1, y1, colour=colour)
        _rect(image, x0, y0, x1, y0 + h * 0.12, colour=tone(colour, 1.15))
        _rect(image, x0 + w * 0.72, y0 + h * 0.12, x1, y1, colour=tone(colour, 0.85))
        return
    for x in (x0 + w * 0.08, x0 + w * 0.30, x1 - w * 0.38, x1 - w * 0.16):
        _rect(
            image,
            x,
            y0,
            x + w * 0.08,
            y1 - (h * 0.06 if x0 + w * 0.2 < x < x1 - w * 0.3 else 0),
            colour=tone(colour, 0.7),
        )
    _rect(image, x0, y0, x1, y0 + max(4.0, h * 0.13), colour=colour)
    _rect(image, x0, y0, x1, y0 + 2, colour=tone(colour, 1.2))


def cast_shadow(image: Image, spots: list[tuple[float, float, float, float]], strength: float) -> Image:
    """Darken soft ellipses (x, y, rx, ry in pixels) where the figure touches the ground."""
    mask = np.zeros(image.shape[:2], np.uint8)
    for x, y, rx, ry in spots:
        centre, radii = (round(x * 16), round(y * 16)), (max(16, round(rx * 16)), max(16, round(ry * 16)))
        cv2.ellipse(mask, centre, radii, 0, 0, 360, 255, -1, cv2.LINE_AA, 4)
    unit = max(1, 2 * image.shape[0] // _HEIGHT)
    first = max(0, cv2.boundingRect(mask)[1] - 5 * unit)
    soft = cv2.blur(cv2.blur(mask[first:], (6 * unit + 1, 3 * unit + 1)), (4 * unit + 1, 2 * unit + 1))
    keep = 256 - ((soft.astype(np.uint16) * round(strength * 256)) >> 8)
    out = image.copy()
    out[first:] = (image[first:] * keep[..., None]) >> 8
    return out
