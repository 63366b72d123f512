"""Content statistics against scikit-image and by hand; everything outside the box of differences is exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metric_rows import content_row, truth_row

from deocc_bench.core.samples import identity_row, to_table
from deocc_bench.metrics.aggregate import aggregate
from deocc_bench.metrics.arrays import composite, truth_image
from deocc_bench.metrics.content import MIN_PART_PIXELS, ssim_map


def scene(seed: int, size: tuple[int, int] = (64, 48), at_edge: bool = False) -> dict[str, np.ndarray]:
    """A smooth complete picture, an occluder over part of the person, a recovery that is off by noise everywhere."""
    rng = np.random.default_rng(seed)
    height, width = size
    ramp = np.linspace(0, 200, height)[:, None, None] + np.linspace(0, 50, width)[None, :, None]
    complete = np.clip(ramp + rng.normal(0, 12, (height, width, 3)), 0, 255).astype(np.uint8)
    amodal = np.zeros(size, bool)
    amodal[10:50, (0 if at_edge else 12) : 36] = True
    occluder = np.zeros(size, bool)
    occluder[28:44, (0 if at_edge else 20) : 44] = True
    image = np.where(occluder[..., None], np.uint8(30), complete)
    recovered = np.clip(complete.astype(int) + rng.integers(-25, 26, complete.shape), 0, 255).astype(np.uint8)
    parsing = np.where(amodal, 5, 0).astype(np.uint8)
    parsing[36:] = np.where(amodal[36:], 9, 0)
    return {
        "image": image,
        "complete": complete,
        "amodal": amodal,
        "modal": amodal & ~occluder,
        "recovered": recovered,
        "parsing": parsing,
    }


def values_of(sample: dict[str, np.ndarray], **extra: Any) -> dict[str, Any]:
    truth = truth_row(sample["amodal"], sample["modal"], sample["parsing"])
    row = identity_row("a", "a") | truth | content_row(**sample, **extra)
    return {k: v["value"] for k, v in aggregate(to_table([row]), "content").items()}


def regions(sample: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    amodal = sample["amodal"]
    return {"image": np.ones_like(amodal), "human": amodal, "invisible": amodal & ~sample["modal"]}


@pytest.mark.parametrize("at_edge", [False, True])
@pytest.mark.parametrize("own_mask", [False, True])
def test_against_scikit_image_in_every_region(at_edge: bool, own_mask: bool) -> None:
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    sample = scene(1, at_edge=at_edge)
    fill = np.roll(sample["amodal"] & ~sample["modal"], (4, -7), (0, 1)) if own_mask else None
    values = values_of(sample, fill=fill)
    hidden = sample["amodal"] & ~sample["modal"]
    scored = composite(sample["image"], sample["recovered"], hidden if fill is None else fill)
    truth = truth_image(sample["image"], sample["complete"], sample["amodal"])
    _, ssim = structural_similarity(
        scored.astype(float),
        truth.astype(float),
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
        data_range=255,
        channel_axis=2,
    )
    for region, mask in regions(sample).items():
        difference = (scored.astype(float) - truth)[mask]
        assert values[f"l1_{region}"] == pytest.approx(np.abs(difference).mean() / 255, rel=1e-13)
        psnr = peak_signal_noise_ratio(truth[mask], scored[mask], data_range=255)
        assert values[f"psnr_{region}"] == pytest.approx(psnr, rel=1e-12)
        assert values[f"ssim_{region}"] == pytest.approx(ssim.mean(axis=2)[mask].mean(), abs=1e-12)


def test_ssim_map_equals_scikit_image_pixel_by_pixel_with_borders() -> None:
    from skimage.metrics import structural_similarity

    rng = np.random.default_rng(0)
    first = rng.integers(0, 256, (23, 31, 3), dtype=np.uint8)
    second = np.clip(first + rng.normal(0, 20, first.shape), 0, 255).astype(np.uint8)
    _, wanted = structural_similarity(
        first, second, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True, channel_axis=2
    )
    np.testing.assert_allclose(ssim_map(first, second), wanted, atol=1e-11, rtol=0)
    assert (ssim_map(first, first) == 1.0).all()


def test_by_hand_on_a_flat_picture() -> None:
    image = np.full((20, 20, 3), 100, np.uint8)
    amodal = np.zeros((20, 20), bool)
    amodal[5:15, 5:15] = True
    modal = amodal.copy()
    modal[10:] = False
    recovered = image.copy()
    recovered[10:15, 5:15, 0] = 110  # hidden: 50 pixels, 10 off in red
    recovered[5:10, 5:15, 1] = 97  # visible: 50 pixels, 3 off in green
    recovered[0:2] = 0  # background: not composited
    row = content_row(image=image, complete=image, amodal=amodal, modal=modal, recovered=recovered)
    assert (row["abs_image"], row["abs_human"], row["abs_invisible"]) == (500, 500, 500)
    assert (row["sq_image"], row["sq_human"], row["sq_invisible"]) == (5000, 5000, 5000)
    assert row["keep_abs"] == 150
    assert all(type(row[k]) is int for k in ("abs_image", "sq_human", "keep_abs"))
    table = to_table([identity_row("a", "a") | truth_row(amodal, modal) | row])
    values = {k: v["value"] for k, v in aggregate(table, "content").items()}
    assert values["l1_image"] == pytest.approx(500 / (3 * 255 * 400), rel=1e-15)
    assert values["l1_human"] == pytest.approx(500 / (3 * 255 * 100), rel=1e-15)
    assert values["l1_invisible"] == pytest.approx(500 / (3 * 255 * 50), rel=1e-15)
    assert values["preservation_l1"] == pytest.approx(150 / (3 * 255 * 50), rel=1e-15)
    assert values["psnr_invisible"] == pytest.approx(10 * np.log10(255**2 / (5000 / 150)), rel=1e-15)
    assert values["garment_delta_e"] is None, "no parsing"


def test_a_perfect_recovery_and_an_empty_region() -> None:
    sample = scene(3)
    perfect = values_of({**sample, "recovered": sample["complete"]})
    assert perfect["l1_image"] == perfect["l1_invisible"] == 0.0
    assert perfect["ssim_image"] == perfect["ssim_invisible"] == 1.0
    assert perfect["psnr_human"] == 100.0, "the cap"
    assert perfect["garment_delta_e"] == 0.0
    open_view = values_of({**sample, "modal": sample["amodal"], "image": sample["complete"]})
    assert open_view["l1_invisible"] is None
    assert open_view["ssim_invisible"] is None
    assert open_view["psnr_invisible"] is None
    assert open_view["l1_human"] == 0.0


def test_what_is_repainted_elsewhere_moves_preservation_alone() -> None:
    sample = scene(4)
    hidden = sample["amodal"] & ~sample["modal"]
    tidy = {**sample, "recovered": composite(sample["image"], sample["recovered"], hidden)}
    before, after = values_of(sample), values_of(tidy)
    assert before.pop("preservation_l1") > 0
    assert after.pop("preservation_l1") == 0
    assert before == after


def test_garment_colour_by_hand() -> None:
    image = np.full((16, 16, 3), 50, np.uint8)
    complete = image.copy()
    complete[:, :8], complete[:, 8:] = (200, 30, 30), (20, 40, 90)
    amodal = np.ones((16, 16), bool)
    modal = np.zeros((16, 16), bool)
    parsing = np.full((16, 16), 5, np.uint8)
    parsing[:, 8:] = 9
    parsing[0, 0:15] = 13  # 15 hidden face pixels: one too few
    recovered = complete.copy()
    recovered[:, 8:] = (30, 40, 80)
    # A pattern of the right mean colour is right for this metric.
    recovered[1::2, :8, 0] += 5
    recovered[2::2, :8, 0] -= 5
    recovered[15, :8, 0] -= 5
    row = content_row(image=image, complete=complete, amodal=amodal, modal=modal, recovered=recovered, parsing=parsing)
    assert MIN_PART_PIXELS == 16
    assert row["delta_e[face]"] is None
    assert row["delta_e[hat]"] is None
    # Of (30, 40, 80) and (20, 40, 90), by an implementation of the formula of its own.
    expected = 2.9928787813657505
    assert row["delta_e[upper-clothes]"] == pytest.approx(0.0, abs=1e-9)
    assert row["delta_e[pants]"] == pytest.approx(expected, rel=1e-12)
    assert row["delta_e"] == pytest.approx(expected / 2, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_box_scoring_equals_whole_picture_scoring(seed: int, at_edge: bool) -> None:
    sample = scene(seed, at_edge=at_edge)
    rng = np.random.default_rng(seed)
    hidden = sample["amodal"] & ~sample["modal"]
    hidden &= rng.random(hidden.shape) < rng.choice([0.01, 0.3, 1.0])
    sample["modal"] = sample["amodal"] & ~hidden
    row = content_row(**sample)
    scored = composite(sample["image"], sample["recovered"], hidden)
    truth = truth_image(sample["image"], sample["complete"], sample["amodal"])
    whole = ssim_map(scored, truth).mean(axis=2)
    assert row["abs_image"] == int(np.abs(scored.astype(int) - truth).sum())
    assert row["ssim_image"] == pytest.approx(float(whole.mean()), abs=1e-12)
    if hidden.any():
        assert row["ssim_invisible"] == pytest.approx(float(whole[hidden].mean()), abs=1e-12)


def test_wrong_arrays_are_refused() -> None:
    sample = scene(0)
    with pytest.raises(ValueError, match="recovered"):
        content_row(**{**sample, "recovered": sample["recovered"] / 255.0})
    with pytest.raises(ValueError, match="complete"):
        content_row(**{**sample, "complete": sample["complete"][:-1]})


def test_a_soft_edge_on_the_visible_part_is_no_methods_to_mend() -> None:
    complete = np.full((24, 24, 3), 100, np.uint8)
    amodal = np.zeros((24, 24), bool)
    amodal[4:20, 4:20] = True
    modal = amodal.copy()
    modal[:, 12:] = False
    image = complete.copy()
    image[amodal & ~modal] = 0
    image[4:20, 11] = 70  # the occluder's rim: visible by mask, darkened by 30
    row = content_row(image=image, complete=complete, amodal=amodal, modal=modal, recovered=complete)
    assert (row["abs_invisible"], row["sq_invisible"]) == (0, 0)
    assert row["abs_human"] == row["abs_image"] == 16 * 3 * 30
    assert row["keep_abs"] == 16 * 3 * 30, "a method that repaints the rim is told so"
