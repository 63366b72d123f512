"""Specs of the mask metrics."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from deocc_bench.core.labels import BODY_PARTS, LIP
from deocc_bench.metrics import masks, parts
from deocc_bench.metrics import terms as terms_of
from deocc_bench.metrics.definition import MetricSpec

_AMODAL = ("predicted", "amodal")
_HIDDEN = ("predicted", "amodal", "modal")
_PARSING = ("predicted_parsing", "parsing")
_HIDDEN_AREAS = ("predicted_invisible", "invisible", "invisible_inter")

_mask: Callable[..., MetricSpec] = partial(MetricSpec, region="mask")

PART_RECALL = "part_recall"

MASK_SPECS: tuple[MetricSpec, ...] = (
    _mask(
        id="amodal_iou_mean",
        torch_class="AmodalIoU",
        meaning="mean over samples of IoU(predicted amodal, true amodal); the main mIoU",
        inputs=_AMODAL,
        row=masks.amodal_overlap,
        terms=terms_of.iou("predicted", "amodal", "amodal_inter"),
        columns={"mask": 10, "joint": 10},
    ),
    _mask(
        id="amodal_iou_pooled",
        torch_class="PooledAmodalIoU",
        meaning="sum of intersections / sum of unions of the amodal masks",
        inputs=_AMODAL,
        row=masks.amodal_overlap,
        terms=terms_of.pooled_iou("predicted", "amodal", "amodal_inter"),
        source="reported as mIoU by Zhan et al., CVPR 2020 (PCNets)",
    ),
    _mask(
        id="invisible_iou_mean",
        torch_class="InvisibleIoU",
        meaning="mean IoU of prediction & ~true modal with true amodal & ~true modal; undefined where the truth is "
        "empty",
        inputs=_HIDDEN,
        row=masks.invisible_overlap,
        terms=terms_of.iou(*_HIDDEN_AREAS, needs="invisible"),
        columns={"mask": 20, "joint": 20},
    ),
    _mask(
        id="invisible_iou_pooled",
        torch_class="PooledInvisibleIoU",
        meaning="the same region, sum of intersections / sum of unions over all samples",
        inputs=_HIDDEN,
        row=masks.invisible_overlap,
        terms=terms_of.pooled_iou(*_HIDDEN_AREAS),
    ),
    _mask(
        id="invisible_precision",
        torch_class="InvisiblePrecision",
        meaning="mean share of the predicted invisible pixels that are correct; undefined where none are predicted",
        inputs=_HIDDEN,
        row=masks.invisible_overlap,
        terms=terms_of.mean_ratio("invisible_inter", "predicted_invisible"),
        columns={"mask": 40},
    ),
    _mask(
        id="invisible_recall",
        torch_class="InvisibleRecall",
        meaning="mean share of the true invisible pixels that are predicted; undefined where there are none",
        inputs=_HIDDEN,
        row=masks.invisible_overlap,
        terms=terms_of.mean_ratio("invisible_inter", "invisible"),
        columns={"mask": 50},
    ),
    _mask(
        id="invisible_precision_pooled",
        torch_class="PooledInvisiblePrecision",
        meaning="correctly predicted invisible pixels / all predicted invisible pixels, over all samples",
        inputs=_HIDDEN,
        row=masks.invisible_overlap,
        terms=terms_of.pooled_ratio("invisible_inter", "predicted_invisible"),
    ),
    _mask(
        id="invisible_recall_pooled",
        torch_class="PooledInvisibleRecall",
        meaning="correctly predicted invisible pixels / all true invisible pixels, over all samples",
        inputs=_HIDDEN,
        row=masks.invisible_overlap,
        terms=terms_of.pooled_ratio("invisible_inter", "invisible"),
    ),
    _mask(
        id="modal_iou_mean",
        torch_class="ModalIoU",
        meaning="mean IoU(refined modal mask, true modal); undefined where the method returns none",
        inputs=("predicted_modal", "modal"),
        row=masks.modal_overlap,
        terms=terms_of.iou("predicted_modal", "modal", "modal_inter"),
        columns={"mask": 60},
    ),
    _mask(
        id="initial_iou_mean",
        torch_class="InitialIoU",
        meaning="mean IoU(initial mask, true modal): the quality of the method's input, for comparison with "
        "modal_iou_mean",
        inputs=("initial", "modal"),
        row=masks.initial_overlap,
        terms=terms_of.iou("initial", "modal", "initial_inter"),
        of_input=True,
    ),
    _mask(
        id="amodal_boundary_iou_mean",
        torch_class="BoundaryIoU",
        meaning="mean IoU of the boundary bands of the amodal masks, width max(1, round(0.02 diagonal)); the image "
        "border counts as an edge",
        inputs=_AMODAL,
        row=masks.boundary_overlap,
        terms=terms_of.mean_ratio("boundary_inter", "boundary_union"),
        source="Cheng et al., CVPR 2021",
        columns={"mask": 30},
    ),
    _mask(
        id="mask_l1",
        torch_class="MaskL1",
        meaning="mean absolute difference between the amodal masks over the image",
        inputs=_AMODAL,
        row=masks.amodal_overlap,
        terms=terms_of.mask_l1,
        higher_is_better=False,
    ),
    _mask(
        id="parsing_miou",
        torch_class="ParsingMIoU",
        meaning="mean over samples of the mean IoU over the LIP classes (with background) present in truth or "
        "prediction",
        inputs=_PARSING,
        row=parts.parsing_overlap,
        terms=terms_of.parsing_miou,
        columns={"mask": 70},
    ),
    _mask(
        id="parsing_miou_pooled",
        torch_class="PooledParsingMIoU",
        meaning="mean over the LIP classes (with background) of sum of intersections / sum of unions",
        inputs=_PARSING,
        row=parts.parsing_overlap,
        terms=terms_of.parsing_miou_pooled,
        source="the usual mIoU of LIP (Gong et al., CVPR 2017)",
    ),
    *(
        _mask(
            id=f"{PART_RECALL}[{name}]",
            meaning=f"share of the hidden pixels of {' + '.join(classes)} that the amodal mask covers, pooled",
            inputs=(*_HIDDEN, "parsing"),
            row=parts.covered_parts,
            terms=terms_of.part_recall(classes),
            each_part="recall of each body part",
        )
        for name, classes in (
            *((part, (part,)) for part in parts.PARTS),
            *((group, tuple(LIP.names[i] for i in ids)) for group, ids in BODY_PARTS.items()),
        )
    ),
)
