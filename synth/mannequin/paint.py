"""Paints parts into one index buffer, the source of both the colours and the labels.

Each sub-pixel stores an entry of a colour table and a shade (128 = 1.0). An entry has a colour and a LIP id, so
picture and parsing can't disagree. All arithmetic on pixels is in integers.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from deocc_bench.synth.mannequin.shapes import Frame, Shape

Colour = tuple[int, int, int]
Axis = tuple[float, float, float, float]
"""Origin (x, y) in hu and unit direction (dx, dy) of the first pattern coordinate."""
Bend = tuple[float, float, float, float, Axis]
"""A line through (x, y) with normal (nx, ny), in hu, and the axis that applies beyond it."""
Crease = tuple[float, float, float, float, float]
"""A fold of the cloth: (x0, y0, x1, y1, width) in hu."""

SUPERSAMPLE = 2
NEUTRAL = 128
PATTERNS = (
    "plain",
    "stripes",
    "pinstripes",
    "checks",
    "dots",
    "plaid",
    "gradient",
    "floral",
    "marl",
    "strands",
)


@dataclass(frozen=True)
class Material:
    """The material of a part. `period` in hu; `wrinkle` 0..1 is the depth of the folds."""

    colours: tuple[Colour, ...]
    pattern: str = "plain"
    period: float = 0.2
    wrinkle: float = 0.0
    along: bool = True
    """Stripes and gradients run across the axis (hoops) rather than along it."""

    def darker(self, factor: float) -> Material:
        """The same material with every colour multiplied by `factor`."""
        return replace(self, colours=tuple(tone(c, factor) for c in self.colours))

    def plain(self, factor: float = 1.0) -> Material:
        return Material((tone(self.colours[0], factor),), wrinkle=self.wrinkle)


@dataclass(frozen=True)
class Part:
    """One layer of the figure, painted over the previous layers."""

    label: int
    shape: Shape
    material: Material
    axis: Axis = (0.0, 0.0, 0.0, 1.0)
    joint: Bend | None = None
    """Where the pattern turns with a bent limb."""
    round: float = 0.2
    """Radius, hu, over which the surface curves away at the edge; 0 paints flat."""
    shadow: float = 0.30
    """How much the part darkens the layers below its edge."""
    over: tuple[int, ...] = ()
    """Paint only over these labels; empty: everywhere."""
    folds: tuple[Crease, ...] = ()
    form: Shape | None = None
    """The shape used for the relief instead of `shape`; it includes neighbours to avoid a visible edge."""
    cast: Shape | None = None
    """The shape that casts the contact shadow instead of `shape`."""


def tone(colour: Colour, factor: float) -> Colour:
    """Multiply the colour by `factor` and clip it."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return r, g, b


def mix(a: Colour, b: Colour, t: float) -> Colour:
    """Interpolate from `a` (t = 0) to `b` (t = 1)."""
    r, g, b_ = (round(x + (y - x) * t) for x, y in zip(a, b, strict=True))
    return r, g, b_


