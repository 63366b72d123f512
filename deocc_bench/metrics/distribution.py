"""Distances between two sets of features: Frechet distance (FID's formula) and kernel distance (KID's), in float64."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr, svdvals

from deocc_bench.core.errors import DeoccError
from deocc_bench.core.seeding import rng

# A distance below this share of the total variance is rounding error of the sum.
_ROUNDING = 1e-12


def frechet_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Frechet distance between the Gaussians with the sample moments of two feature sets.

    |m1 - m2|^2 + Tr(S1 + S2 - 2 sqrt(S1 S2)), where Tr sqrt(S1 S2) is the nuclear norm of
    `X1 X2^T / sqrt((n1-1)(n2-1))` for the centred features X: with S_i = X_i^T X_i / (n_i - 1), the eigenvalues of
    S1 S2 are the squared singular values of that matrix. This needs no matrix square root, has no imaginary part, and
    needs no regularisation of rank-deficient covariances. A set with more rows than columns is first replaced by the R
    of its QR factorisation, which does not change the singular values.

    The statistic is biased in n: never compare values of unequal n, and use `kernel_distance` for small sets.

    Args:
        first, second: (n1, d) and (n2, d), any float type; n1, n2 >= 2.

    Returns:
        The distance, >= 0; values within rounding error (relative to the variances) become 0.

    Raises:
        DeoccError: fewer than two rows, unequal widths, or a non-finite value.

    Source: Heusel et al., NeurIPS 2017; Dowson and Landau, J. Multivariate Analysis 1982.
    """
    x, y = _checked(first, second)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    x = (x - mean_x) / np.sqrt(len(x) - 1)
    y = (y - mean_y) / np.sqrt(len(y) - 1)
    shift = float(np.sum((mean_x - mean_y) ** 2))
    total = float(np.sum(x * x) + np.sum(y * y))
    overlap = float(svdvals(_short(x) @ _short(y).T, check_finite=False).sum())
    spread = total - 2.0 * overlap
    return shift + (spread if spread > _ROUNDING * total else 0.0)


def kernel_distance(
    first: np.ndarray, second: np.ndarray, subsets: int | None = None, subset_size: int = 1000, seed: int = 0
) -> float:
    """Unbiased squared MMD with the kernel `(x.y / d + 1)^3` (KID's formula); it may be below 0.

    Args:
        first, second: (n1, d) and (n2, d), any float type; n1, n2 >= 2.
        subsets: None uses all rows once: the estimator with the least variance, and deterministic. A number draws that
            many seeded subsets without replacement and returns their mean, like published code.
        subset_size: rows per subset and set (all rows of a smaller set).
        seed: seed of the subsets.

    Raises:
        DeoccError: same as `frechet_distance`.

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018.
    """
    x, y = _checked(first, second)
    if subsets is None:
        return _mmd2(x, y)
    draw = rng(seed, "kernel-distance", subsets, subset_size)
    m, n = min(subset_size, len(x)), min(subset_size, len(y))
    values = [
        _mmd2(x[draw.choice(len(x), m, replace=False)], y[draw.choice(len(y), n, replace=False)])
        for _ in range(subsets)
    ]
    return float(np.mean(values))


def _mmd2(x: np.ndarray, y: np.ndarray) -> float:
    m, n = len(x), len(y)
    within_x = (_kernel(x, x).sum() - _diagonal(x).sum()) / (m * (m - 1))
    within_y = (_kernel(y, y).sum() - _diagonal(y).sum()) / (n * (n - 1))
    return float(within_x + within_y - 2.0 * _kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    base = x @ y.T / x.shape[1] + 1.0
    return np.asarray(base * base * base)


def _diagonal(x: np.ndarray) -> np.ndarray:
    return np.asarray(((x * x).sum(axis=1) / x.shape[1] + 1.0) ** 3)


def _short(x: np.ndarray) -> np.ndarray:
    if x.shape[0] <= x.shape[1]:
        return x
    return np.asarray(qr(x, mode="r", check_finite=False)[0][: x.shape[1]])


def _checked(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1]:
        raise DeoccError(
            f"features must be (n1, d) and (n2, d), but are {x.shape} and {y.shape}; use one extractor for both"
        )
    if len(x) < 2 or len(y) < 2:
        raise DeoccError(
            f"a distance between distributions needs at least two samples per set, not {len(x)} and {len(y)}"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise DeoccError("the features contain NaN or infinity; check the extractor and its input")
    return x, y
