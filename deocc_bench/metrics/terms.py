"""Building blocks of the metrics: columns of the per-sample table become a numerator and a denominator per sample.

The value of a metric is the mean over the columns of sum(numerators) / sum(denominators). A plain mean has denominator
1 where it is defined and 0 elsewhere; a pooled metric sums integers on both sides. One rule therefore merges,
bootstraps and tests all metrics.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from deocc_bench.core.samples import column
from deocc_bench.metrics.parts import CLASSES

Terms = tuple[np.ndarray, np.ndarray]
TermsOf = Callable[[pd.DataFrame], Terms]

# The PSNR of two equal pictures is infinite; the cap keeps such samples in the mean.
PSNR_CAP = 100.0


def mean_of(values: np.ndarray) -> Terms:
    """Terms of a mean over the samples whose value (N,) is not NaN."""
    defined = ~np.isnan(values)
    return np.where(defined, values, 0.0), defined.astype(np.float64)


def pooled(numerators: np.ndarray, denominators: np.ndarray) -> Terms:
    """Terms of a ratio of sums; a sample with NaN on either side contributes nothing."""
    defined = ~(np.isnan(numerators) | np.isnan(denominators))
    return np.where(defined, numerators, 0.0), np.where(defined, denominators, 0.0)


def divide(numerators: np.ndarray, denominators: np.ndarray) -> np.ndarray:
    """Sample-wise ratio, NaN where the denominator is 0 or either side is NaN."""
    out = np.full(np.broadcast(numerators, denominators).shape, np.nan)
    return np.divide(numerators, denominators, out=out, where=denominators > 0)


def overlap(table: pd.DataFrame, first: str, second: str, inter: str) -> tuple[np.ndarray, np.ndarray]:
    """Intersection and union (N,) from the columns of two areas and of their intersection."""
    common = column(table, inter)
    return common, column(table, first) + column(table, second) - common


def iou(first: str, second: str, inter: str, needs: str | None = None) -> TermsOf:
    """Mean IoU from the columns of two areas and their intersection; undefined where the column `needs` is 0."""

    def terms(table: pd.DataFrame) -> Terms:
        values = divide(*overlap(table, first, second, inter))
        return mean_of(values if needs is None else np.where(column(table, needs) > 0, values, np.nan))

    return terms


def pooled_iou(first: str, second: str, inter: str) -> TermsOf:
    """Sum of intersections / sum of unions."""
    return lambda table: pooled(*overlap(table, first, second, inter))


def mean_ratio(numerator: str, denominator: str) -> TermsOf:
    """Mean over samples of the ratio of two columns; undefined where the denominator is 0."""
    return lambda table: mean_of(divide(column(table, numerator), column(table, denominator)))


def pooled_ratio(numerator: str, denominator: str) -> TermsOf:
    """Ratio of the sums of two columns."""
    return lambda table: pooled(column(table, numerator), column(table, denominator))


def _pixels(table: pd.DataFrame) -> np.ndarray:
    return column(table, "height") * column(table, "width")


def mask_l1(table: pd.DataFrame) -> Terms:
    """Mean share of the image's pixels where the amodal masks differ."""
    common, union = overlap(table, "predicted", "amodal", "amodal_inter")
    return mean_of(divide(union - common, _pixels(table)))


def parsing_miou(table: pd.DataFrame) -> Terms:
    """Mean over samples of the mean IoU over the classes present in the sample's ground truth or prediction."""
    ious = divide(_stack(table, "parsing_inter", CLASSES), _stack(table, "parsing_union", CLASSES))
    defined = ~np.isnan(ious)
    classes = defined.sum(axis=1)
    return mean_of(divide(np.where(defined, ious, 0.0).sum(axis=1), classes.astype(np.float64)))


def parsing_miou_pooled(table: pd.DataFrame) -> Terms:
    """Mean over classes of the pooled IoU; one column per class."""
    return pooled(_stack(table, "parsing_inter", CLASSES), _stack(table, "parsing_union", CLASSES))


def part_recall(names: tuple[str, ...]) -> TermsOf:
    """Pooled share of the hidden pixels of these LIP classes that the amodal mask covers."""
    return lambda table: pooled(
        _stack(table, "part_covered", names).sum(axis=1), _stack(table, "part_invisible", names).sum(axis=1)
    )


def _stack(table: pd.DataFrame, prefix: str, names: tuple[str, ...]) -> np.ndarray:
    return np.stack([column(table, f"{prefix}[{name}]") for name in names], axis=1)


def _region_size(table: pd.DataFrame, region: str) -> np.ndarray:
    return _pixels(table) if region == "image" else column(table, "amodal" if region == "human" else "invisible")


def l1(region: str) -> TermsOf:
    """Mean absolute difference in [0, 1] over a region of `content.REGIONS`."""
    return lambda table: mean_of(divide(column(table, f"abs_{region}"), 3 * 255.0 * _region_size(table, region)))


def psnr(region: str) -> TermsOf:
    """Mean over samples of the PSNR in dB over a region, each capped at `PSNR_CAP`."""

    def terms(table: pd.DataFrame) -> Terms:
        error = divide(column(table, f"sq_{region}"), 3.0 * _region_size(table, region))
        with np.errstate(divide="ignore"):
            return mean_of(np.minimum(10.0 * np.log10(255.0**2 / error), PSNR_CAP))

    return terms


def value_of(name: str) -> TermsOf:
    """Mean of a column."""
    return lambda table: mean_of(column(table, name))


def preservation_l1(table: pd.DataFrame) -> Terms:
    """Mean absolute difference in [0, 1] between raw prediction and input over the true modal mask."""
    return mean_of(divide(column(table, "keep_abs"), 3 * 255.0 * column(table, "modal")))
