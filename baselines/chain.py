"""chain: any mask method followed by any content method, so that single-stage methods can enter the joint task."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import UsageError
from deocc_bench.core.types import Batch, ContentOutput, MaskOutput
from deocc_bench.methods import calling, contract
from deocc_bench.methods.contract import Stage
from deocc_bench.methods.devices import AUTO
from deocc_bench.methods.loading import as_method, load_method
from deocc_bench.methods.specs import names_code

DEFAULT = "nearest-template+telea"


class Chain:
    """`chain:MASKS+CONTENT`, two method specs, e.g. `chain:two-stage:tiny+telea`. Source: own.

    The content method sees the mask method's answer and no truth: parsing only where the mask method gives it. Options
    are given with the number of their part, as in `-O 1.mirror=true -O 2.radius=3`. If both methods are random, each
    draw draws both, as often as the one with more draws asks for.

    Args:
        masks, content: the two methods: specs, classes, objects or `Method`s.

    Raises:
        UsageError: a method that lacks the function it is chained for, or that is a chain itself.
    """

    name = "chain"
    needs: tuple[str, ...] = ("initial", "fit")

    def __init__(self, masks: Any, content: Any) -> None:
        self.parts = (as_method(masks), as_method(content))
        for part, function in zip(self.parts, contract.FUNCTIONS["joint"], strict=True):
            if part.parts:
                raise UsageError(f"chain: {part.name!r} is a chain itself; name the two methods that do the work")
            if not part.can(function):
                raise UsageError(
                    f"chain: method {part.name!r} has no {function}(); put mask methods first, content second"
                )
        self.masks, self.content = self.parts
        self.name = f"chain:{self.masks.name}+{self.content.name}"
        self.complete_needs = self.masks.needs("complete")
        self.recover_needs = self.content.needs("recover")
        both = (*self.complete_needs, *self.recover_needs)
        self.needs = tuple(n for n in contract.CONDITIONS if n in both)
        self.samples = max((p.samples for p in self.parts if p.samples is not None), default=None)
        self.precision = "+".join(dict.fromkeys(p.precision for p in self.parts if p.precision)) or None

    @classmethod
    def from_spec(cls, preset: str | None, options: Mapping[str, Any], device: str = AUTO) -> Chain:
        """The chain of `MASKS+CONTENT`, with options named `1.NAME` and `2.NAME`.

        Raises:
            UsageError: not two specs, or an option without the number of its part.
        """
        specs = _split(DEFAULT if preset is None else preset)
        given = _options_of_parts(options)
        return cls(*(load_method(spec, own, device) for spec, own in zip(specs, given, strict=True)))

    @property
    def weights_used(self) -> dict[str, str] | None:
        """Part, or part and stage -> what it says of its weights; None where neither says anything."""
        found: dict[str, str] = {}
        for number, part in enumerate(self.parts, 1):
            if isinstance(part.weights, str):
                found[str(number)] = part.weights
            elif part.weights is not None:
                found |= {f"{number}.{stage}": text for stage, text in part.weights.items()}
        return found or None

    @property
    def parameter_count(self) -> int | None:
        """The parameters of both; None where neither has any."""
        counts = [p.parameters for p in self.parts if p.parameters is not None]
        return sum(counts) if counts else None

    def fit(self, dataset: DatasetReader, split: str) -> None:
        """Fit each method that learns."""
        for part, needs in self._parts_and_needs():
            if "fit" in needs:
                part.fit(dataset, split)

    def reveal(self, dataset: DatasetReader, split: str) -> None:
        """Show the evaluated split to each method that is told the truth."""
        for part, needs in self._parts_and_needs():
            if "truth" in needs:
                part.reveal(dataset, split)

    def complete(self, batch: Batch, seed: int | None = None) -> MaskOutput | np.ndarray:
        """What the first method gives."""
        output: MaskOutput | np.ndarray = calling.call(self.masks, "complete", batch, seed)
        return output

    def recover(self, batch: Batch, seed: int | None = None) -> ContentOutput | np.ndarray:
        """What the second method gives."""
        output: ContentOutput | np.ndarray = calling.call(self.content, "recover", batch, seed)
        return output

    def latency_stages(self, batch: Batch) -> list[Stage]:
        """The stages of both, numbered by part, with the hand-over between; a part that has none is one stage."""

        def hand_over(output: Any) -> Batch:
            masks = output if isinstance(output, MaskOutput) else MaskOutput(output)
            return calling.hand_over(batch, masks, self.recover_needs)

        first = self.masks.latency_stages(batch, "complete") or [("complete", lambda b: self.complete(b, 0))]
        second = self.content.latency_stages(batch, "recover") or [("recover", lambda b: self.recover(b, 0))]
        numbered = [[(f"{k}. {name}", call) for name, call in stages] for k, stages in ((1, first), (2, second))]
        return [*numbered[0], ("hand-over", hand_over), *numbered[1]]

    @contextlib.contextmanager
    def countable(self) -> Iterator[None]:
        """Within, both run operations that torch's counter knows."""
        with self.masks.countable(), self.content.countable():
            yield

    def _parts_and_needs(self) -> Iterator[tuple[Any, tuple[str, ...]]]:
        return zip(self.parts, (self.complete_needs, self.recover_needs), strict=True)


def _split(preset: str) -> tuple[str, str]:
    """The two specs of `MASKS+CONTENT`. A spec may hold a "+" itself if only one split names two methods.

    Raises:
        UsageError: no "+", or it can't be told which one separates the methods.
    """
    splits = [(preset[:i], preset[i + 1 :]) for i, sign in enumerate(preset) if sign == "+"]
    splits = [(first, second) for first, second in splits if first and second]
    if not splits:
        raise UsageError(f"chain takes two methods, as in chain:convex-hull+telea, got {preset!r}")
    known = splits if len(splits) == 1 else [s for s in splits if all(map(names_code, s))]
    if len(known) != 1:
        raise UsageError(
            f"chain:{preset}: can't tell which + separates the two methods; chain two methods, without + in their specs"
        )
    return known[0]


def _options_of_parts(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    given: tuple[dict[str, Any], dict[str, Any]] = ({}, {})
    for key, value in options.items():
        number, dot, name = key.partition(".")
        if not dot or number not in ("1", "2"):
            cure = f"write 1.{key} for the mask method or 2.{key} for the content method"
            if dot:
                cure = f"its parts are 1 and 2, as in 1.{name}"
            raise UsageError(f"method 'chain' has no option {key!r}; {cure}")
        given[int(number) - 1][name] = value
    return given
