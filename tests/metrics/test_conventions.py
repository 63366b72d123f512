"""Each convention on small masks whose integers are counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from metric_rows import mask_row

from deocc_bench.core.errors import UsageError
from deocc_bench.core.samples import identity_row, to_table
from deocc_bench.metrics.aggregate import aggregate
from deocc_bench.metrics.conventions import CONVENTIONS, score, table_of_conventions


def line(text: str) -> np.ndarray:
    """One row of ten pixels, '#' is True."""
    assert len(text) == 10
    return np.array([[c == "#" for c in text]])


# sample   truth A      visible M    prediction P  input I       |A| |M| |A&~M|  |P| |P&A|  |P&~M| |P&A&~M|
#   a    ########..   ####......   ######..##   ##........      8   4    4      8    6      4       2
#   b    ####......   ####......   #####.....   ####......      4   4    0      5    4      1       0
#   c    ####......   ####......   ####......   ####......      4   4    0      4    4      0       0
#   d    ..........   ..........   ..........   ..........      0   0    0      0    0      0       0
#   e    ##########   ##........   ##........   ##.......#     10   2    8      2    2      0       0
# Unions: full (P | A): 10, 5, 4, 0, 10; invisible ((P | A) & ~M): 4+4-2 = 6, 1, 0, 0, 8.
SAMPLES = {
    "a": ("########..", "####......", "######..##", "##........"),
    "b": ("####......", "####......", "#####.....", "####......"),
    "c": ("####......", "####......", "####......", "####......"),
    "d": ("..........", "..........", "..........", ".........."),
    "e": ("##########", "##........", "##........", "##.......#"),
}
SMOOTH = 1e-6


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = []
    for name, texts in SAMPLES.items():
        amodal, modal, predicted, initial = map(line, texts)
        rows.append(identity_row(name, name) | mask_row(amodal, modal, predicted, initial=initial))
    return to_table(rows)


def value(table: pd.DataFrame, convention: str, metric: str) -> float | None:
    return score(table, convention, resamples=20)[f"{metric}[{convention}]"]["value"]


def test_the_integers(table: pd.DataFrame) -> None:
    def numbers(column: str) -> list[int]:
        return table[column].tolist()

    assert numbers("amodal") == [8, 4, 4, 0, 10]
    assert numbers("modal") == [4, 4, 4, 0, 2]
    assert numbers("invisible") == [4, 0, 0, 0, 8]
    assert numbers("predicted") == [8, 5, 4, 0, 2]
    assert numbers("amodal_inter") == [6, 4, 4, 0, 2]
    assert numbers("predicted_invisible") == [4, 1, 0, 0, 0]
    assert numbers("invisible_inter") == [2, 0, 0, 0, 0]
    # P | I: only e's last pixel is new, and it is a hidden one.
    assert numbers("joined_invisible") == [4, 1, 0, 0, 1]
    assert numbers("joined_inter") == [2, 0, 0, 0, 1]


def test_deocc_bench(table: pd.DataFrame) -> None:
    result = score(table, "deocc-bench")["invisible_iou_mean"]
    assert result["value"] == (2 / 6 + 0 / 8) / 2
    assert (result["n"], result["n_defined"]) == (5, 2)
    assert result == aggregate(table, "mask")["invisible_iou_mean"]


def test_pcnets(table: pd.DataFrame) -> None:
    assert value(table, "pcnets", "miou") == (6 + 4 + 4 + 0 + 2) / (10 + 5 + 4 + 0 + 10)
    assert value(table, "pcnets", "miou") == aggregate(table, "mask")["amodal_iou_pooled"]["value"]


def test_wild(table: pd.DataFrame) -> None:
    assert value(table, "wild", "inv_miou") == 2 / (6 + 1 + 0 + 0 + 8)
    assert value(table, "wild", "inv_miou") == aggregate(table, "mask")["invisible_iou_pooled"]["value"]


def test_c2f_seg(table: pd.DataFrame) -> None:
    assert value(table, "c2f-seg", "occ_iou") == (2 / 6 + 0 / 8) / 2
    assert value(table, "c2f-seg", "occ_iou_post") == (2 / 6 + 1 / 8) / 2


def test_savos(table: pd.DataFrame) -> None:
    ious = [(2 + SMOOTH) / (6 + SMOOTH), SMOOTH / (1 + SMOOTH), 1.0, 1.0, SMOOTH / (8 + SMOOTH)]
    assert value(table, "savos", "inv_iou") == pytest.approx(sum(ious) / 5, rel=1e-15)


def test_segan(table: pd.DataFrame) -> None:
    assert value(table, "segan", "si_iou") == (2 / 4 + 1 + 1 + 1 + 0 / 8) / 5


def test_ahp(table: pd.DataFrame) -> None:
    assert value(table, "ahp", "instance_iou") == pytest.approx((6 / 10 + 4 / 5 + 1 + 0 / 1 + 2 / 10) / 5, rel=1e-15)
    assert value(table, "ahp", "global_iou") == (6 + 4 + 4 + 0 + 2) / (10 + 5 + 4 + 1 + 10)
    # Visible ratios 4/8, 4/4, 4/4, -, 2/10.
    assert value(table, "ahp", "iou_visible_0.5_0.6") == 6 / 10
    assert value(table, "ahp", "iou_visible_0.2_0.3") == 2 / 10
    assert value(table, "ahp", "iou_visible_0.9_1.0") == pytest.approx((4 / 5 + 1) / 2, rel=1e-15)
    assert value(table, "ahp", "iou_visible_0.3_0.4") is None


def test_the_same_masks_spread_widely_and_all_are_in_the_table(table: pd.DataFrame) -> None:
    frame = table_of_conventions(table, resamples=20)
    assert (
        set(frame["convention"])
        == set(CONVENTIONS)
        == {*("deocc-bench", "pcnets", "wild", "c2f-seg", "savos", "segan", "ahp")}
    )
    headline = frame.groupby("convention", sort=False)["value"].first()
    assert headline.max() - headline.min() > 0.5


def test_without_an_initial_mask_the_post_process_is_null() -> None:
    rows = [identity_row(n, n) | mask_row(*map(line, texts[:3])) for n, texts in SAMPLES.items()]
    assert value(to_table(rows), "c2f-seg", "occ_iou_post") is None


def test_unknown_convention_names_the_nearest(table: pd.DataFrame) -> None:
    with pytest.raises(UsageError, match="did you mean 'pcnets'"):
        score(table, "pcnet")
