"""What the leaderboard asks of the benchmark, by name: the two rooms talk through files, and it is imported nowhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.registry import Registry

Terms = tuple[np.ndarray, np.ndarray]


class Definition(Protocol):
    """What is asked of a metric's definition; `terms`: per-sample table -> numerators, denominators (N,) or (N, K)."""

    @property
    def definition(self) -> str: ...
    @property
    def meaning(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def terms(self) -> Callable[[pd.DataFrame], Terms] | None: ...


@dataclass(frozen=True)
class Rescored:
    """A run scored anew from its predictions: metrics as in the record, and the digest of the predictions read."""

    metrics: Mapping[str, Mapping[str, Any]]
    predictions_digest: str | None


# Raises UsageError for a metric it does not know.
Lookup = Callable[[str], Definition]
# (folder of the run, dataset that it was scored on) -> the new numbers; raises DeoccError where it can't.
Rescore = Callable[[Path, DatasetReader], Rescored | Mapping[str, Any]]

HOOKS = Registry(
    "hook of the benchmark",
    {
        "definitions": "deocc_bench.metrics.spec:get_spec",
        "rescore": "deocc_bench.benchmark.verify:rescore_run",
    },
)


def load_definitions() -> Lookup:
    """The benchmark's metric definitions."""
    lookup: Lookup = HOOKS.load("definitions")
    return lookup


def load_rescore() -> Rescore:
    """The benchmark's scoring of a run's predictions.

    Raises:
        DeoccError: this installation has none.
    """
    try:
        rescore: Rescore = HOOKS.load("rescore")
    except (ImportError, AttributeError) as error:
        raise DeoccError(f"--verify needs the scoring code ({error}); install deocc-bench whole") from error
    return rescore


def define(lookup: Lookup | None, metric: str, definition: str) -> Definition | None:
    """The definition that a record's metric was computed by; None where this version does not know exactly that one."""
    if lookup is None:
        return None
    try:
        found = lookup(metric)
    except UsageError:
        return None
    return found if found.definition == definition else None


def terms_of(known: Definition | None, table: pd.DataFrame | None) -> Terms | None:
    """Numerators and denominators, float64 (N, K), of a metric over a table; None where it is no function of it."""
    if known is None or known.terms is None or table is None:
        return None
    num, den = (np.asarray(v, dtype=np.float64) for v in known.terms(table))
    return (num[:, None], den[:, None]) if num.ndim == 1 else (num, den)
