"""Randomness that depends on (seed, purpose, ids) alone: not on order, workers, platform, or what was drawn before."""

from __future__ import annotations

import hashlib

import numpy as np


def hash64(*parts: object) -> int:
    """A 64-bit integer from the text of `parts` (SHA-256): the same on every machine and Python version."""
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def rng(seed: int, purpose: str, *ids: object) -> np.random.Generator:
    """A generator of its own for one purpose and one thing, e.g. `rng(0, "placement", "ccp-0001", 2)`."""
    return np.random.Generator(np.random.PCG64(hash64(seed, purpose, *ids)))


def unit_hash(seed: int, purpose: str, *ids: object) -> float:
    """A number in [0, 1), uniform over ids."""
    return (hash64(seed, purpose, *ids) >> 11) / 2**53
