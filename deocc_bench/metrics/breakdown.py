"""Metrics over subsets of the samples: by occlusion ratio, occluder, hidden body part, occluder count, frame cut."""

from __future__ import annotations

import numpy as np
import pandas as pd

from deocc_bench.core.samples import categories_of, column
from deocc_bench.core.statistics import RESAMPLES
from deocc_bench.metrics.aggregate import MetricValue, aggregate
from deocc_bench.metrics.parts import PARTS

RATIO_BINS = tuple(f"[{k / 10:.1f}, {(k + 1) / 10:.1f}" + ("]" if k == 9 else ")") for k in range(10))
KINDS = ("occlusion_ratio", "occluder_category", "body_part", "occluders", "cut_by_frame")

Breakdown = dict[str, dict[str, dict[str, MetricValue]]]


def breakdown(table: pd.DataFrame, task: str, seed: int = 0, resamples: int = RESAMPLES) -> Breakdown:
    """Kind -> bin -> metric id -> value, for non-empty bins.

    Bins of one kind may share samples: a sample counts in the bin of every category among its occluders, and in the bin
    of every body part with a hidden pixel.
    """
    return {
        kind: {name: aggregate(table[rows], task, seed, resamples) for name, rows in bins.items() if rows.any()}
        for kind, bins in members(table).items()
    }


def members(table: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """Kind -> bin -> bool (N,): the rows of the bin. A kind whose columns are missing from the table has no bins."""
    bins: dict[str, dict[str, np.ndarray]] = {kind: {} for kind in KINDS}
    place = ratio_bin(table)
    bins["occlusion_ratio"] = {name: place == k for k, name in enumerate(RATIO_BINS)}
    if "occluder_categories" in table.columns:
        lists = [set(categories_of(text)) for text in table["occluder_categories"]]
        for category in sorted(set().union(*lists)):
            bins["occluder_category"][category] = np.array([category in found for found in lists], dtype=bool)
    bins["body_part"] = {name: column(table, f"part_invisible[{name}]") > 0 for name in PARTS}
    occluders = column(table, "occluders")
    for count in np.unique(occluders[~np.isnan(occluders)]):
        bins["occluders"][str(int(count))] = occluders == count
    cut = column(table, "touches_frame")
    bins["cut_by_frame"] = {"no": cut == 0, "yes": cut == 1}
    return bins


def ratio_bin(table: pd.DataFrame) -> np.ndarray:
    """Bin 0..9 of each sample's ratio |invisible| / |amodal|, by integer arithmetic; -1 where undefined."""
    hidden, amodal = column(table, "invisible"), column(table, "amodal")
    known = amodal > 0
    place = np.floor_divide(10 * np.where(known, hidden, 0.0), np.where(known, amodal, 1.0))
    return np.where(known, np.minimum(place, 9), -1).astype(np.int64)
