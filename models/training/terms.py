"""Loss terms: each term is defined by one row of a table. `STAGES` (stages.py) refers to the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

# Inputs that a term may need in addition to the prediction and the masks -> message if the input is missing.
NEEDS: Mapping[str, str] = {
    "parsing": "no parsing in the data",
    "vgg": "no VGG-16 weights (loss.vgg)",
    "adversary": "no adversary",
}


class Comparison(Protocol):
    """A prediction and its ground truth: the argument of the functions of a stage's terms."""

    @property
    def available(self) -> set[str]:
        """The subset of `NEEDS` that is available."""
        ...


Compared = TypeVar("Compared", bound=Comparison)


@dataclass(frozen=True)
class Term(Generic[Compared]):
    """One loss term.

    Args:
        name: name in settings (`loss.weights.NAME`), logs and documents.
        function: comparison -> value, a scalar with a gradient; None if the network has no such output.
        meaning: short description for the documents.
        weights: weight in each recipe (`deocc_bench.models.config.Recipe`); 0 for recipes that are not listed.
        needs: keys of `NEEDS`; if one is not available, the term is left out, and the run reports it.
    """

    name: str
    function: Callable[[Compared], Tensor | None]
    meaning: str
    weights: Mapping[str, float] = field(default_factory=dict)
    needs: tuple[str, ...] = ()


def met_needs(**values: object) -> set[str]:
    """The subset of `NEEDS` whose value is not None."""
    assert set(values) == set(NEEDS), values
    return {need for need, value in values.items() if value is not None}


def evaluate(terms: Iterable[Term[Compared]], compared: Compared, weights: Mapping[str, float]) -> dict[str, Tensor]:
    """The unweighted values, by name, of the terms that have a positive weight and whose needs are met."""
    available = compared.available
    values: dict[str, Tensor] = {}
    for term in weighted(terms, weights):
        value = term.function(compared) if available.issuperset(term.needs) else None
        if value is not None:
            values[term.name] = value
    return values


def weighted(terms: Iterable[Term[Compared]], weights: Mapping[str, float]) -> list[Term[Compared]]:
    """The terms with a positive weight."""
    return [term for term in terms if weights.get(term.name, 0) > 0]


def needing(terms: Sequence[Term[Any]], weights: Mapping[str, float], need: str) -> list[str]:
    """Names of the terms with a positive weight that need `need`."""
    return [term.name for term in weighted(terms, weights) if need in term.needs]


def recipe_weights(terms: Sequence[Term[Any]], recipe: str) -> dict[str, float]:
    """The weight of each term in a recipe."""
    return {term.name: float(term.weights.get(recipe, 0.0)) for term in terms}


def total(values: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The weighted sum of terms."""
    return torch.stack([weights[name] * value for name, value in values.items()]).sum()
