"""Small pictures of samples for reports and figures: the input, the ground truth, and the prediction of each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from deocc_bench.core import images, mask_files, masks
from deocc_bench.core.dataset import SampleRecord
from deocc_bench.core.errors import InputError
from deocc_bench.core.painting import mask_layer
from deocc_bench.core.predictions import PredictionFolder
from deocc_bench.leaderboard.records import Run

_QUALITY = 74


@dataclass(frozen=True)
class Answer:
    """The prediction of one run for one sample: a class layer uint8 H x W and a picture uint8 H x W x 3, or None."""

    layer: np.ndarray | None
    image: np.ndarray | None


@dataclass(frozen=True)
class SamplePictures:
    """One sample: occluded image, complete image (None if missing), layer of the true masks, predictions."""

    id: str
    ratio: float
    image: np.ndarray
    complete: np.ndarray | None
    truth: np.ndarray
    answers: tuple[Answer, ...]


def load_pictures(record: SampleRecord, runs: Sequence[Run], side: int | None = None) -> SamplePictures:
    """Read one sample and the predictions of the runs.

    Args:
        side: longest side in pixels after downscaling; None: the original size.

    Raises:
        InputError: files of the dataset are missing or broken. A missing file of a run is a missing prediction.
    """
    amodal, modal = masks.decode(record.amodal), masks.decode(record.modal)
    size = _scaled(record.size, side)
    complete = images.read_rgb(record.complete_path) if record.complete_path else None
    return SamplePictures(
        id=record.id,
        ratio=record.occlusion_ratio,
        image=_shrink(images.read_rgb(record.image_path), size),
        complete=None if complete is None else _shrink(complete, size),
        truth=_shrink_layer(mask_layer(amodal, amodal, modal), size),
        answers=tuple(_answer(run, record, amodal, modal, size) for run in runs),
    )


def encode_photo(image: np.ndarray) -> bytes:
    """Encode an RGB picture as WebP: half the size of JPEG at these dimensions, and all current browsers support it."""
    ok, data = cv2.imencode(".webp", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    if not ok:
        raise ValueError(f"can't encode an array of shape {image.shape}")
    return data.tobytes()


def _answer(run: Run, record: SampleRecord, amodal: np.ndarray, modal: np.ndarray, size: tuple[int, int]) -> Answer:
    folder = run.predictions
    if folder is None:
        return Answer(None, None)
    layer = image = None
    try:
        mask_path, image_path = (PredictionFolder(folder).path(kind, record.id) for kind in ("masks", "images"))
        if run.record.task != "content" and mask_path.is_file():
            mask = mask_files.read_mask(mask_path)
            if mask.shape == amodal.shape:
                layer = _shrink_layer(mask_layer(mask, amodal, modal), size)
        if run.record.task != "mask" and image_path.is_file():
            image = _shrink(images.read_rgb(image_path), size)
    except InputError:
        # Scoring reports a broken prediction, or a link out of the run; here it is a missing picture.
        return Answer(None, None)
    return Answer(layer, image)


def _scaled(size: tuple[int, int], side: int | None) -> tuple[int, int]:
    factor = 1.0 if side is None else min(1.0, side / max(size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def _shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA))


def _shrink_layer(layer: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if layer.shape == size:
        return layer
    return np.asarray(cv2.resize(layer, size[::-1], interpolation=cv2.INTER_NEAREST))
