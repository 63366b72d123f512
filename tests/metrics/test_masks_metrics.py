"""Mask statistics and their aggregates: hand-computed integers, properties, scipy and torchmetrics as references."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from metric_rows import mask_row, truth_row

from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.samples import column, identity_row, read_table, to_table, write_table
from deocc_bench.metrics.aggregate import aggregate, compare, distance_value, rank, unavailable
from deocc_bench.metrics.arrays import SampleArrays, pack, popcount
from deocc_bench.metrics.breakdown import RATIO_BINS, breakdown, ratio_bin
from deocc_bench.metrics.masks import boundary, boundary_width
from deocc_bench.metrics.parts import CLASSES, PARTS
from deocc_bench.metrics.rows import sample_row
from deocc_bench.metrics.spec import METRICS, get_spec, specs_for


def grid(*rows: str) -> np.ndarray:
    """'#' is True."""
    return np.array([[c == "#" for c in row] for row in rows])


AMODAL = grid("......", ".####.", ".####.", "......")
MODAL = grid("......", ".##...", ".##...", "......")
# Covers 3 of the 4 visible pixels, 2 of the 4 hidden ones, and 3 pixels of the background.
PREDICTED = grid("......", "..####", ".##...", ".##...")
# PREDICTED holds (1,2) (1,3) (1,4) (1,5) (2,1) (2,2) (3,1) (3,2).


def masks_of(size: int, n: int, seed: int) -> list[dict[str, np.ndarray]]:
    """Rectangles, partly hidden, with predictions that overlap; some are not occluded, some predictions are empty."""
    rng = np.random.default_rng(seed)
    out = []
    for k in range(n):
        y, x = rng.integers(0, size // 2, 2)
        h, w = rng.integers(4, size // 2, 2)
        amodal = np.zeros((size, size), bool)
        amodal[y : y + h, x : x + w] = True
        modal = amodal.copy()
        if k % 5:
            modal[y + int(rng.integers(1, h)) :] = False
        predicted = np.roll(amodal, rng.integers(-3, 4, 2), (0, 1)) if k % 7 else np.zeros_like(amodal)
        noise = rng.random((size, size)) < 0.05
        parsing = np.where(amodal, rng.integers(1, 20, (size, size)), 0).astype(np.uint8)
        guess = np.where(rng.random((size, size)) < 0.8, parsing, rng.integers(0, 20, (size, size))).astype(np.uint8)
        out.append(
            {
                "amodal": amodal,
                "modal": modal,
                "predicted": predicted,
                "predicted_modal": predicted & ~noise,
                "initial": modal ^ noise,
                "parsing": parsing,
                "predicted_parsing": guess,
            }
        )
    return out


def table_of(samples: list[dict[str, np.ndarray]], variants: int = 3, **extra: Any) -> pd.DataFrame:
    categories = ("chair", "cup", "person")
    return to_table(
        identity_row(f"s{k:03d}", f"h{k // variants:03d}", categories[: 1 + k % 3]) | mask_row(**s) | extra
        for k, s in enumerate(samples)
    )


def reference_iou(a: np.ndarray, b: np.ndarray) -> float | None:
    return float((a & b).sum() / (a | b).sum()) if (a | b).any() else None


def mean(values: list[float | None]) -> float:
    return float(np.mean([v for v in values if v is not None]))


def test_row_of_a_small_mask_by_hand() -> None:
    row = mask_row(
        AMODAL, MODAL, PREDICTED, predicted_modal=MODAL, initial=grid("......", ".##...", "......", "##....")
    )
    expected = {
        "height": 4,
        "width": 6,
        "amodal": 8,
        "modal": 4,
        "invisible": 4,
        "touches_frame": 0,
        "predicted": 8,
        "amodal_inter": 5,  # (1,2) (1,3) (1,4) (2,1) (2,2)
        "predicted_invisible": 5,  # all but (1,2) (2,1) (2,2)
        "invisible_inter": 2,  # (1,3) (1,4)
        "predicted_modal": 4,
        "modal_inter": 4,
        "initial": 4,
        "initial_inter": 2,
        "joined_invisible": 6,  # (3,0) joins
        "joined_inter": 2,
    }
    assert {k: row[k] for k in expected} == expected
    assert all(type(v) is int for v in row.values())
    values = aggregate(to_table([identity_row("a", "g") | row]), "mask")
    assert values["amodal_iou_mean"]["value"] == 5 / 11
    assert values["invisible_iou_mean"]["value"] == 2 / 7
    assert values["invisible_precision"]["value"] == 2 / 5
    assert values["invisible_recall"]["value"] == 2 / 4
    assert values["modal_iou_mean"]["value"] == 1.0
    assert values["initial_iou_mean"]["value"] == 2 / 6
    assert values["mask_l1"]["value"] == 6 / 24
    assert values["amodal_iou_mean"]["ci95"] is None, "one group carries no spread"


def test_undefined_is_null_and_counted_never_0_or_1() -> None:
    full = mask_row(AMODAL, AMODAL, PREDICTED)
    hidden = mask_row(AMODAL, MODAL, PREDICTED)
    nothing = mask_row(AMODAL, MODAL, MODAL)
    table = to_table(identity_row(i, i) | r for i, r in (("a", full), ("b", hidden), ("c", nothing)))
    values = aggregate(table, "mask")
    assert values["invisible_iou_mean"]["n"] == 3
    assert values["invisible_iou_mean"]["n_defined"] == 2
    assert values["invisible_iou_mean"]["value"] == (2 / 7 + 0) / 2
    assert values["invisible_precision"]["n_defined"] == 2, "the third predicts nothing invisible"
    # The first sample has no invisible region: its 3 wrong pixels weigh on the pooled value alone.
    assert values["invisible_iou_pooled"]["value"] == 2 / (3 + 7 + 4)
    absent = values["modal_iou_mean"]
    assert (absent["value"], absent["ci95"], absent["n"], absent["n_defined"]) == (None, None, 3, 0)
    empty = aggregate(to_table([identity_row("a", "a") | full]), "mask")["invisible_iou_mean"]
    assert empty["value"] is None
    assert empty["ci95"] is None
    assert empty["n_defined"] == 0


def test_against_independent_computation() -> None:
    samples = masks_of(48, 40, 0)
    values = aggregate(table_of(samples), "mask", resamples=50)
    hidden = [(s["predicted"] & ~s["modal"], s["amodal"] & ~s["modal"]) for s in samples]
    wanted = {
        "amodal_iou_mean": mean([reference_iou(s["predicted"], s["amodal"]) for s in samples]),
        "amodal_iou_pooled": sum((s["predicted"] & s["amodal"]).sum() for s in samples)
        / sum((s["predicted"] | s["amodal"]).sum() for s in samples),
        "invisible_iou_mean": mean([reference_iou(p, t) if t.any() else None for p, t in hidden]),
        "invisible_iou_pooled": sum((p & t).sum() for p, t in hidden) / sum((p | t).sum() for p, t in hidden),
        "invisible_precision": mean([(p & t).sum() / p.sum() if p.any() else None for p, t in hidden]),
        "invisible_recall": mean([(p & t).sum() / t.sum() if t.any() else None for p, t in hidden]),
        "modal_iou_mean": mean([reference_iou(s["predicted_modal"], s["modal"]) for s in samples]),
        "initial_iou_mean": mean([reference_iou(s["initial"], s["modal"]) for s in samples]),
        "mask_l1": np.mean([np.abs(s["predicted"].astype(float) - s["amodal"]).mean() for s in samples]),
    }
    for name, value in wanted.items():
        assert values[name]["value"] == pytest.approx(value, rel=1e-13), name
        low, high = values[name]["ci95"]
        assert low <= value <= high, name


def test_iou_agrees_with_torchmetrics() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.classification import BinaryJaccardIndex

    samples = masks_of(32, 12, 3)
    pooled = BinaryJaccardIndex()
    for s in samples:
        pooled.update(torch.from_numpy(s["predicted"].astype(np.int64)), torch.from_numpy(s["amodal"].astype(np.int64)))
    value = aggregate(table_of(samples), "mask", resamples=0)["amodal_iou_pooled"]["value"]
    assert value == pytest.approx(float(pooled.compute()), abs=1e-7)


@pytest.mark.parametrize(("size", "width"), [((256, 256), 7), ((4, 6), 1), ((480, 640), 16), ((100, 100), 3)])
def test_boundary_width(size: tuple[int, int], width: int) -> None:
    assert boundary_width(*size) == width


@pytest.mark.parametrize("width", [1, 2, 5])
def test_boundary_is_the_iterated_erosion_with_the_border_as_edge(width: int) -> None:
    from scipy.ndimage import binary_erosion

    rng = np.random.default_rng(width)
    mask = np.zeros((40, 31), bool)
    mask[:, 5:] = True  # reaches three sides of the frame
    mask &= rng.random(mask.shape) > 0.01
    inner = binary_erosion(mask, np.ones((3, 3)), iterations=width, border_value=0)
    assert np.array_equal(boundary(mask, width), mask & ~inner)
    full = np.ones((12, 12), bool)
    assert boundary(full, 2).sum() == 144 - 64, "a mask that fills the frame has a band along the frame"
    assert not boundary(np.zeros((9, 9), bool), 2).any()


def test_boundary_iou_by_hand() -> None:
    # 100 x 100: width 3. Squares of 20 and of 10 around the same centre: the bands do not meet (20 - 2*3 = 14 > 10).
    outer, inner = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
    outer[40:60, 40:60] = True
    inner[45:55, 45:55] = True
    row = mask_row(outer, outer, inner)
    assert (row["boundary_inter"], row["boundary_union"]) == (0, (400 - 14 * 14) + (100 - 4 * 4))
    row = mask_row(outer, outer, outer)
    assert row["boundary_inter"] == row["boundary_union"] == 204
    # What nobody asks for is not computed: the bands are the slow part.
    arrays = SampleArrays(amodal=outer, modal=outer, predicted=outer)
    assert "boundary_union" not in sample_row(arrays, [METRICS["amodal_iou_mean"]])


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 17), st.integers(1, 19))), st.integers(0, 2**32 - 1))
def test_packed_counts_equal_plain_counts_for_any_size(mask: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).random(mask.shape) < 0.5
    assert popcount(pack(mask)) == int(mask.sum())
    assert popcount(pack(mask) & ~pack(other)) == int((mask & ~other).sum())
    assert popcount(pack(np.asfortranarray(mask)) & pack(other)) == int((mask & other).sum())


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(arrays(bool, (3, 9, 11)))
def test_properties_of_a_row(masks: np.ndarray) -> None:
    amodal, predicted = masks[0], masks[1]
    modal = amodal & masks[2]
    row = mask_row(amodal, modal, predicted)
    assert row["invisible"] + row["modal"] == row["amodal"], "modal lies in amodal"
    assert row["invisible_inter"] <= min(row["predicted_invisible"], row["invisible"])
    swapped = mask_row(predicted, predicted & modal, amodal)
    assert row["amodal_inter"] == swapped["amodal_inter"], "IoU is symmetric"
    assert row["boundary_inter"] == swapped["boundary_inter"]
    assert row["boundary_union"] == swapped["boundary_union"]
    values = aggregate(to_table([identity_row("a", "a") | row]), "mask")
    for name, value in values.items():
        spec = METRICS[name]
        assert value["value"] is None or spec.low <= value["value"] <= spec.high, name
    perfect = aggregate(to_table([identity_row("a", "a") | mask_row(amodal, modal, amodal)]), "mask")
    for name in ("amodal_iou_mean", "invisible_iou_mean", "invisible_recall", "amodal_boundary_iou_mean"):
        assert perfect[name]["value"] in (None, 1.0)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.integers(1, 11), st.randoms(use_true_random=False))
def test_merge_equals_whole_in_any_order(cut: int, random: Any) -> None:
    samples = masks_of(24, 12, 5)
    rows = [identity_row(f"s{k:02d}", f"h{k // 3}") | mask_row(**s) for k, s in enumerate(samples)]
    whole = aggregate(to_table(rows), "mask", resamples=20)
    random.shuffle(rows)
    parts = pd.concat([to_table(rows[:cut]), to_table(rows[cut:])], ignore_index=True)
    assert aggregate(parts, "mask", resamples=20) == whole, "to the last bit, intervals included"


def test_table_survives_the_csv_to_the_last_bit(tmp_path: Any) -> None:
    table = table_of(masks_of(24, 9, 1), third=1 / 3, tiny=1e-300, whole=2.0)
    table.loc[2, "third"] = np.nan
    table.loc[3, "predicted_modal"] = pd.NA
    table.loc[0, "id"] = "NA"
    table.loc[1, "group"] = "007"
    table = to_table(table.to_dict("records"))
    write_table(tmp_path / "samples.csv", table)
    back = read_table(tmp_path / "samples.csv")
    pd.testing.assert_frame_equal(back, table, check_exact=True)
    assert back["whole"].dtype == np.float64
    assert back["amodal"].dtype == pd.Int64Dtype()
    assert aggregate(back, "mask") == aggregate(table, "mask")


def test_whole_numbers_stay_whole_where_some_are_missing() -> None:
    table = to_table([identity_row("b", "g") | {"x": 5, "y": 0.5}, identity_row("a", "g") | {"x": None}])
    assert table["x"].dtype == pd.Int64Dtype()
    assert table["x"].tolist() == [pd.NA, 5]
    assert np.isnan(column(table, "y")[0])
    assert np.isnan(column(table, "absent")).all()


def test_table_refuses_what_it_cannot_pair(tmp_path: Any) -> None:
    row = identity_row("a", "g") | mask_row(AMODAL, MODAL, PREDICTED)
    with pytest.raises(InputError, match="occurs twice"):
        to_table([row, row])
    with pytest.raises(InputError, match="no column 'group'"):
        to_table([{"id": "a"}])
    with pytest.raises(InputError, match="no such file"):
        read_table(tmp_path / "samples.csv")
    (tmp_path / "bad.csv").write_text("id,group,amodal\na,g,many\n")
    with pytest.raises(InputError, match="amodal"):
        read_table(tmp_path / "bad.csv")


def test_parts_by_hand() -> None:
    parsing = np.zeros((4, 6), np.uint8)
    parsing[1, 1:5] = 5  # upper-clothes: visible (1,1) (1,2), hidden (1,3) (1,4)
    parsing[2, 1:4] = 9  # pants: hidden (2,3)
    parsing[2, 4] = 255
    row = mask_row(AMODAL, MODAL, PREDICTED, parsing=parsing)
    assert row["part_invisible[upper-clothes]"] == 2
    assert row["part_covered[upper-clothes]"] == 2
    assert row["part_invisible[pants]"] == 1
    assert row["part_covered[pants]"] == 0
    assert sum(row[f"part_invisible[{n}]"] for n in PARTS) == 3, "255 is ignored"
    values = aggregate(to_table([identity_row("a", "a") | row]), "mask")
    assert values["part_recall[upper-clothes]"]["value"] == 1.0
    assert values["part_recall[pants]"]["value"] == 0.0
    assert values["part_recall[torso]"]["value"] == 1.0
    assert values["part_recall[face]"]["value"] is None
    assert values["part_recall[face]"]["n_defined"] == 0


def test_parsing_miou_against_torchmetrics_and_by_hand() -> None:
    torch = pytest.importorskip("torch")
    from torchmetrics.classification import MulticlassJaccardIndex

    truth = np.array([[0, 0, 5, 5], [255, 9, 9, 5]], np.uint8)
    guess = np.array([[0, 5, 5, 5], [3, 9, 0, 5]], np.uint8)
    row = mask_row(truth > 0, truth > 0, truth > 0, parsing=truth, predicted_parsing=guess)
    values = aggregate(to_table([identity_row("a", "a") | row]), "mask")
    # background 1/3, upper-clothes 3/4, pants 1/2; the glove lies on an ignored pixel
    assert values["parsing_miou"]["value"] == pytest.approx((1 / 3 + 3 / 4 + 1 / 2) / 3, rel=1e-15)

    samples = masks_of(32, 10, 8)
    for s in samples:
        s["parsing"][:2] = 255
    reference = MulticlassJaccardIndex(20, ignore_index=255, average="none")
    for s in samples:
        reference.update(
            torch.from_numpy(s["predicted_parsing"].astype(np.int64)), torch.from_numpy(s["parsing"].astype(np.int64))
        )
    value = aggregate(table_of(samples), "mask", resamples=0)["parsing_miou_pooled"]["value"]
    assert value == pytest.approx(float(reference.compute().double().mean()), abs=1e-6)
    with pytest.raises(ValueError, match="below 20"):
        mask_row(truth > 0, truth > 0, truth > 0, parsing=truth, predicted_parsing=truth)


@pytest.mark.parametrize(
    "bad",
    [
        {"predicted": PREDICTED.astype(np.uint8)},
        {"predicted": PREDICTED[:3]},
        {"predicted": PREDICTED, "initial": PREDICTED.T},
    ],
)
def test_wrong_arrays_are_refused(bad: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match="Expected"):
        mask_row(AMODAL, MODAL, **bad)


def test_truth_row_is_part_of_the_mask_row() -> None:
    parsing = np.where(AMODAL, 5, 0).astype(np.uint8)
    whole = mask_row(AMODAL, MODAL, PREDICTED, parsing=parsing)
    assert truth_row(AMODAL, MODAL, parsing).items() <= whole.items()


@pytest.mark.parametrize(("y", "x", "touches"), [(0, 3, 1), (5, 3, 1), (3, 0, 1), (3, 7, 1), (1, 1, 0), (4, 6, 0)])
def test_frame_contact_of_a_single_pixel(y: int, x: int, touches: int) -> None:
    mask = np.zeros((6, 8), bool)
    mask[y, x] = True
    assert truth_row(mask, mask)["touches_frame"] == touches


def test_occlusion_bins_are_half_open_and_exact() -> None:
    # 3/10 is not representable: (3/10) * 10 must still land in [0.3, 0.4).
    pairs = [(0, 10), (1, 10), (3, 10), (29, 100), (7, 10), (9, 10), (10, 10), (0, 0)]
    table = to_table({"id": str(k), "group": "g", "invisible": i, "amodal": a} for k, (i, a) in enumerate(pairs))
    assert ratio_bin(table).tolist() == [0, 1, 3, 2, 7, 9, 9, -1]
    assert RATIO_BINS[0] == "[0.0, 0.1)"
    assert RATIO_BINS[9] == "[0.9, 1.0]"


@pytest.mark.slow
def test_breakdowns_partition_and_agree_with_a_filter() -> None:
    table = table_of(masks_of(32, 30, 2))
    found = breakdown(table, "mask", resamples=20)
    assert sum(b["amodal_iou_mean"]["n"] for b in found["occlusion_ratio"].values()) == 30
    assert sum(b["amodal_iou_mean"]["n"] for b in found["occluders"].values()) == 30
    assert sum(b["amodal_iou_mean"]["n"] for b in found["cut_by_frame"].values()) == 30
    assert found["occluder_category"]["chair"]["amodal_iou_mean"]["n"] == 30
    cups = table[table["occluder_categories"].str.contains("cup")]
    assert found["occluder_category"]["cup"] == aggregate(cups, "mask", resamples=20)
    face = table[column(table, "part_invisible[face]") > 0]
    assert found["body_part"]["face"] == aggregate(face, "mask", resamples=20)


def test_compare_and_rank() -> None:
    samples = masks_of(32, 36, 4)
    good = [{**s, "predicted": s["amodal"]} for s in samples]
    a, b = table_of(good), table_of(samples)
    row = compare(a, b.sample(frac=1, random_state=1), "mask", ["amodal_iou_mean", "mask_l1"])
    assert row["amodal_iou_mean"]["difference"] > 0
    assert row["amodal_iou_mean"]["better"] == row["mask_l1"]["better"] == "first"
    assert row["mask_l1"]["difference"] < 0
    assert row["amodal_iou_mean"]["p_holm"] >= row["amodal_iou_mean"]["p"]
    same = compare(a, a, "mask", ["amodal_iou_mean"])["amodal_iou_mean"]
    assert (same["difference"], same["p"], same["better"]) == (0.0, 1.0, None)
    ranks = rank({"oracle": a, "shifted": b, "oracle again": a}, "amodal_iou_mean")
    assert {k: r.rank for k, r in ranks.items()} == {"oracle": 1, "oracle again": 1, "shifted": 3}
    assert ranks["oracle"].tied == ("oracle again",)
    with pytest.raises(DeoccError, match="different samples"):
        compare(a, b.iloc[1:], "mask")


def test_specs_are_complete() -> None:
    for name, spec in METRICS.items():
        assert spec.id == name
        assert spec.meaning
        assert spec.source
        assert set(spec.tasks) <= {"mask", "content", "joint"}
        assert spec.definition.startswith(name)
    assert len({s.definition for s in METRICS.values()}) == len(METRICS)
    assert set(specs_for("joint")) == set(specs_for("mask")) | set(specs_for("content"))
    assert get_spec("fd[tiny@01234567]").higher_is_better is False
    with pytest.raises(UsageError, match="unknown metric"):
        get_spec("fid[tiny@01234567]")
    with pytest.raises(UsageError, match="unknown task"):
        specs_for("masks")
    assert unavailable("fid", 9, "no network")["reason"] == "no network"
    assert distance_value("kid", 0.25, 9)["value"] == 0.25
    assert len(CLASSES) == 20
