"""The drawn humans (`mannequin`), with the same interface as the folders of photos."""

from __future__ import annotations

from typing import Any

from deocc_bench.core.types import Human
from deocc_bench.synth.humans.base import HumanInfo, info_from_mask
from deocc_bench.synth.mannequin import MannequinSource


class DrawnSource:
    """`count` drawn humans of one population; a larger count adds people and keeps the others.

    Args:
        seed: random seed of the population.
    """

    kind = "mannequin"

    def __init__(self, count: int, seed: int = 0) -> None:
        self._source = MannequinSource(count=count, seed=seed)

    def ids(self) -> list[str]:
        """The ids of all humans, sorted."""
        return sorted(self._source.ids())

    def group_of(self, human_id: str) -> str:
        """Each human is its own group."""
        return human_id

    def peek(self, human_id: str) -> HumanInfo:
        """See `HumanSource.peek`; a human must be drawn to answer this."""
        return info_from_mask(human_id, human_id, self.load(human_id).mask)

    def load(self, human_id: str) -> Human:
        """See `HumanSource.load`."""
        return self._source.load(human_id)

    def describe(self) -> dict[str, Any]:
        """See `HumanSource.describe`."""
        return {"kind": self.kind, "name": self.kind, "home": ""} | dict(self._source.describe())
