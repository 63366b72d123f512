"""Weighted choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

T = TypeVar("T")


def pick(rng: np.random.Generator, options: Sequence[T] | Mapping[T, float]) -> T:
    """Pick from a list with equal weights, or from a mapping to weights (the order of the mapping matters)."""
    if isinstance(options, Mapping):
        items = list(options)
        edges = np.cumsum([options[i] for i in items])
        return items[min(int(np.searchsorted(edges, rng.random() * edges[-1], side="right")), len(items) - 1)]
    return options[int(rng.integers(len(options)))]
