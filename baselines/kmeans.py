"""k-means, the same on every machine: k-means++ from the house's seeds, then Lloyd's rounds."""

from __future__ import annotations

import numpy as np

from deocc_bench.core.seeding import rng


def kmeans(points: np.ndarray, count: int, seed: int, purpose: str, rounds: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Cluster the rows of `points`.

    Args:
        points: float n x d. count: clusters wanted; with fewer distinct points there are fewer.
        seed, purpose: key of the random stream that picks the first centres.
        rounds: at most so many rounds; fewer when nothing moves.

    Returns:
        (float32 k x d centres, none empty; int64 n, the cluster of each point).

    Source: Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding" (SODA 2007); Lloyd (1982).
    """
    x = points.astype(np.float64)
    generator = rng(seed, "kmeans", purpose)
    chosen = [int(generator.integers(len(x)))]
    nearest = ((x - x[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(x)) and nearest.max() > 0:
        cumulated = np.cumsum(nearest)
        chosen.append(int(np.searchsorted(cumulated, generator.random() * cumulated[-1], side="right")))
        nearest = np.minimum(nearest, ((x - x[chosen[-1]]) ** 2).sum(axis=1))
    centres = x[chosen]
    labels = np.full(len(x), -1)
    for _ in range(rounds):
        distance = (centres**2).sum(axis=1)[None] - 2 * (x @ centres.T)
        new = distance.argmin(axis=1)
        if np.array_equal(new, labels):
            break
        labels = new
        kept = np.unique(labels)
        labels = np.searchsorted(kept, labels)
        centres = np.stack([x[labels == k].mean(axis=0) for k in range(len(kept))])
    return centres.astype(np.float32), labels
