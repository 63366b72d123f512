"""k-means, the same in every thread and order of calls: seeds by our own generators, rounds by OpenCV."""

from __future__ import annotations

import cv2
import numpy as np

# OpenCV takes no more. The silhouettes of a few hundred people settle within 30.
_ROUNDS = 100


def kmeans(points: np.ndarray, count: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cluster the rows of `points`.

    OpenCV is given the first labels, so that its global random generator is not used.

    Args:
        points: float n x d.
        count: clusters wanted; with fewer distinct points there are fewer.
        generator: picks the first centres.

    Returns:
        (float32 k x d, the means of the clusters, none of them empty; int64 n, the cluster of each point).

    Source: Arthur & Vassilvitskii, "k-means++: the advantages of careful seeding" (SODA 2007); Lloyd (1982).
    """
    exact = np.ascontiguousarray(points, dtype=np.float64)
    seeds = _plus_plus(exact, count, generator)
    distance = (seeds**2).sum(axis=1)[None] - 2 * (exact @ seeds.T)
    labels = distance.argmin(axis=1).astype(np.int32)[:, None]
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ROUNDS, 0.0)
    _, labels, _ = cv2.kmeans(
        exact.astype(np.float32), len(seeds), labels, criteria, attempts=1, flags=cv2.KMEANS_USE_INITIAL_LABELS
    )
    kept, labels = np.unique(labels, return_inverse=True)
    labels = labels.ravel().astype(np.int64)
    # OpenCV sums in float32; the means are taken anew, in double precision.
    means = np.stack([exact[labels == k].mean(axis=0) for k in range(len(kept))])
    return means.astype(np.float32), labels


def _plus_plus(points: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """First centres, k x d: each further one is a point drawn in proportion to its squared distance from the others."""
    chosen = [int(generator.integers(len(points)))]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < min(count, len(points)) and nearest.max() > 0:
        cumulated = np.cumsum(nearest)
        chosen.append(int(np.searchsorted(cumulated, generator.random() * cumulated[-1], side="right")))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return points[chosen]
