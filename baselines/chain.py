"""chain: any mask method followed by any content method, so that single-stage baselines can enter the joint task."""

from __future__ import annotations

from typing import Any

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput
from deocc_bench.methods.names import METHODS


class Chain:
    """`chain:MASKS+CONTENT`, two registered names, e.g. `chain:convex-hull+telea`. Source: own.

    The content method sees the mask method's answer and no truth: parsing only where the mask method gives it.

    Args:
        preset: the two names, joined by "+".

    Raises:
        UsageError: unknown names, or a method that lacks the function it is chained for.
    """

    name = "chain"
    needs: tuple[str, ...] = ("initial", "fit")

    def __init__(self, preset: str = "nearest-template+telea") -> None:
        first, plus, second = preset.partition("+")
        if not plus:
            raise UsageError(f"chain takes two method names, as in chain:convex-hull+telea, got {preset!r}")
        self.stages: tuple[Any, Any] = (METHODS.load(first)(), METHODS.load(second)())
        for stage, name, function in zip(self.stages, (first, second), ("complete", "recover"), strict=True):
            if not callable(getattr(stage, function, None)):
                raise UsageError(f"chain: method {name!r} has no {function}(); put mask methods first, content second")
        self.complete_needs, self.recover_needs = (tuple(s.needs) for s in self.stages)
        self.needs = tuple(n for n in ("fit", "truth") if n in self.complete_needs + self.recover_needs)

    def fit(self, dataset: DatasetReader, split: str) -> None:
        """Fit each stage that learns."""
        for stage in self.stages:
            if "fit" in stage.needs:
                stage.fit(dataset, split)

    def reveal(self, dataset: DatasetReader, split: str) -> None:
        """Show the evaluated split to each stage that is told the truth."""
        for stage in self.stages:
            if "truth" in stage.needs:
                stage.reveal(dataset, split)

    def complete(self, batch: Batch) -> MaskOutput:
        """What the first method gives."""
        output: MaskOutput = self.stages[0].complete(batch)
        return output

    def recover(self, batch: Batch) -> ContentOutput:
        """What the second method gives."""
        output: ContentOutput = self.stages[1].recover(batch)
        return output
