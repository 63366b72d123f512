"""Per-sample mask statistics: integer areas and overlaps, from masks packed to one bit per pixel.

Notation: A true amodal, M true modal, I initial, P predicted amodal, Q predicted modal mask. The invisible region is
A & ~M, the predicted invisible region P & ~M. Everything else (IoU, precision, L1, the conventions of other papers) is
derived from these integers.
"""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.metrics.arrays import SampleArrays, pack, popcount
from deocc_bench.metrics.parts import hidden_parts

# Boundary IoU (Cheng et al., CVPR 2021): width of the band as a share of the image diagonal.
BOUNDARY_DILATION = 0.02
_SQUARE_3X3 = np.ones((3, 3), np.uint8)


def boundary_width(height: int, width: int) -> int:
    """Width of the boundary band in pixels: `max(1, round(0.02 * diagonal))`."""
    return max(1, round(BOUNDARY_DILATION * float(np.hypot(height, width))))


def boundary(mask: np.ndarray, width: int | None = None) -> np.ndarray:
    """The band of `mask` (bool H x W) within `width` pixels of its edge; the image border counts as an edge.

    The erosion uses a 3x3 square, iterated `width` times (Cheng et al., CVPR 2021).
    """
    width = boundary_width(*mask.shape) if width is None else width
    inner = cv2.erode(
        np.ascontiguousarray(mask).view(np.uint8),
        _SQUARE_3X3,
        iterations=width,
        borderType=cv2.BORDER_CONSTANT,
        borderValue=(0,),
    )
    return mask & ~inner.view(bool)


def truth_row(sample: SampleArrays) -> dict[str, int]:
    """The ground-truth columns, which every row has.

    Returns:
        `height`, `width`; if the masks are present, `amodal`, `modal`, `invisible` (pixels) and `touches_frame` (0 / 1:
        the amodal mask reaches the image border, so the frame cuts off the person); with the parsing also
        `part_invisible[...]`.
    """
    height, width = sample.size
    row = {"height": height, "width": width}
    if sample.amodal is not None:
        a = sample.amodal
        edges = a[0].any() or a[-1].any() or a[:, 0].any() or a[:, -1].any()
        row |= {"amodal": popcount(sample.packed("amodal")), "touches_frame": int(edges)}
    if sample.modal is not None:
        row["modal"] = popcount(sample.packed("modal"))
    if sample.holds(("amodal", "modal")):
        row["invisible"] = popcount(sample.packed("amodal") & ~sample.packed("modal"))
        if sample.parsing is not None:
            row |= hidden_parts(sample)
    return row


def amodal_overlap(sample: SampleArrays) -> dict[str, int]:
    """`predicted` |P|, `amodal_inter` |P & A|."""
    a, p = sample.packed("amodal"), sample.packed("predicted")
    return {"predicted": popcount(p), "amodal_inter": popcount(p & a)}


def invisible_overlap(sample: SampleArrays) -> dict[str, int]:
    """`predicted_invisible` |P & ~M|, `invisible_inter` |P & A & ~M|."""
    outside = sample.packed("predicted") & ~sample.packed("modal")
    return {"predicted_invisible": popcount(outside), "invisible_inter": popcount(outside & sample.packed("amodal"))}


def modal_overlap(sample: SampleArrays) -> dict[str, int]:
    """`predicted_modal` |Q|, `modal_inter` |Q & M|."""
    m, q = sample.packed("modal"), sample.packed("predicted_modal")
    return {"predicted_modal": popcount(q), "modal_inter": popcount(q & m)}


def initial_overlap(sample: SampleArrays) -> dict[str, int]:
    """`initial` |I|, `initial_inter` |I & M|."""
    m, i = sample.packed("modal"), sample.packed("initial")
    return {"initial": popcount(i), "initial_inter": popcount(i & m)}


def joined_overlap(sample: SampleArrays) -> dict[str, int]:
    """`joined_invisible` |(P | I) & ~M|, `joined_inter` |(P | I) & A & ~M|: C2F-Seg's post-processing."""
    joined = (sample.packed("predicted") | sample.packed("initial")) & ~sample.packed("modal")
    return {"joined_invisible": popcount(joined), "joined_inter": popcount(joined & sample.packed("amodal"))}


def boundary_overlap(sample: SampleArrays) -> dict[str, int]:
    """`boundary_inter`, `boundary_union` of the boundary bands of A and P: the slow part of the mask metrics."""
    width = boundary_width(*sample.size)
    of_truth, of_prediction = (pack(boundary(sample.of(name), width)) for name in ("amodal", "predicted"))
    return {
        "boundary_inter": popcount(of_truth & of_prediction),
        "boundary_union": popcount(of_truth | of_prediction),
    }
