"""Mask layers as pictures, with a colour and a pattern for visible, found, missed and extra pixels."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

# Classes of a mask layer. Patterns differ too, so that errors can be recognised without colour.
NOTHING, SEEN, FOUND, MISSED, EXTRA = range(5)


LAYER_NAMES = {
    SEEN: "visible and predicted",
    FOUND: "hidden and predicted",
    MISSED: "missed (striped)",
    EXTRA: "extra (dotted)",
}


_COLOURS = np.array(
    [(0, 0, 0, 0), (86, 180, 233, 110), (0, 114, 178, 215), (230, 110, 0, 235), (190, 40, 130, 235)], dtype=np.uint8
)


def mask_layer(predicted: np.ndarray, amodal: np.ndarray, modal: np.ndarray) -> np.ndarray:
    """The classes of a predicted amodal mask against the true masks (bool H x W each), uint8 H x W."""
    layer = np.zeros(amodal.shape, np.uint8)
    layer[predicted & modal] = SEEN
    layer[predicted & amodal & ~modal] = FOUND
    layer[amodal & ~predicted] = MISSED
    layer[predicted & ~amodal] = EXTRA
    return layer


def encode_layer(layer: np.ndarray) -> bytes:
    """PNG bytes of a mask layer: a palette image with transparency; classes differ in pattern and colour."""
    picture = Image.fromarray(_patterned(layer), "P")
    picture.putpalette(_COLOURS[:, :3].tobytes())
    buffer = io.BytesIO()
    picture.save(buffer, "png", transparency=_COLOURS[:, 3].tobytes(), optimize=True)
    return buffer.getvalue()


def paint_layer(image: np.ndarray, layer: np.ndarray) -> np.ndarray:
    """The picture with a mask layer over it, uint8 H x W x 3; the background is dimmed to emphasise the person."""
    colour = _COLOURS[_patterned(layer)].astype(np.float64)
    alpha = colour[..., 3:] / 255
    return (image * 0.75 * (1 - alpha) + colour[..., :3] * alpha).round().astype(np.uint8)


def _patterned(layer: np.ndarray) -> np.ndarray:
    y, x = np.indices(layer.shape)
    gaps = ((layer == MISSED) & ((x + y) // 3 % 2 == 1)) | ((layer == EXTRA) & (x // 2 % 2 == 1) & (y // 2 % 2 == 1))
    return np.where(gaps, NOTHING, layer).astype(np.uint8)
