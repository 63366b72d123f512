"""Places occluders: a solver that reaches a requested occlusion ratio, or reports why it can't.

For each occluder it samples a size and a pose, computes the overlap with the person for all positions at once on a
coarse grid, and samples a position with the wanted overlap. It then moves the occluder by pixels until the ratio,
counted exactly on the composed masks, is in the requested range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core.labels import BODY_PARTS
from deocc_bench.synth import overlap, placement_rules
from deocc_bench.synth.crop import Crop
from deocc_bench.synth.occluders.cutout import Pose, PreparedOccluder, coarse
from deocc_bench.synth.placement import MIN_VISIBLE, MovableCutout, PlacedCutout, lowest_first, subtract


@dataclass(frozen=True)
class PlacementRequest:
    """The requested occlusion of a sample.

    Args:
        target: requested occlusion ratio.
        low, high: range of the achieved ratio; if they are equal, the range is `low` +- `tolerance`.
        tolerance: maximum distance of the achieved ratio from `target`.
        count: number of occluders in front of the person, 1 or more.
        behind: number of occluders behind the person, which hide nothing.
        hide: body parts (`BODY_PARTS`) to hide, each by at least `hide_share`. If that needs a higher ratio than
            `target`, the target is raised within the range.
        hide_share: minimum hidden share of each part in `hide`.
        tries: total number of positions to try before the sample is rejected.
        max_angle: maximum rotation of an occluder, degrees.
        max_enlarge: maximum enlargement of an occluder relative to its own resolution.
        feather: standard deviation of the edge softening, pixels.
        rule: size and position of occluders in front, one of `placement_rules.RULES`; if the rule allows no suitable
            position, any position is used.
    """

    target: float
    low: float = 0.0
    high: float = 1.0
    tolerance: float = 0.02
    count: int = 1
    behind: int = 0
    hide: tuple[str, ...] = ()
    hide_share: float = 0.6
    tries: int = 16
    max_angle: float = 8.0
    max_enlarge: float = 2.5
    feather: float = 0.7
    rule: str = "overlap"

    def __post_init__(self) -> None:
        if self.rule not in placement_rules.RULES:
            raise ValueError(f"not a placement rule: {self.rule}")
        if not 0 <= self.low <= self.high <= 1 or self.count < 0 or self.behind < 0 or self.tries < 1:
            raise ValueError(f"not a possible request: {self}")


@dataclass(frozen=True)
class Rejected:
    """Why no placement was found."""

    reason: str


def solve(
    scene: Crop, occluders: Iterable[PreparedOccluder], request: PlacementRequest, rng: np.random.Generator
) -> tuple[PlacedCutout, ...] | Rejected:
    """Place `request.count` occluders in front of the person and `request.behind` behind.

    Args:
        scene: the person in the frame.
        occluders: candidates, best first. They are consumed one by one, so a lazy iterator loads only those needed.
            Candidates beyond `count + behind` are spares for those that can't be placed.
        request: the requested occlusion.
        rng: the only source of randomness.

    Returns:
        The occluders in front, nearest to the viewer first, then those behind, nearest first; or the reason why there
        is no placement.
    """
    search = _Search(scene, request, rng)
    problem = search.aim()
    if problem:
        return Rejected(problem)
    candidates = iter(occluders)
    problem = search.place_front(candidates) or search.place_behind(candidates)
    return Rejected(problem) if problem else search.result()


class _Search:
    """The state of one `solve`."""

    def __init__(self, scene: Crop, request: PlacementRequest, rng: np.random.Generator) -> None:
        self.scene, self.request, self.rng = scene, request, rng
        self.free = scene.pixels  # pixels of the person that are still visible
        self.grid = scene.grid  # the same on the coarse grid
        self.clear = np.zeros_like(scene.pixels)  # pixels of the photo without an occluder so far
        x0, y0, x1, y1 = scene.frame
        self.clear[y0:y1, x0:x1] = 255
        self.hidden = 0
        self.tries = request.tries
        self.front: list[PlacedCutout] = []
        self.behind: list[PlacedCutout] = []
        self.parts: list[_Part] = []
        area = scene.area
        self.slack = request.tolerance * area
        low, high = request.low, request.high
        if low == high:
            low, high = max(0.0, low - request.tolerance), min(1.0, high + request.tolerance)
        self.low, self.high = math.ceil(low * area - 1e-9), math.floor(high * area + 1e-9)
        self.goal = float(min(max(round(request.target * area), self.low), self.high))

    def aim(self) -> str | None:
        """Set up the parts to hide and the ratio they need. Returns the reason if that is impossible."""
        if not self.request.hide:
            return None
        if self.scene.parsing is None:
            return "hiding body parts needs a parsing, and this person has none"
        union = np.zeros_like(self.scene.pixels)
        for name in self.request.hide:
            pixels = np.where(np.isin(self.scene.parsing, BODY_PARTS[name]), np.uint8(255), np.uint8(0))
            size = int(cv2.countNonZero(pixels))
            if size == 0:
                return f"the parsing of the person has no {name}"
            self.parts.append(_Part(name, pixels, math.ceil(self.request.hide_share * size)))
            union |= pixels
        need = self.request.hide_share * cv2.countNonZero(union)
        if need > self.high:
            return (
                f"hiding {', '.join(self.request.hide)} needs a ratio of {need / self.scene.area:.2f}, "
                f"above the maximum of {self.high / self.scene.area:.2f}"
            )
        # An occluder that covers a part covers some of its neighbours too.
        self.goal = max(self.goal, min(self.high - self.slack / 2, 1.4 * need))
        return None

    def place_front(self, candidates: Iterator[PreparedOccluder]) -> str | None:
        """Place all occluders in front. Returns the reason if it fails."""
        nearest = math.inf
        while len(self.front) < self.request.count:
            occluder = next(candidates, None)
            if occluder is None:
                return self._failed(nearest, "no more occluders")
            grow = 1.0
            for _ in range(3):
                if self.tries == 0:
                    return self._failed(nearest, f"{self.request.tries} tries")
                self.tries -= 1
                left = self.request.count - len(self.front)
                want = self._share(left)
                trial = self._try(occluder, want, grow, last=left == 1)
                if isinstance(trial, PlacedCutout):
                    self._accept(trial)
                    break
                if left == 1 and trial.got is not None:
                    total = self.hidden + trial.got
                    nearest = total if abs(total - self.goal) < abs(nearest - self.goal) else nearest
                if trial.grow == 1.0:
                    break
                grow *= trial.grow
        return None

    def place_behind(self, candidates: Iterator[PreparedOccluder]) -> str | None:
        """Place the occluders behind the person. Returns the reason if it fails."""
        if self.request.behind:
            self.clear = cv2.subtract(self.clear, self.scene.pixels)
        for _ in range(self.request.behind):
            for _ in range(self.request.tries):
                occluder = next(candidates, None)
                if occluder is None:
                    return "no more occluders to place behind the person"
                placed = self._try_behind(occluder)
                if placed is not None:
                    self.behind.append(placed)
                    subtract(self.clear, placed)
                    break
            else:
                return f"no place behind the person in {self.request.tries} tries"
        return None

    def result(self) -> tuple[PlacedCutout, ...]:
        """All placements, nearest first."""
        clear = np.full_like(self.scene.pixels, 255)
        front = lowest_first(self.front, clear)
        for placed in front:
            subtract(clear, placed)
        return (*front, *lowest_first(self.behind, cv2.subtract(clear, self.scene.pixels)))

    def _share(self, left: int) -> float:
        """Pixels that the next occluder should hide: all the rest for the last one, otherwise a random share."""
        rest = max(0.0, self.goal - self.hidden)
        return rest if left == 1 else rest * float(self.rng.uniform(0.5, 1.5)) / left

    def _window(self, want: float, last: bool) -> tuple[float, float]:
        """Minimum and maximum number of pixels that the next occluder may hide."""
        if self.goal == 0:
            return 0.0, 0.0
        if last:
            # Parts have priority over the target: after half of the tries, any ratio in the range is accepted.
            easier = bool(self.parts) and self.tries < self.request.tries // 2
            slack = self.scene.area if easier else self.slack
            return max(self.low, self.goal - slack) - self.hidden, min(self.high, self.goal + slack) - self.hidden
        room = max(0.3 * want, 0.5 * self.slack)
        return max(0.0, want - room), min(want + room, max(want, self.goal - self.hidden))

    def _try(self, occluder: PreparedOccluder, want: float, grow: float, last: bool) -> PlacedCutout | _Miss:
        """Try one size and one position for one occluder."""
        scene, rng = self.scene, self.rng
        parts = [p for p in self.parts if p.need > 0]
        if parts and not last:
            parts = [max(parts, key=lambda p: p.need)]
        want = max(want, 1.15 * sum(p.need for p in parts))
        size = placement_rules.draw_size(
            self.request.rule, occluder, scene, want=want, max_enlarge=self.request.max_enlarge, rng=rng
        )
        scale = min(size.scale * grow, size.largest)
        angle = float(rng.uniform(-1, 1)) * self.request.max_angle if rng.random() < 0.5 else 0.0
        pose = Pose(scale, round(angle, 2), bool(rng.random() < 0.5))
        low, high = self._window(want, last)
        piece = coarse(occluder, pose, scene.cell)
        table = overlap.counts(self.grid, piece)
        growth = min(1.6, size.largest / scale)
        most = float(table.pixels.max())
        if most < low and growth > 1.01:
            return _Miss(None, min(growth, 1.05 * math.sqrt(low / max(most, 1.0))))
        fit = np.abs(table.pixels - want)
        for part in parts:
            covered = overlap.counts(overlap.field(part.pixels, scene.box, scene.cell), piece).pixels
            fit = fit + 4 * np.maximum(0, part.need * 1.05 - covered)
        places = placement_rules.allowed_positions(
            self.request.rule, occluder, scene, table=table, shape=pose.extent(occluder), rng=rng
        )
        spots, inside = self._spots(fit, places, max(0.5 * self.slack, 0.5 * scene.cell**2))
        if not inside.size and growth > 1.01 and grow == 1.0:
            return _Miss(None, min(growth, 1.3))  # first try a larger size at an allowed position
        x, y = self._draw(table, fit, inside if inside.size else spots)
        movable = MovableCutout.warped(occluder, pose, x, y, scene=scene, feather=self.request.feather)
        if movable is None:
            return _Miss(None, 1.0)
        dx, dy, got, good = self._refine(movable, low, high, parts)
        if good:
            placed = movable.place(dx, dy, scene, behind=False)
            if self._seen(placed):
                return placed
        return _Miss(got, min(growth, 1.2) if got < low or parts else 1.0)

    def _spots(self, fit: np.ndarray, places: np.ndarray, room: float) -> tuple[np.ndarray, np.ndarray]:
        """Flat indices of the positions with a good fit, and of those that are also in `places` (bool, as `fit`)."""
        good = fit <= room
        return np.flatnonzero(good), np.flatnonzero(good & places)

    def _draw(self, table: overlap.Counts, fit: np.ndarray, spots: np.ndarray) -> tuple[int, int]:
        """Sample one of the positions; use the best fit if there are none."""
        spot = int(spots[int(self.rng.integers(spots.size))]) if spots.size else int(np.argmin(fit))
        i, j = divmod(spot, fit.shape[1])
        return table.x + j * table.cell, table.y + i * table.cell

    def _refine(
        self, movable: MovableCutout, low: float, high: float, parts: list[_Part]
    ) -> tuple[int, int, int, bool]:
        """Move by pixels until the exact count is in the window. Returns (dx, dy, hidden pixels, success)."""

        def misfit(dx: int, dy: int) -> tuple[float, int]:
            got = overlap.exact(self.free, movable.hard, movable.x + dx, movable.y + dy)
            off = max(low - got, got - high, 0.0)
            for part in parts:
                off += 2 * max(0, part.need - overlap.exact(part.pixels, movable.hard, movable.x + dx, movable.y + dy))
            return off, got

        x = y = 0
        off, got = misfit(x, y)
        step = self.scene.cell
        while off > 0 and step >= 1:
            moves = [(x + dx, y + dy) for dx, dy in ((step, 0), (-step, 0), (0, step), (0, -step))]
            tried = [(*misfit(*m), *m) for m in moves if max(abs(m[0]), abs(m[1])) <= movable.reach]
            best = min(tried, key=lambda t: t[0], default=(off, got, x, y))
            if best[0] < off:
                off, got, x, y = best
            else:
                step //= 2
        return x, y, got, off == 0

    def _try_behind(self, occluder: PreparedOccluder) -> PlacedCutout | None:
        scene, rng = self.scene, self.rng
        scale = placement_rules.draw_size_behind(occluder, scene, self.request.max_enlarge, rng)
        pose = Pose(scale, 0.0, bool(rng.random() < 0.5))
        piece = coarse(occluder, pose, scene.cell)
        table = overlap.counts(scene.grid, piece)
        area = int(cv2.countNonZero(piece)) * scene.cell**2
        # It overlaps the person slightly, and most of it is visible.
        fit = np.abs(table.pixels - area * float(rng.uniform(0.05, 0.4)))
        places = np.zeros(fit.shape, bool)
        places[placement_rules.rows_behind(scene, table, pose.extent(occluder))] = True
        good, inside = self._spots(fit, places, max(0.1 * area, scene.cell**2))
        x, y = self._draw(table, fit, inside if inside.size else good)
        movable = MovableCutout.warped(occluder, pose, x, y, scene=scene, feather=self.request.feather)
        if movable is None:
            return None
        placed = movable.place(0, 0, scene, behind=True)
        return placed if self._seen(placed) else None

    def _accept(self, placed: PlacedCutout) -> None:
        self.front.append(placed)
        for part in self.parts:
            part.need -= overlap.exact(part.pixels, placed.hard, placed.x, placed.y)
            subtract(part.pixels, placed)
        if self.free is self.scene.pixels:
            self.free = self.free.copy()
        subtract(self.free, placed)
        subtract(self.clear, placed)
        if len(self.front) < self.request.count:
            self.grid = overlap.field(self.free, self.scene.box, self.scene.cell)
        self.hidden = self.scene.area - int(cv2.countNonZero(self.free))

    def _seen(self, placed: PlacedCutout) -> bool:
        """Whether enough of a new occluder, behind all placed ones, is visible."""
        return overlap.exact(self.clear, placed.hard, placed.x, placed.y) >= MIN_VISIBLE

    def _failed(self, nearest: float, after: str) -> str:
        area = self.scene.area
        closest = f", nearest {nearest / area:.3f}" if math.isfinite(nearest) else ""
        hide = f" with {', '.join(self.request.hide)} hidden" if self.parts else ""
        return f"ratio {self.goal / area:.3f}{hide} not reached: {after}{closest}"


@dataclass
class _Part:
    """A body part to hide: its pixels that are still visible (uint8 0 / 255), and how many must still be hidden."""

    name: str
    pixels: np.ndarray
    need: int


@dataclass(frozen=True)
class _Miss:
    """A failed try: the pixels it would have hidden, and the size factor to retry with (1: do not retry)."""

    got: int | None
    grow: float
