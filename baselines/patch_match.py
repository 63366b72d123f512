"""patch-match: the hole is quilted from patches of the visible person."""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.baselines.fills import extend, fill_each
from deocc_bench.core.seeding import rng
from deocc_bench.core.types import Batch, ContentOutput

_SMALLEST = 24  # pixels of the shorter side at the coarsest level
_NEIGHBOURS = ((0, 1), (0, -1), (1, 0), (-1, 0))


class PatchMatch:
    """Exemplar fill: each patch that meets the hole seeks its nearest patch on the visible person, coarse to fine.

    Alternates between the nearest-neighbour field (propagation from neighbours and random search, all pixels at once)
    and painting each pixel with the weighted mean of what the patches over it propose. Sources are patches that lie on
    the visible person wholly, or nearly so where the person is thin.

    Source: Barnes et al., "PatchMatch" (SIGGRAPH 2009), and the alternation of Wexler, Shechtman & Irani, "Space-time
    completion of video" (2007); own vectorised code.

    Args:
        radius: a patch has (2 radius + 1)^2 pixels.
        rounds: alternations per level.
        seed: of the random search.
    """

    name = "patch-match"
    needs: tuple[str, ...] = ()

    def __init__(self, radius: int = 2, rounds: int = 4, seed: int = 0) -> None:
        self.radius, self.rounds, self.seed = int(radius), int(rounds), int(seed)

    def recover(self, batch: Batch) -> ContentOutput:
        """The images with the holes painted, uint8 N x H x W x 3."""
        return fill_each(self.name, batch, self._fill)

    def _fill(self, image: np.ndarray, visible: np.ndarray, hole: np.ndarray) -> np.ndarray:
        # Keyed by what is filled, so that a sample's result does not depend on its batch.
        random = rng(self.seed, self.name, *hole.shape, int(hole.sum()), int(visible.sum()))
        levels = [(image, visible, hole)]
        while min(levels[-1][2].shape) >= 2 * _SMALLEST:
            halved = _halve(*levels[-1])
            if not halved[1].any():
                break
            levels.append(halved)
        field: np.ndarray | None = None
        painted = np.zeros(0)
        for level, (picture, person, gap) in enumerate(reversed(levels)):
            painted, field = self._level(
                picture, person, gap, coarse=painted if level else None, field=field, random=random
            )
        return np.rint(np.clip(painted, 0, 255)).astype(np.uint8)

    def _level(
        self,
        image: np.ndarray,
        visible: np.ndarray,
        hole: np.ndarray,
        *,
        coarse: np.ndarray | None,
        field: np.ndarray | None,
        random: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """One resolution. Returns the painted picture, float32 H x W x 3, and each pixel's source, int H x W x 2."""
        height, width = hole.shape
        picture = extend(image, visible).astype(np.float32)
        if coarse is not None:
            picture[hole] = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)[hole]
        sources = _centres(visible, self.radius)
        allowed = np.zeros((height, width), dtype=bool)
        allowed[sources[:, 0], sources[:, 1]] = True
        ring = cv2.dilate(hole.astype(np.uint8), np.ones((2 * self.radius + 1,) * 2, np.uint8)) > 0
        targets = np.argwhere(ring & (hole | visible))
        if field is None:
            match = sources[random.integers(len(sources), size=len(targets))]
        else:
            match = _enlarged(field, targets, allowed, sources, random)
        field = np.zeros((height, width, 2), dtype=np.int64)
        number = np.full((height, width), -1)
        number[targets[:, 0], targets[:, 1]] = np.arange(len(targets))
        for _ in range(self.rounds):
            match, cost = self._search(picture, targets, match, number=number, allowed=allowed, random=random)
            self._vote(picture, targets, match, cost, hole)
        field[targets[:, 0], targets[:, 1]] = match
        return picture, field

    def _search(
        self,
        picture: np.ndarray,
        targets: np.ndarray,
        match: np.ndarray,
        *,
        number: np.ndarray,
        allowed: np.ndarray,
        random: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Better matches and their costs: those of the four neighbours, then random ones ever nearer to the best."""
        height, width = allowed.shape
        padded = np.pad(picture, ((self.radius,) * 2, (self.radius,) * 2, (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * self.radius + 1,) * 2, axis=(0, 1))
        wanted = windows[targets[:, 0], targets[:, 1]].reshape(len(targets), -1)

        def distance(rows: np.ndarray, candidates: np.ndarray) -> np.ndarray:
            found = windows[candidates[:, 0], candidates[:, 1]].reshape(len(rows), -1)
            off = found - wanted[rows]
            return np.einsum("ij,ij->i", off, off)

        match = match.copy()
        cost = distance(np.arange(len(targets)), match)

        def consider(candidates: np.ndarray, rows: np.ndarray) -> None:
            inside = (
                (candidates[:, 0] >= 0)
                & (candidates[:, 0] < height)
                & (candidates[:, 1] >= 0)
                & (candidates[:, 1] < width)
            )
            candidates, rows = candidates[inside], rows[inside]
            usable = allowed[candidates[:, 0], candidates[:, 1]]
            candidates, rows = candidates[usable], rows[usable]
            if len(rows):
                new = distance(rows, candidates)
                better = new < cost[rows]
                match[rows[better]], cost[rows[better]] = candidates[better], new[better]

        framed = np.pad(number, 1, constant_values=-1)
        for dy, dx in _NEIGHBOURS:
            neighbour = framed[targets[:, 0] + dy + 1, targets[:, 1] + dx + 1]
            rows = np.flatnonzero(neighbour >= 0)
            consider(match[neighbour[rows]] - (dy, dx), rows)
        reach = max(height, width) // 2
        everyone = np.arange(len(targets))
        while reach >= 1:
            consider(match + random.integers(-reach, reach + 1, size=match.shape), everyone)
            reach //= 3
        return match, cost

    def _vote(
        self, picture: np.ndarray, targets: np.ndarray, match: np.ndarray, cost: np.ndarray, hole: np.ndarray
    ) -> None:
        """Paint the hole of `picture` in place. Patches that fit well weigh more."""
        height, width = hole.shape
        typical = np.percentile(cost, 75) + 1e-3
        weight = np.exp(-cost / (2 * typical)).astype(np.float32) + 1e-6
        total = np.zeros((height, width), dtype=np.float32)
        colours = np.zeros_like(picture)
        for dy in range(-self.radius, self.radius + 1):
            for dx in range(-self.radius, self.radius + 1):
                y, x = targets[:, 0] + dy, targets[:, 1] + dx
                keep = (y >= 0) & (y < height) & (x >= 0) & (x < width)
                y, x, w = y[keep], x[keep], weight[keep]
                from_y = np.clip(match[keep, 0] + dy, 0, height - 1)
                from_x = np.clip(match[keep, 1] + dx, 0, width - 1)
                # Targets differ, so these places do too: plain indexed addition is exact.
                total[y, x] += w
                colours[y, x] += w[:, None] * picture[from_y, from_x]
        picture[hole] = colours[hole] / total[hole][:, None]


def _halve(image: np.ndarray, visible: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    height, width = hole.shape
    size = ((width + 1) // 2, (height + 1) // 2)
    small = cv2.resize(extend(image, visible), size, interpolation=cv2.INTER_AREA)
    person = cv2.resize(visible.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    gap = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    unknown = gap > 0
    return small, (person > 0.5) & ~unknown, unknown


def _centres(visible: np.ndarray, radius: int) -> np.ndarray:
    """int n x 2: pixels whose patch lies on the person; where there are few, a smaller patch must do."""
    for r in range(radius, -1, -1):
        inner = cv2.erode(
            visible.astype(np.uint8), np.ones((2 * r + 1,) * 2, np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        if inner.sum() >= 30 or r == 0:
            break
    return np.argwhere(inner)


def _enlarged(
    field: np.ndarray, targets: np.ndarray, allowed: np.ndarray, sources: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Matches of the finer level from those of the coarser one; what leaves the sources is drawn anew."""
    coarse = np.minimum(targets // 2, np.array(field.shape[:2]) - 1)
    match = field[coarse[:, 0], coarse[:, 1]] * 2 + targets % 2
    match = np.minimum(match, np.array(allowed.shape) - 1)
    lost = ~allowed[match[:, 0], match[:, 1]]
    match[lost] = sources[random.integers(len(sources), size=int(lost.sum()))]
    return match
