"""A row of captioned pictures about one person of a photo."""

from __future__ import annotations

import cv2
import numpy as np

from deocc_bench.core import masks
from deocc_bench.core.painting import FOUND, NOTHING, SEEN, paint_layer
from deocc_bench.core.window import window
from deocc_bench.predict.recovery import Recovery

_CELL = 320
_CAPTION = 22


def panel(photo: np.ndarray, person: Recovery, cell: int = _CELL) -> np.ndarray:
    """A row of captioned pictures about the person, uint8: photo, visible and hidden part, recovered, cut-out."""
    box = masks.tight_box(person.amodal)
    assert box is not None
    about = window(box)
    here = np.s_[max(0, about.y) : about.y + about.side, max(0, about.x) : about.x + about.side]
    scene, amodal = photo[here], person.amodal[here]
    layer = np.where(person.modal[here], np.uint8(SEEN), np.where(amodal, np.uint8(FOUND), np.uint8(NOTHING)))
    row = [("photo", scene), ("visible and hidden", paint_layer(scene, layer))]
    if person.image is not None:
        recovered = person.image[here]
        y, x = np.indices(amodal.shape) * 16 // max(amodal.shape)
        board = np.where((x + y) % 2 == 0, np.uint8(225), np.uint8(250))[..., None]
        row += [("recovered", recovered), ("whole person", np.where(amodal[..., None], recovered, board))]
    return np.concatenate([_captioned(caption, picture, cell) for caption, picture in row], axis=1)


def _captioned(caption: str, picture: np.ndarray, cell: int) -> np.ndarray:
    """The picture fitted into a white square below its caption."""
    height, width = picture.shape[:2]
    scale = cell / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    framed = np.full((cell + _CAPTION, cell, 3), 255, np.uint8)
    y, x = _CAPTION + (cell - size[1]) // 2, (cell - size[0]) // 2
    framed[y : y + size[1], x : x + size[0]] = fitted
    cv2.putText(framed, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (40, 40, 40), 1, cv2.LINE_AA)
    return framed
