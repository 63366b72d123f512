"""Specs of the metrics of recovered pictures that need no network."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from deocc_bench.metrics import content
from deocc_bench.metrics import terms as terms_of
from deocc_bench.metrics.content import MIN_PART_PIXELS, REGIONS
from deocc_bench.metrics.definition import MetricSpec
from deocc_bench.metrics.terms import PSNR_CAP

_PICTURES = ("recovered", "image", "complete", "amodal", "modal")
_WHERE = {"image": "all pixels", "human": "the true amodal mask", "invisible": "the true invisible region"}
_OVER = {region: f"composite against ground truth over {where}" for region, where in _WHERE.items()}
# Metric and region -> positions among the default columns.
_COLUMNS: dict[tuple[str, str], dict[str, int]] = {
    ("l1", "invisible"): {"content": 10},
    ("psnr", "invisible"): {"content": 20},
    ("ssim", "invisible"): {"content": 30},
    ("psnr", "image"): {"content": 40},
    ("l1", "human"): {"joint": 30},
    ("psnr", "human"): {"joint": 40},
    ("ssim", "human"): {"joint": 50},
}

_content: Callable[..., MetricSpec] = partial(MetricSpec, region="content", inputs=_PICTURES)


def _of_region(region: str) -> tuple[MetricSpec, ...]:
    return (
        _content(
            id=f"l1_{region}",
            torch_class=f"{region.capitalize()}L1",
            meaning=f"mean absolute RGB difference in [0, 1], {_OVER[region]}",
            row=content.errors,
            terms=terms_of.l1(region),
            higher_is_better=False,
            columns=_COLUMNS.get(("l1", region), {}),
        ),
        _content(
            id=f"psnr_{region}",
            torch_class=f"{region.capitalize()}PSNR",
            meaning=f"mean PSNR over samples, {_OVER[region]}; capped at {PSNR_CAP:g} dB",
            row=content.errors,
            terms=terms_of.psnr(region),
            unit="dB",
            high=PSNR_CAP,
            columns=_COLUMNS.get(("psnr", region), {}),
        ),
        _content(
            id=f"ssim_{region}",
            torch_class=f"{region.capitalize()}SSIM",
            meaning=f"mean of the SSIM map (Gaussian 11, sigma 1.5, RGB channels averaged), {_OVER[region]}",
            row=content.ssim,
            terms=terms_of.value_of(f"ssim_{region}"),
            low=-1.0,
            source="Wang et al., IEEE TIP 2004",
            columns=_COLUMNS.get(("ssim", region), {}),
        ),
    )


CONTENT_SPECS: tuple[MetricSpec, ...] = (
    *(spec for region in REGIONS for spec in _of_region(region)),
    _content(
        id="preservation_l1",
        torch_class="PreservationL1",
        meaning="mean absolute difference between the raw prediction and the input where the person is visible",
        inputs=("recovered", "image", "modal"),
        row=content.preservation,
        terms=terms_of.preservation_l1,
        higher_is_better=False,
    ),
    _content(
        id="garment_delta_e",
        torch_class="GarmentDeltaE",
        heading="garment delta E",
        meaning=f"mean over samples of the mean CIEDE2000 between the mean sRGB colours of each hidden body part (LIP "
        f"class, {MIN_PART_PIXELS} hidden pixels or more)",
        inputs=(*_PICTURES, "parsing"),
        row=content.part_colours,
        terms=terms_of.value_of("delta_e"),
        unit="CIEDE2000",
        high=None,
        higher_is_better=False,
        source="Sharma et al., Color Research and Application, 2005",
        columns={"content": 70},
    ),
)
