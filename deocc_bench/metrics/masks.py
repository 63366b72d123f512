"""Per-sample mask statistics: areas and overlaps as integers, from masks packed to one bit a pixel.

Names used in every row: A true amodal, M true modal, I initial, P predicted amodal, Q predicted modal mask; the
invisible region is A & ~M, and a prediction's part in it P & ~M. Everything else (IoU, precision, L1, the conventions
of other papers) is derived from these integers.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from deocc_bench.metrics.parts import parsing_row, part_row

# Boundary IoU (Cheng et al., CVPR 2021): width of the band as a share of the image diagonal.
BOUNDARY_DILATION = 0.02
_SQUARE_3X3 = np.ones((3, 3), np.uint8)


def pack(mask: np.ndarray) -> np.ndarray:
    """A bool mask (H, W) as uint64 words, one bit a pixel, the tail filled with zeros."""
    bits = np.packbits(mask)
    rest = -bits.size % 8
    return (np.concatenate([bits, np.zeros(rest, np.uint8)]) if rest else bits).view(np.uint64)


def popcount(words: np.ndarray) -> int:
    """Number of set bits."""
    return int(np.bitwise_count(words).sum(dtype=np.int64))


def boundary_width(height: int, width: int) -> int:
    """Width of the boundary band in pixels: `max(1, round(0.02 * diagonal))`."""
    return max(1, round(BOUNDARY_DILATION * float(np.hypot(height, width))))


def boundary(mask: np.ndarray, width: int | None = None) -> np.ndarray:
    """The band of `mask` (bool H x W) within `width` pixels of its edge; the image border counts as an edge.

    The erosion is the 3x3 square one, `width` times over (Cheng et al., CVPR 2021).
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


def truth_row(amodal: np.ndarray, modal: np.ndarray, parsing: np.ndarray | None = None) -> dict[str, Any]:
    """What a row says of the truth alone, for tasks without a predicted mask.

    Args:
        amodal, modal: bool (H, W).
        parsing: uint8 (H, W) LIP ids of the amodal person, or None.

    Returns:
        `height`, `width`, `amodal`, `modal`, `invisible` (pixels), `touches_frame` (0 / 1: the amodal mask reaches the
        image border, so the person is cut by the frame), and `part_invisible[...]` where parsing is given.
    """
    _check(amodal, modal=modal)
    row = _areas(amodal, pack(amodal), pack(modal))
    if parsing is not None:
        row.update(part_row(parsing, amodal & ~modal))
    return row


def mask_row(
    amodal: np.ndarray,
    modal: np.ndarray,
    predicted: np.ndarray,
    predicted_modal: np.ndarray | None = None,
    initial: np.ndarray | None = None,
    parsing: np.ndarray | None = None,
    predicted_parsing: np.ndarray | None = None,
    boundary_iou: bool = True,
) -> dict[str, Any]:
    """The sufficient statistics of one sample of the mask task.

    Args:
        amodal, modal: true masks, bool (H, W).
        predicted: predicted amodal mask, bool (H, W).
        predicted_modal: the refined modal mask, if the method gives one.
        initial: the mask the method was given.
        parsing, predicted_parsing: uint8 (H, W) LIP ids of the amodal person; 255 in the truth is ignored.
        boundary_iou: compute the boundary bands as well (the slow part).

    Returns:
        Integers, beside those of `truth_row`: `predicted` |P|, `amodal_inter` |P & A|, `predicted_invisible` |P & ~M|,
        `invisible_inter` |P & A & ~M|; with `predicted_modal` also `predicted_modal` |Q|, `modal_inter` |Q & M|; with
        `initial` also `initial` |I|, `initial_inter` |I & M|, and `joined_invisible` |(P | I) & ~M|, `joined_inter`
        |(P | I) & A & ~M| (C2F-Seg's post-process); `boundary_inter`, `boundary_union`; parts and parsing columns.

    Raises:
        ValueError: a mask that is not bool, or shapes that differ.
    """
    _check(amodal, modal=modal, predicted=predicted, predicted_modal=predicted_modal, initial=initial)
    # RLE decoders like to give column-major arrays; mixing the two orders costs more than this copy.
    amodal, modal, predicted = (np.ascontiguousarray(mask) for mask in (amodal, modal, predicted))
    a, m, p = pack(amodal), pack(modal), pack(predicted)
    row = _areas(amodal, a, m)
    outside, hidden = p & ~m, a & ~m
    row |= {
        "predicted": popcount(p),
        "amodal_inter": popcount(p & a),
        "predicted_invisible": popcount(outside),
        "invisible_inter": popcount(p & hidden),
    }
    if predicted_modal is not None:
        q = pack(predicted_modal)
        row |= {"predicted_modal": popcount(q), "modal_inter": popcount(q & m)}
    if initial is not None:
        i = pack(initial)
        row |= {
            "initial": popcount(i),
            "initial_inter": popcount(i & m),
            "joined_invisible": popcount((p | i) & ~m),
            "joined_inter": popcount((p | i) & hidden),
        }
    if boundary_iou:
        width = boundary_width(*amodal.shape)
        of_truth, of_prediction = pack(boundary(amodal, width)), pack(boundary(predicted, width))
        row |= {
            "boundary_inter": popcount(of_truth & of_prediction),
            "boundary_union": popcount(of_truth | of_prediction),
        }
    if parsing is not None:
        row |= part_row(parsing, amodal & ~modal, predicted)
        if predicted_parsing is not None:
            row |= parsing_row(parsing, predicted_parsing)
    return row


def _areas(amodal: np.ndarray, a: np.ndarray, m: np.ndarray) -> dict[str, Any]:
    edges = amodal[0].any() or amodal[-1].any() or amodal[:, 0].any() or amodal[:, -1].any()
    return {
        "height": amodal.shape[0],
        "width": amodal.shape[1],
        "amodal": popcount(a),
        "modal": popcount(m),
        "invisible": popcount(a & ~m),
        "touches_frame": int(edges),
    }


def _check(amodal: np.ndarray, **others: np.ndarray | None) -> None:
    for name, mask in (("amodal", amodal), *others.items()):
        if mask is None:
            continue
        if mask.dtype != np.bool_:
            raise ValueError(f"Expected `{name}` to be a bool array, but got {mask.dtype}")
        if mask.shape != amodal.shape or mask.ndim != 2:
            raise ValueError(f"Expected `{name}` to be {amodal.shape} (H, W) like `amodal`, but got {mask.shape}")
