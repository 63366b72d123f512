"""What a loss term is: one row that holds all there is to know about it. `STAGES` (stages.py) has the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

# What a term may need beside the network's answer and the masks -> what is said where it is missing.
NEEDS: Mapping[str, str] = {
    "parsing": "no parsing in the data",
    "vgg": "no VGG-16 weights (loss.vgg)",
    "adversary": "no adversary",
}


class Comparison(Protocol):
    """A network's answer beside the truth: what the functions of a stage's terms are called with."""

    @property
    def available(self) -> set[str]:
        """Which of `NEEDS` are there."""
        ...


Compared = TypeVar("Compared", bound=Comparison)


@dataclass(frozen=True)
class Term(Generic[Compared]):
    """One loss term.

    Args:
        name: in settings (`loss.weights.NAME`), logs and documents.
        function: comparison -> its value, a scalar with a gradient; None where the network has no such output.
        meaning: half a sentence for the documents.
        weights: its weight in each recipe (`deocc_bench.models.config.Recipe`); 0 where it is not named.
        needs: of `NEEDS`; where one is missing the term is left out, and the run says so.
    """

    name: str
    function: Callable[[Compared], Tensor | None]
    meaning: str
    weights: Mapping[str, float] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


def met_needs(**there: object) -> set[str]:
    """Those of `NEEDS` that are not None."""
    assert set(there) == set(NEEDS), there
    return {need for need, value in there.items() if value is not None}


def evaluate(terms: Iterable[Term[Compared]], compared: Compared, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The unweighted values, by name, of the terms that have a weight over 0 and what they need."""
    available = compared.available
    values: dict[str, Tensor] = {}
    for term in weighted(terms, weights):
        value = term.function(compared) if available.issuperset(term.needs) else None
        if value is not None:
            values[term.name] = value
    return values


def weighted(terms: Iterable[Term[Compared]], weights: Mapping[str, float]) -> list[Term[Compared]]:
    """The terms with a weight over 0."""
    return [term for term in terms if weights.get(term.name, 0) > 0]


def needing(terms: Sequence[Term[Any]], weights: Mapping[str, float], need: str) -> list[str]:
    """Names of the terms with a weight over 0 that need `need`."""
    return [term.name for term in weighted(terms, weights) if need in term.needs]


def recipe_weights(terms: Sequence[Term[Any]], recipe: str) -> dict[str, float]:
    """The weight of each term in a recipe."""
    return {term.name: float(term.weights.get(recipe, 0.0)) for term in terms}


def total(values: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of terms."""
    return torch.stack([weights[name] * value for name, value in values.items()]).sum()
