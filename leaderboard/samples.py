"""Metric values of single samples, used to find the worst, best and most disputed ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.samples import categories_of, column
from deocc_bench.core.statistics import statistic
from deocc_bench.leaderboard.records import Run
from deocc_bench.leaderboard.table import Column, Table
from deocc_bench.metrics.definition import Region
from deocc_bench.metrics.terms import divide


@dataclass(frozen=True)
class SampleValues:
    """The per-sample values of one metric.

    Args:
        column: the metric.
        ids: sample ids, sorted.
        values: float64 (runs, samples) in the order of the table's rows; NaN where undefined or unknown.
        ratio: float64 (samples,), hidden share of the person; NaN where unknown.
        occluders: categories of each sample's occluders.
    """

    column: Column
    ids: tuple[str, ...]
    values: np.ndarray
    ratio: np.ndarray
    occluders: tuple[str, ...]

    def of(self, sample: str, row: int) -> float:
        """The value of table row `row` on a sample; NaN if unknown."""
        try:
            return float(self.values[row, self.ids.index(sample)])
        except ValueError:
            return np.nan

    @property
    def mean(self) -> np.ndarray:
        """(samples,): mean over the runs where it is defined; NaN if there are none."""
        known = ~np.isnan(self.values)
        total = np.where(known, self.values, 0).sum(axis=0)
        return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)

    def worst_first(self) -> list[int]:
        """Indices of the samples, worst mean first, undefined ones last."""
        mean = self.mean if self.column.higher_is_better else -self.mean
        return [int(i) for i in np.lexsort((np.array(self.ids), np.where(np.isnan(mean), np.inf, mean)))]

    def defined(self) -> list[int]:
        """`worst_first` without samples that are undefined in all runs."""
        mean = self.mean
        return [i for i in self.worst_first() if not np.isnan(mean[i])]


@dataclass(frozen=True)
class Section:
    """One table with the data of its samples.

    Args:
        dataset: the dataset of the runs, if available.
        values: values of the sort column, or of the first shown column with per-sample values.
        of_region: the same for columns about masks and for columns about recovered pictures.
    """

    table: Table
    dataset: DatasetReader | None
    values: SampleValues | None
    of_region: Mapping[Region, SampleValues | None]


def sample_values(table: Table, region: Region | None = None) -> SampleValues | None:
    """Values of the sort column, or of the first shown column with per-sample values; None if there is none.

    Args:
        region: use only columns of this region; None: all columns.
    """
    columns = [c for c in table.columns if region in (None, c.region)]
    for shown in sorted(columns, key=lambda c: c.id != table.sort):
        per_run = [_of_run(row.run, shown) for row in table.rows]
        known = [r for r in per_run if r]
        if not known:
            continue
        ids = sorted(set().union(*known))
        values = np.array([[found.get(i, np.nan) for i in ids] for found in per_run], dtype=np.float64)
        ratio, categories = _about(table, ids)
        return SampleValues(shown, tuple(ids), values, ratio, categories)
    return None


def _of_run(run: Run, shown: Column) -> dict[str, float]:
    terms = run.terms(shown.spec)
    if terms is None:
        return {}
    ids, place = np.unique(run.sample_ids, return_inverse=True)
    num, den = np.zeros((len(ids), terms[0].shape[1])), np.zeros((len(ids), terms[0].shape[1]))
    np.add.at(num, place.ravel(), terms[0])
    np.add.at(den, place.ravel(), terms[1])
    return dict(zip(ids.tolist(), statistic(num, den).tolist(), strict=True))


def _about(table: Table, ids: list[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    ratio: dict[str, float] = {}
    categories: dict[str, str] = {}
    for row in table.rows:
        samples, names = row.run.samples, row.run.sample_ids.tolist()
        if samples is None:
            continue
        share = divide(column(samples, "invisible"), column(samples, "amodal"))
        ratio |= {name: s for name, s in zip(names, share.tolist(), strict=True) if not np.isnan(s)}
        if "occluder_categories" in samples.columns:
            texts = [", ".join(categories_of(cell)) for cell in samples["occluder_categories"]]
            categories |= dict(zip(names, texts, strict=True))
        if ratio and categories:
            break
    return np.array([ratio.get(i, np.nan) for i in ids]), tuple(categories.get(i, "") for i in ids)
