"""The contact sheet: an overview of a dataset in one picture."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.labels import LIP
from deocc_bench.core.types import Sample

_GAP = 4
_CAPTION = 18
_VISIBLE = (46, 160, 67)
_HIDDEN = (219, 68, 55)
_INITIAL = (250, 200, 0)


def panel(sample: Sample, side: int) -> np.ndarray:
    """One sample's row of pictures, uint8: occluded image, complete image, masks, parsing. Missing pictures are grey.

    The masks are modal (green) and hidden (red), with the outline of the initial mask (yellow).
    """
    grey = np.full((side, side, 3), 230, np.uint8)
    overlay = (sample.image * 0.45).astype(np.uint8)
    overlay[sample.modal] = overlay[sample.modal] // 2 + np.array(_VISIBLE, np.uint8) // 2 + 20
    overlay[sample.invisible] = overlay[sample.invisible] // 2 + np.array(_HIDDEN, np.uint8) // 2 + 20
    if sample.initial is not None:
        outlines, _ = cv2.findContours(sample.initial.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(overlay, outlines, -1, _INITIAL, max(1, max(overlay.shape) // 256))
    cells = [_fit(sample.image, side), _fit(sample.complete, side) if sample.complete is not None else grey]
    cells.append(_fit(overlay, side))
    if sample.parsing is not None:
        colours = np.frombuffer(LIP.palette(), np.uint8).reshape(256, 3)
        cells.append(_fit(colours[sample.parsing], side, cv2.INTER_NEAREST))
    else:
        cells.append(grey)
    return np.concatenate(cells, axis=1)


def draw(records: Sequence[SampleRecord], columns: int = 3, side: int = 160) -> np.ndarray:
    """Draw a grid of panels with captions (split, id, ratio, occluders), uint8 H x W x 3."""
    width, height = 4 * side + _GAP, side + _CAPTION + _GAP
    rows = max(1, -(-len(records) // columns))
    sheet = np.full((rows * height + _GAP, columns * width + _GAP, 3), 255, np.uint8)
    for i, record in enumerate(records):
        y, x = _GAP + i // columns * height, _GAP + i % columns * width
        sheet[y : y + side, x : x + 4 * side] = panel(record.load(), side)
        front = [o.category for o in record.truth.front]
        caption = f"{record.split} {record.id}  {record.occlusion_ratio:.2f}  {', '.join(front)}"
        text = caption.encode("ascii", "replace").decode()[: 4 * side // 7]
        cv2.putText(sheet, text, (x + 2, y + side + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (40, 40, 40), 1, cv2.LINE_AA)
    return sheet


def _fit(image: np.ndarray, side: int, interpolation: int = cv2.INTER_AREA) -> np.ndarray:
    h, w = image.shape[:2]
    scale = side / max(h, w)
    small = cv2.resize(image, (max(1, round(w * scale)), max(1, round(h * scale))), interpolation=interpolation)
    cell = np.full((side, side, 3), 245, np.uint8)
    y, x = (side - small.shape[0]) // 2, (side - small.shape[1]) // 2
    cell[y : y + small.shape[0], x : x + small.shape[1]] = small
    return cell
