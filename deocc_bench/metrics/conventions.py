"""Named conventions of other papers for the "(invisible) mIoU", computed from the same per-sample integers.

Each convention states how it pools, over which region, and the value of two empty masks. Published implementations
guard against division by zero (1e-6, 1e-7 or 1e-10 in a denominator). These guards change no value by more than 1e-6
and are left out, except in SAVOS, where the guard determines the value of the empty case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.core.samples import column
from deocc_bench.core.statistics import RESAMPLES
from deocc_bench.metrics.aggregate import MetricValue, per_sample, summarise
from deocc_bench.metrics.definition import MetricSpec
from deocc_bench.metrics.masks import joined_overlap
from deocc_bench.metrics.spec import METRICS
from deocc_bench.metrics.terms import Terms, TermsOf, divide, mean_of, overlap, pooled

SAVOS_SMOOTH = 1e-6
DEFAULT = "deocc-bench"


@dataclass(frozen=True)
class Convention:
    """One way to score.

    Args:
        name: the value of `--convention`.
        pooling: "mean" over samples, "pooled" sums, or both.
        region: where prediction and ground truth are compared.
        both_empty: the value of a sample whose two masks are empty.
        source: code or paper.
        specs: its metrics, the main one first.
    """

    name: str
    pooling: str
    region: str
    both_empty: str
    source: str
    specs: tuple[MetricSpec, ...]


def score(
    table: pd.DataFrame, name: str = DEFAULT, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, MetricValue]:
    """The metrics of one convention.

    Raises:
        UsageError: no such convention.
    """
    return summarise(table, {s.id: s for s in get_convention(name).specs}, seed, resamples)


def table_of_conventions(
    table: pd.DataFrame, seed: int = 0, resamples: int = RESAMPLES, draws: int = 1
) -> pd.DataFrame:
    """One row per convention and metric: value, low, high, n, n_defined, and the convention's four properties.

    Args:
        draws: rows per sample; `n` and `n_defined` count samples.
    """
    rows = []
    for convention in CONVENTIONS.values():
        for metric, value in per_sample(score(table, convention.name, seed, resamples), draws).items():
            low, high = value["ci95"] or (None, None)
            rows.append(
                {
                    "convention": convention.name,
                    "metric": metric,
                    "value": value["value"],
                    "low": low,
                    "high": high,
                    "n": value["n"],
                    "n_defined": value["n_defined"],
                    "pooling": convention.pooling,
                    "region": convention.region,
                    "both_empty": convention.both_empty,
                    "source": convention.source,
                }
            )
    return pd.DataFrame(rows)


def get_convention(name: str) -> Convention:
    """The convention with this name.

    Raises:
        UsageError: no such convention; suggests the nearest name.
    """
    if name not in CONVENTIONS:
        raise UsageError(unknown("convention", name, CONVENTIONS))
    return CONVENTIONS[name]


def _hidden(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return overlap(table, "predicted_invisible", "invisible", "invisible_inter")


def _full(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    return overlap(table, "predicted", "amodal", "amodal_inter")


def _c2f(first: str, inter: str) -> TermsOf:
    def terms(table: pd.DataFrame) -> Terms:
        values = divide(*overlap(table, first, "invisible", inter))
        return mean_of(np.where(column(table, "invisible") > 0, values, np.nan))

    return terms


def _savos(table: pd.DataFrame) -> Terms:
    inter, union = _hidden(table)
    return mean_of((inter + SAVOS_SMOOTH) / (union + SAVOS_SMOOTH))


def _segan(table: pd.DataFrame) -> Terms:
    # Both masks are clipped to the true invisible region: the union is that region, the intersection its covered part.
    truth, inter = column(table, "invisible"), column(table, "invisible_inter")
    return mean_of(np.where(truth == 0, 1.0, divide(inter, truth)))


def _ahp_sides(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    inter, union = _full(table)
    return inter, np.where(union == 0, 1.0, union)


def _ahp_bin(number: int) -> TermsOf:
    def terms(table: pd.DataFrame) -> Terms:
        modal, amodal = column(table, "modal"), column(table, "amodal")
        place = np.minimum(np.floor_divide(10 * modal, np.maximum(amodal, 1)), 9)
        values = divide(*_ahp_sides(table))
        return mean_of(np.where(place == number, values, np.nan))

    return terms


def _spec(convention: str, name: str, meaning: str, source: str, terms: TermsOf, **row: Any) -> MetricSpec:
    # A convention without its own `row` reads columns that this benchmark's metrics write.
    return MetricSpec(id=f"{name}[{convention}]", region="mask", meaning=meaning, source=source, terms=terms, **row)


def _build() -> list[Convention]:
    hidden = "prediction & ~true modal against true amodal & ~true modal"
    full = "whole amodal masks"
    pcnets, wild = "Zhan et al., CVPR 2020, tools/test.py", "Zhan et al., CVPR 2024 and Nguyen et al., ICCV 2021 (ASBU)"
    c2f, savos = "Gao et al., ICCV 2023 (C2F-Seg)", "Yao et al., NeurIPS 2022 (SaVos)"
    segan, ahp = "Ehsani et al., CVPR 2018 (SeGAN)", "Zhou et al., CVPR 2021, metrics.py"
    bins = [
        _spec(
            "ahp",
            f"iou_visible_{k / 10:.1f}_{(k + 1) / 10:.1f}",
            f"mean over samples with a visible ratio in bin {k} of 10",
            ahp,
            _ahp_bin(k),
        )
        for k in range(10)
    ]
    return [
        Convention(DEFAULT, "mean", hidden, "left out", "this benchmark", (METRICS["invisible_iou_mean"],)),
        Convention(
            "pcnets",
            "pooled",
            full,
            "adds nothing",
            pcnets,
            (_spec("pcnets", "miou", "pooled amodal IoU", pcnets, lambda t: pooled(*_full(t))),),
        ),
        Convention(
            "wild",
            "pooled",
            hidden,
            "adds nothing",
            wild,
            (_spec("wild", "inv_miou", "pooled invisible IoU", wild, lambda t: pooled(*_hidden(t))),),
        ),
        Convention(
            "c2f-seg",
            "mean",
            hidden,
            "dropped from the count, as every sample without an invisible region",
            c2f,
            (
                _spec("c2f-seg", "occ_iou", "mean invisible IoU", c2f, _c2f("predicted_invisible", "invisible_inter")),
                _spec(
                    "c2f-seg",
                    "occ_iou_post",
                    "the same, after the union of the prediction with the input visible mask",
                    c2f,
                    _c2f("joined_invisible", "joined_inter"),
                    row=joined_overlap,
                    inputs=("predicted", "initial", "amodal", "modal"),
                ),
            ),
        ),
        Convention(
            "savos",
            "mean",
            hidden,
            "1 (1e-6 on both sides of the ratio)",
            savos,
            (_spec("savos", "inv_iou", "mean smoothed invisible IoU", savos, _savos),),
        ),
        Convention(
            "segan",
            "mean",
            "both clipped to the true invisible region (recall in disguise)",
            "1",
            segan,
            (_spec("segan", "si_iou", "mean recall of the invisible region", segan, _segan),),
        ),
        Convention(
            "ahp",
            "mean and pooled",
            full,
            "0, and its union is counted as 1",
            ahp,
            (
                _spec("ahp", "instance_iou", "mean amodal IoU", ahp, lambda t: mean_of(divide(*_ahp_sides(t)))),
                _spec("ahp", "global_iou", "pooled amodal IoU", ahp, lambda t: pooled(*_ahp_sides(t))),
                *bins,
            ),
        ),
    ]


CONVENTIONS: dict[str, Convention] = {c.name: c for c in _build()}
