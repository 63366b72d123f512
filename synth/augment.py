"""Random photometric augmentation, selected by name. `crop.Jitter` covers geometry (shift, scale, flip).

There are two kinds, because image and complete image must stay equal where there is no occluder. `photo` changes the
photo before occluders are added: blur and JPEG depend on neighbouring pixels. `pair` applies the same per-pixel change
to both finished images: colour and noise.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import cv2
import numpy as np

from deocc_bench.core.errors import UsageError
from deocc_bench.core.registry import unknown
from deocc_bench.synth.crop import Crop, Jitter

GEOMETRIC = ("shift", "scale", "flip")
PHOTOMETRIC = ("blur", "jpeg", "colour", "noise")


def check(names: Collection[str]) -> None:
    """Raise UsageError if `names` contains an unknown name."""
    for name in names:
        if name not in GEOMETRIC + PHOTOMETRIC:
            raise UsageError(unknown("augmentation", name, GEOMETRIC + PHOTOMETRIC))


def jitter(names: Collection[str]) -> Jitter | None:
    """The geometric part of `names` for `crop.crop`; None if there is none."""
    if not any(name in GEOMETRIC for name in names):
        return None
    usual = Jitter()
    return Jitter(
        shift=usual.shift if "shift" in names else 0.0,
        scale=usual.scale if "scale" in names else (1.0, 1.0),
        flip=usual.flip if "flip" in names else 0.0,
    )


def photo(scene: Crop, names: Collection[str], rng: np.random.Generator) -> Crop:
    """Blur the crop's photo ("blur": sigma up to 1.2 px, half of the time) and code it ("jpeg": quality 40-95).

    Padding stays black.
    """
    image = scene.image
    if "blur" in names and rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (5, 5), 0.3 + 0.9 * float(rng.random()))
    if "jpeg" in names:
        quality = int(rng.integers(40, 96))
        coded = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)
        assert coded is not None  # it was encoded by the line above
        image = coded
    if image is scene.image:
        return scene
    x0, y0, x1, y1 = scene.frame
    clean = np.zeros_like(image)
    clean[y0:y1, x0:x1] = image[y0:y1, x0:x1]
    return replace(scene, image=clean)


def pair(
    image: np.ndarray,
    complete: np.ndarray,
    names: Collection[str],
    rng: np.random.Generator,
    frame: tuple[int, int, int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Apply the same random "colour" and "noise" to the occluded and the complete image (uint8 H x W x 3).

    Args:
        frame: change only this rectangle (x0, y0, x1, y1), so that padding stays black; None: the whole image.
    """
    x0, y0, x1, y1 = frame or (0, 0, image.shape[1], image.shape[0])
    change = []
    if "colour" in names:
        table = _colour_table(rng)
        change.append(lambda view: cv2.LUT(view, table))
    if "noise" in names:
        sigma = float(rng.uniform(1, 8))
        grain = np.rint(sigma * rng.standard_normal((y1 - y0, x1 - x0, 3))).astype(np.int16)
        change.append(lambda view: np.clip(view + grain, 0, 255).astype(np.uint8))
    if not change:
        return image, complete
    done = []
    for source in (image, complete):
        view = source[y0:y1, x0:x1]
        for step in change:
            view = step(view)
        out = source.copy()
        out[y0:y1, x0:x1] = view
        done.append(out)
    return done[0], done[1]


def _colour_table(rng: np.random.Generator) -> np.ndarray:
    """A table of gain, offset and gamma, similar in all channels, uint8 256 x 1 x 3."""
    contrast, brightness, gamma = rng.uniform(0.8, 1.2), rng.uniform(-20, 20), rng.uniform(0.8, 1.25)
    tint = rng.uniform(0.94, 1.06, 3)
    level = np.arange(256, dtype=np.float64)[:, None] / 255
    values = (255 * level**gamma - 127.5) * contrast + 127.5 + brightness
    return np.clip(np.rint(np.round(values * tint, 6)), 0, 255).astype(np.uint8)[:, None, :]
