"""Randomness that depends only on (seed, purpose, ids), not on order, workers, platform or earlier draws."""

from __future__ import annotations

import hashlib

import numpy as np


def hash64(*parts: object) -> int:
    """Hash the text of `parts` to a 64-bit integer (SHA-256), the same on every machine and Python version."""
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def rng(seed: int, purpose: str, *ids: object) -> np.random.Generator:
    """An independent generator for one purpose and one item, e.g. `rng(0, "placement", "ccp-0001", 2)`."""
    return np.random.Generator(np.random.PCG64(hash64(seed, purpose, *ids)))


def unit_hash(seed: int, purpose: str, *ids: object) -> float:
    """Hash to a number in [0, 1), uniformly distributed over ids."""
    return (hash64(seed, purpose, *ids) >> 11) / 2**53
