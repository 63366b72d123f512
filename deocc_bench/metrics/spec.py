"""The metrics as data: id, unit, range, direction, meaning, source, and how each follows from the per-sample table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from deocc_bench.core.errors import UsageError
from deocc_bench.core.labels import BODY_PARTS, LIP
from deocc_bench.metrics import terms as terms_of
from deocc_bench.metrics.content import MIN_PART_PIXELS, REGIONS
from deocc_bench.metrics.parts import PARTS
from deocc_bench.metrics.terms import PSNR_CAP, TermsOf

MASK_TASKS, CONTENT_TASKS, ALL_TASKS = ("mask", "joint"), ("content", "joint"), ("mask", "content", "joint")
TASKS = ALL_TASKS
# The network of `fid` and `kid`; the checksum in full stands in `benchmark.extractors`.
INCEPTION = "inception-2015-12-05@f58cb9b6"
_PAGE = "deocc-bench"


@dataclass(frozen=True)
class MetricSpec:
    """One metric.

    Args:
        id: name in records and tables.
        unit: "ratio", "dB", "1/255 ...", ...
        low, high: range of the value (None: unbounded).
        higher_is_better: direction.
        meaning: one line, with what makes it undefined.
        source: where the definition comes from.
        tasks: the tasks that report it.
        definition: id of the definition; changes when the number would.
        terms: table -> (numerators, denominators), float64 (N,) or (N, K), no NaN; None for distances of distributions,
            which are no function of the table.
    """

    id: str
    unit: str
    low: float | None
    high: float | None
    higher_is_better: bool
    meaning: str
    source: str
    tasks: tuple[str, ...]
    definition: str
    terms: TermsOf | None


def get_spec(metric_id: str) -> MetricSpec:
    """The spec of a metric, also of one that names its network in brackets.

    Raises:
        UsageError: there is none.
    """
    if metric_id in METRICS:
        return METRICS[metric_id]
    family, bracket, _ = metric_id.partition("[")
    if bracket and metric_id.endswith("]") and family in FAMILIES:
        return FAMILIES[family](metric_id)
    raise UsageError(f"unknown metric '{metric_id}'; known: {', '.join(METRICS)}")


def specs_for(task: str, table: pd.DataFrame | None = None) -> dict[str, MetricSpec]:
    """The metrics of a task that follow from the table, with the LPIPS columns the table holds.

    Raises:
        UsageError: no such task.
    """
    if task not in TASKS:
        raise UsageError(f"unknown task '{task}'; known: {', '.join(TASKS)}")
    chosen = {name: s for name, s in METRICS.items() if task in s.tasks and s.terms is not None}
    for name in () if table is None else table.columns:
        if name.startswith("lpips_") and task in CONTENT_TASKS:
            chosen[name] = get_spec(name)
    return chosen


def _spec(
    name: str,
    meaning: str,
    tasks: tuple[str, ...],
    terms: TermsOf | None,
    *,
    unit: str = "ratio",
    low: float | None = 0.0,
    high: float | None = 1.0,
    up: bool = True,
    source: str = _PAGE,
) -> MetricSpec:
    return MetricSpec(name, unit, low, high, up, meaning, source, tasks, f"{name}/1", terms)


def _mask_specs() -> list[MetricSpec]:
    hidden = ("predicted_invisible", "invisible", "invisible_inter")
    specs = [
        _spec(
            "amodal_iou_mean",
            "mean over samples of IoU(predicted amodal, true amodal); the headline mIoU",
            MASK_TASKS,
            terms_of.iou("predicted", "amodal", "amodal_inter"),
        ),
        _spec(
            "amodal_iou_pooled",
            "sum of intersections / sum of unions of the amodal masks",
            MASK_TASKS,
            terms_of.pooled_iou("predicted", "amodal", "amodal_inter"),
            source="what Zhan et al., CVPR 2020 (PCNets) print as mIoU",
        ),
        _spec(
            "invisible_iou_mean",
            "mean IoU of prediction & ~true modal with true amodal & ~true modal; undefined where the truth is empty",
            MASK_TASKS,
            terms_of.iou(*hidden, needs="invisible"),
        ),
        _spec(
            "invisible_iou_pooled",
            "the same region, sum of intersections / sum of unions over all samples",
            MASK_TASKS,
            terms_of.pooled_iou(*hidden),
        ),
        _spec(
            "invisible_precision",
            "mean share of the predicted invisible pixels that are right; undefined where none are predicted",
            MASK_TASKS,
            terms_of.mean_ratio("invisible_inter", "predicted_invisible"),
        ),
        _spec(
            "invisible_recall",
            "mean share of the true invisible pixels that are predicted; undefined where there are none",
            MASK_TASKS,
            terms_of.mean_ratio("invisible_inter", "invisible"),
        ),
        _spec(
            "invisible_precision_pooled",
            "right predicted invisible pixels / all predicted invisible pixels, over all samples",
            MASK_TASKS,
            terms_of.pooled_ratio("invisible_inter", "predicted_invisible"),
        ),
        _spec(
            "invisible_recall_pooled",
            "right predicted invisible pixels / all true invisible pixels, over all samples",
            MASK_TASKS,
            terms_of.pooled_ratio("invisible_inter", "invisible"),
        ),
        _spec(
            "modal_iou_mean",
            "mean IoU(refined modal mask, true modal); undefined where the method gives none",
            MASK_TASKS,
            terms_of.iou("predicted_modal", "modal", "modal_inter"),
        ),
        _spec(
            "initial_iou_mean",
            "mean IoU(initial mask given to the method, true modal): what modal_iou_mean starts from",
            MASK_TASKS,
            terms_of.iou("initial", "modal", "initial_inter"),
        ),
        _spec(
            "amodal_boundary_iou_mean",
            "mean IoU of the boundary bands of the amodal masks, width max(1, round(0.02 diagonal)), the frame an edge",
            MASK_TASKS,
            terms_of.mean_ratio("boundary_inter", "boundary_union"),
            source="Cheng et al., CVPR 2021",
        ),
        _spec(
            "mask_l1",
            "mean absolute difference of the amodal masks over the image",
            MASK_TASKS,
            terms_of.mask_l1,
            up=False,
        ),
        _spec(
            "parsing_miou",
            "mean over samples of the mean IoU over the LIP classes (with background) present in truth or prediction",
            MASK_TASKS,
            terms_of.parsing_miou,
        ),
        _spec(
            "parsing_miou_pooled",
            "mean over the LIP classes (with background) of sum of intersections / sum of unions",
            MASK_TASKS,
            terms_of.parsing_miou_pooled,
            source="the usual mIoU of LIP (Gong et al., CVPR 2017)",
        ),
    ]
    names = {**{n: (n,) for n in PARTS}, **{n: tuple(LIP.names[i] for i in ids) for n, ids in BODY_PARTS.items()}}
    for name, classes in names.items():
        specs.append(
            _spec(
                f"part_recall[{name}]",
                f"share of the hidden pixels of {' + '.join(classes)} that the amodal mask covers, pooled",
                MASK_TASKS,
                terms_of.part_recall(classes),
            )
        )
    return specs


def _content_specs() -> list[MetricSpec]:
    where = {"image": "all pixels", "human": "the true amodal mask", "invisible": "the true invisible region"}
    specs = []
    for region in REGIONS:
        over = f"composite against truth over {where[region]}"
        specs += [
            _spec(
                f"l1_{region}",
                f"mean absolute RGB difference in [0, 1], {over}",
                CONTENT_TASKS,
                terms_of.l1(region),
                up=False,
            ),
            _spec(
                f"psnr_{region}",
                f"mean over samples of PSNR, {over}; at most {PSNR_CAP:g} dB",
                CONTENT_TASKS,
                terms_of.psnr(region),
                unit="dB",
                high=PSNR_CAP,
            ),
            _spec(
                f"ssim_{region}",
                f"SSIM map (Gaussian 11, sigma 1.5, RGB channels averaged) averaged, {over}",
                CONTENT_TASKS,
                terms_of.value_of(f"ssim_{region}"),
                low=-1.0,
                source="Wang et al., IEEE TIP 2004",
            ),
        ]
    return [
        *specs,
        _spec(
            "preservation_l1",
            "mean absolute difference of the raw prediction and the input where the person is visible",
            CONTENT_TASKS,
            terms_of.preservation_l1,
            up=False,
        ),
        _spec(
            "garment_delta_e",
            f"mean over samples of the mean CIEDE2000 of the mean sRGB colours of each hidden body part (LIP class, "
            f"{MIN_PART_PIXELS} hidden pixels or more)",
            CONTENT_TASKS,
            terms_of.value_of("delta_e"),
            unit="CIEDE2000",
            high=None,
            up=False,
            source="Sharma et al., Color Research and Application, 2005",
        ),
    ]


_VIEW = {
    "": "composites and truths, whole image",
    "_human": "the person's crop, background black, square, 256 pixels, 8 bit",
}


def _distance(name: str, base: str, region: str, network: str | None) -> MetricSpec:
    frechet = base in ("fid", "fd")
    what = "Frechet distance" if frechet else "unbiased squared MMD, kernel (x.y/d + 1)^3, all samples"
    features = "Inception-2015-12-05 pool features (2048)" if network is None else f"features of {network}"
    return MetricSpec(
        id=name,
        unit="distance",
        low=0.0 if frechet else None,
        high=None,
        higher_is_better=False,
        meaning=f"{what} of {features}: {_VIEW[region]}" + ("; biased in n" if frechet else ""),
        source="Heusel et al., NeurIPS 2017" if frechet else "Binkowski et al., ICLR 2018",
        tasks=CONTENT_TASKS,
        definition=f"{name}/1:{network or INCEPTION}:" + ("human-256-area-linear-u8" if region else "image-u8"),
        terms=None,
    )


def _lpips(name: str) -> MetricSpec:
    return MetricSpec(
        id=name,
        unit="distance",
        low=0.0,
        high=None,
        higher_is_better=False,
        meaning=f"mean LPIPS of composite and truth, network {name.partition('[')[2].rstrip(']')}",
        source="Zhang et al., CVPR 2018",
        tasks=CONTENT_TASKS,
        definition=f"{name}/1",
        terms=terms_of.value_of(name),
    )


def _network(name: str) -> str:
    return name.partition("[")[2].rstrip("]")


# Metrics whose id names a network in brackets: `fd[NAME@SHA8]`, `lpips_image[NAME@SHA8]`.
FAMILIES: dict[str, Callable[[str], MetricSpec]] = {
    **{f"lpips_{region}": _lpips for region in REGIONS},
    "fd": lambda name: _distance(name, "fd", "", _network(name)),
    "fd_human": lambda name: _distance(name, "fd", "_human", _network(name)),
    "kd": lambda name: _distance(name, "kd", "", _network(name)),
    "kd_human": lambda name: _distance(name, "kd", "_human", _network(name)),
}
METRICS: dict[str, MetricSpec] = {
    s.id: s
    for s in (
        *_mask_specs(),
        *_content_specs(),
        *(_distance(f"{base}{region}", base, region, None) for base in ("fid", "kid") for region in ("", "_human")),
    )
}