@dataclass
class Canvas:
    """An index buffer of (height, width) sub-pixels for one figure."""

    frame: Frame
    light: tuple[float, float]
    """Direction towards the light in the picture plane (unit vector, y down)."""
    wrinkles: NDArray[np.int16]
    """256 x 256 tile of fold shading in -64 .. 64."""
    index: NDArray[np.uint8] = field(init=False)
    shade: NDArray[np.uint8] = field(init=False)
    colours: list[Colour] = field(default_factory=lambda: [(0, 0, 0)])
    labels: list[int] = field(default_factory=lambda: [0])
    known: dict[tuple[Colour, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.index = np.zeros((self.frame.height, self.frame.width), np.uint8)
        self.shade = np.full((self.frame.height, self.frame.width), NEUTRAL, np.uint8)

    def entry(self, colour: Colour, label: int) -> int:
        """The table index of a colour with a label."""
        key = (colour, label)
        if key not in self.known:
            if len(self.colours) == 256:
                raise OverflowError("a figure takes at most 255 colours")
            self.known[key] = len(self.colours)
            self.colours.append(colour)
            self.labels.append(label)
        return self.known[key]

    def paint(self, part: Part, box: tuple[float, float, float, float] | None = None) -> None:
        """Paint one part; `box` is `part.shape.box()` if already known."""
        f = self.frame
        soft = max(1, round(part.round * f.scale))
        # Wider reliefs cost time and add little.
        widest = max(4, f.height * 22 // 768)
        pad = min(2 * soft, widest) + 2 if part.round else 1
        x0, y0, x1, y1 = window = f.window(box or part.shape.box(), pad)
        mask = part.shape.mask(f, window)
        view = (slice(y0, y1), slice(x0, x1))
        if part.over:
            allowed = np.isin(np.asarray(self.labels, np.uint8), part.over).astype(np.uint8) * 255
            mask &= cv2.LUT(self.index[view], _table(allowed))
        inside = mask > 0
        if part.round:
            k = 2 * (min(soft, widest) // 2) + 1
            blurred = _soften(mask if part.form is None else part.form.mask(f, window) | mask, k)
            if part.shadow:
                if part.cast is not None:
                    source = _soften(part.cast.mask(f, window), k)
                else:
                    source = blurred if part.form is None else _soften(mask, k)
                self._darken(view, source, part.shadow, max(2, k // 3))
            shade = self._relief(blurred, k)
        else:
            shade = np.full(mask.shape, NEUTRAL, np.int16)
        if part.material.wrinkle:
            shade += self._folds(part, window)
        if part.folds:
            shade -= self._creases(part, window)
        np.clip(shade, 30, 230, out=shade)
        np.copyto(self.shade[view], shade.astype(np.uint8), where=inside)
        np.copyto(self.index[view], self._pattern(part, window), where=inside)

    def finish(self) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
        """Average over SUPERSAMPLE x SUPERSAMPLE.

        Returns premultiplied RGB (h x w x 3), coverage 0..4 (h x w) and LIP ids (h x w), all uint8.

        A pixel belongs to the figure if at least half of its sub-pixels do; its label is the most frequent one."""
        h, w = self.index.shape[0] // SUPERSAMPLE, self.index.shape[1] // SUPERSAMPLE
        mean, cover, parsing = np.zeros((h, w, 3), np.uint8), np.zeros((h, w), np.uint8), np.zeros((h, w), np.uint8)
        x, y, bw, bh = (n // 2 for n in cv2.boundingRect(self.index))
        inner = (slice(y, min(h, y + bh + 2)), slice(x, min(w, x + bw + 2)))
        fine = (slice(2 * inner[0].start, 2 * inner[0].stop), slice(2 * inner[1].start, 2 * inner[1].stop))
        index, shade = np.ascontiguousarray(self.index[fine]), self.shade[fine]
        for channel in range(3):
            values = _table(np.array([c[channel] for c in self.colours], np.uint8))
            lit = (cv2.LUT(index, values).astype(np.uint16) * shade) >> 7
            np.minimum(lit, 255, out=lit)
            rows = lit[0::2] + lit[1::2]
            mean[(*inner, channel)] = (rows[:, 0::2] + rows[:, 1::2] + 2) >> 2
        ids = cv2.LUT(index, _table(np.asarray(self.labels, np.uint8)))
        some, inside = _majority(ids)
        _drop_specks(some, inside, max(2, h * w // 16000))
        cover[inner], parsing[inner] = some, inside
        return mean, cover, parsing

    def _darken(self, view: tuple[slice, slice], blurred: NDArray[np.uint8], amount: float, reach: int) -> None:
        """Paint a contact shadow on existing layers, away from the light."""
        moved = _shifted(blurred, -round(self.light[0] * reach), -round(self.light[1] * reach))
        keep = (256 - ((moved.astype(np.uint16) * round(amount * 256)) >> 8)).astype(np.uint16)
        shade = self.shade[view]
        np.copyto(shade, ((shade * keep) >> 8).astype(np.uint8))

    def _relief(self, blurred: NDArray[np.uint8], k: int) -> NDArray[np.int16]:
        """Shade of a rounded surface: bright where the edge faces the light, dark where it faces away."""
        dx, dy = round(self.light[0] * k * 0.6), round(self.light[1] * k * 0.6)
        away = _shifted(blurred, dx, dy).astype(np.int16)
        near = _shifted(blurred, -dx, -dy).astype(np.int16)
        slope = away - near
        rim = blurred.astype(np.int16) - 255
        return NEUTRAL + 4 + ((slope * 46 + rim * 30) >> 8)

    def _coordinates(
        self, part: Part, window: tuple[int, int, int, int]
    ) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Pattern coordinates of the window in 1/256 hu: along the axis, and across it."""
        x0, y0, x1, y1 = window
        f = self.frame
        x = np.arange(x0, x1, dtype=np.int32)[None, :]
        y = np.arange(y0, y1, dtype=np.int32)[:, None]

        def project(axis: Axis) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
            ox, oy, dx, dy = axis
            px, py = round(ox * f.scale + f.x0), round(oy * f.scale + f.y0)
            step = 256 * 256 / f.scale
            ax, ay = round(dx * step), round(dy * step)
            return ((x - px) * ax + (y - py) * ay) >> 8, ((x - px) * -ay + (y - py) * ax) >> 8

        u, v = project(part.axis)
        if part.joint is not None:
            jx, jy, nx, ny, axis = part.joint
            px, py = round(jx * f.scale + f.x0), round(jy * f.scale + f.y0)
            beyond = (x - px) * round(nx * 1024) + (y - py) * round(ny * 1024) > 0
            u2, v2 = project(axis)
            u, v = np.where(beyond, u2, u), np.where(beyond, v2, v)
        return u, v

    def _folds(self, part: Part, window: tuple[int, int, int, int]) -> NDArray[np.int16]:
        u, v = self._coordinates(part, window)
        tile = self.wrinkles[(u >> 2) & 255, (v >> 1) & 255]
        return (tile * round(part.material.wrinkle * 64)) >> 6

    def _creases(self, part: Part, window: tuple[int, int, int, int]) -> NDArray[np.int16]:
        x0, y0, x1, y1 = window
        local = Frame(self.frame.scale, self.frame.x0 - x0, self.frame.y0 - y0, y1 - y0, x1 - x0)
        lines = np.zeros((y1 - y0, x1 - x0), np.uint8)
        for ax, ay, bx, by, width in part.folds:
            mx, my = (ax + bx) / 2 + (by - ay) * 0.05, (ay + by) / 2 - (bx - ax) * 0.05
            pts = local.points(np.array([[ax, ay], [mx, my], [bx, by]]))
            cv2.polylines(lines, [pts], False, 120, max(1, round(width * self.frame.scale)), cv2.LINE_8, 4)
        return cv2.blur(cv2.blur(lines, (5, 5)), (3, 3)).astype(np.int16) >> 2

    def _pattern(self, part: Part, window: tuple[int, int, int, int]) -> NDArray[np.uint8] | np.uint8:
        m = part.material
        ids = np.array([self.entry(c, part.label) for c in m.colours], np.uint8)
        if m.pattern == "plain" or len(ids) == 1:
            return ids[0]
        u, v = self._coordinates(part, window)
        if not m.along:
            u, v = v, u
        p = max(4, round(m.period * 256))
        return ids[pattern(m.pattern, u, v, p, len(ids))]


def pattern(kind: str, u: NDArray[np.int32], v: NDArray[np.int32], p: int, n: int) -> NDArray[np.intp]:
    """Index of the colour (of `n`) that a pattern of period `p` has at the coordinates (u, v)."""
    if kind == "stripes":
        k = (u // p) % 2
    elif kind == "pinstripes":
        k = ((u % p) * 5 < p).astype(np.int32)
    elif kind == "checks":
        k = (u // p + v // p) % 2
    elif kind == "dots":
        row = u // p
        du, dv = u % p - p // 2, (v + (row % 2) * (p // 2)) % p - p // 2
        k = (du * du + dv * dv < (p * p) // 12).astype(np.int32)
    elif kind == "plaid":
        a, b = (u % p) * 2 < p, (v % p) * 2 < p
        thin = ((u % p) * 10 // p == 7) | ((v % p) * 10 // p == 7)
        k = np.where(thin, 3, a.astype(np.int32) + b)
    elif kind == "gradient":
        k = u * n // (p * 8)
    elif kind == "floral":
        cu, cv = u // p, v // p
        h = (cu * 73856093 ^ cv * 19349663) & 0xFFFF
        du, dv = u % p - p // 4 - (h & 7) * p // 16, v % p - p // 4 - ((h >> 3) & 7) * p // 16
        k = np.where(du * du + dv * dv < p * p // 12, 1 + (h >> 6) % max(n - 1, 1), 0)
        k = np.where(du * du + dv * dv < p * p // 70, 0, k)
    elif kind == "marl":
        k = (((u * 7 // p) * 1258291 ^ (v * 7 // p) * 4256249) >> 5) % n
    elif kind == "strands":
        band = (v * 3 // p) + ((u // p) * 3 // 4)
        k = ((band * 1640531 ^ (band >> 3)) >> 7) % n
    else:
        raise ValueError(f"Expected argument `kind` to be one of {PATTERNS}, but got {kind}.")
    return np.clip(k, 0, n - 1)


def wrinkle_tile(rng: np.random.Generator) -> NDArray[np.int16]:
    """256 x 256 periodic noise in -64..64, stretched along the first axis: soft folds along a garment."""
    total = np.zeros((256, 256), np.int32)
    for rows, cols, gain in ((3, 9, 6), (5, 22, 4), (9, 48, 2)):
        grid = rng.integers(0, 256, (rows, cols)).astype(np.uint8)
        grid = np.concatenate([grid, grid[:1]])
        grid = np.concatenate([grid, grid[:, :1]], axis=1)
        wide = cv2.resize(grid, (256, 256), interpolation=cv2.INTER_LINEAR_EXACT)
        total += gain * wide.astype(np.int32)
    return ((total - 12 * 128) >> 4).clip(-64, 64).astype(np.int16)


def _majority(ids: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """For every 2 x 2 block: the number of non-zero ids, and the most frequent id if there are two or more."""
    a, b, c, d = (np.ascontiguousarray(ids[i::2, j::2]) for i in (0, 1) for j in (0, 1))
    cover = (a > 0).astype(np.uint8) + (b > 0) + (c > 0) + (d > 0)
    # Ties go to the first of a, b, c, d that is not 0.
    out = np.where(a > 0, a, np.where(b > 0, b, np.where(c > 0, c, d)))
    mixed = ~((a == b) & (a == c) & (a == d))
    a1, b1, c1, d1 = a[mixed], b[mixed], c[mixed], d[mixed]
    vote = out[mixed]
    vote = np.where((c1 == d1) & (c1 > 0), c1, vote)
    vote = np.where(((b1 == c1) | (b1 == d1)) & (b1 > 0), b1, vote)
    vote = np.where(((a1 == b1) | (a1 == c1) | (a1 == d1)) & (a1 > 0), a1, vote)
    out[mixed] = vote
    out[cover < 2] = 0
    return cover, out


def _drop_specks(cover: NDArray[np.uint8], ids: NDArray[np.uint8], smallest: int) -> None:
    """In place: slivers of a class below `smallest` pixels take the surrounding class, detached pixels are removed."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats((ids > 0).astype(np.uint8), connectivity=8)
    if count > 2:
        stray = (parts != 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())) & (parts > 0)
        ids[stray] = 0
        cover[(cv2.dilate(stray.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & (ids == 0)] = 0
    for label in range(1, int(ids.max(initial=0)) + 1):
        mine = (ids == label).astype(np.uint8)
        if not mine.any():
            continue
        x, y, w, h = cv2.boundingRect(mine)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(mine[y : y + h, x : x + w], connectivity=8)
        for k in np.flatnonzero(stats[1:, cv2.CC_STAT_AREA] < smallest) + 1:
            left, top, wide, high = (int(n) for n in stats[k, :4])
            y0, x0 = max(y + top - 1, 0), max(x + left - 1, 0)
            view = ids[y0 : y + top + high + 1, x0 : x + left + wide + 1]
            others = np.bincount(view.ravel(), minlength=20)
            others[0] = others[label] = 0
            if others.any():
                here = parts[top : top + high, left : left + wide] == k
                ids[y + top : y + top + high, x + left : x + left + wide][here] = others.argmax()


def _soften(mask: NDArray[np.uint8], k: int) -> NDArray[np.uint8]:
    """Two box blurs of k x k, zero beyond the border."""
    once = cv2.blur(mask, (k, k), borderType=cv2.BORDER_CONSTANT)
    return cv2.blur(once, (k, k), borderType=cv2.BORDER_CONSTANT)


def _shifted(a: NDArray[np.uint8], dx: int, dy: int) -> NDArray[np.uint8]:
    """`out[y, x] = a[y - dy, x - dx]`, zero outside."""
    out = np.zeros_like(a)
    h, w = a.shape
    if abs(dx) >= w or abs(dy) >= h:
        return out
    out[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)] = a[
        max(-dy, 0) : h - max(dy, 0), max(-dx, 0) : w - max(dx, 0)
    ]
    return out


def _table(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A 256-row look-up table starting with `values`."""
    table = np.zeros((256, *values.shape[1:]), np.uint8)
    table[: len(values)] = values
    return table
