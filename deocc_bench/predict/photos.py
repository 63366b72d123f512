"""What a person's own photo brings in: the photo, the masks drawn on it, and the method that is to work on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deocc_bench.core import images
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.methods.loading import as_method
from deocc_bench.methods.method import Method
from deocc_bench.predict.recovery import check_fits

_EXIF_ORIENTATION = 0x0112
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}


def read_photo(path: str | Path) -> np.ndarray:
    """The photo as viewers show it, uint8 H x W x 3: turned upright where its EXIF data says so.

    Raises:
        InputError: missing, not an image, or cut off.
    """
    photo = _read(images.read_rgb, path)
    with Image.open(path) as im:
        turn = _UPRIGHT.get(im.getexif().get(_EXIF_ORIENTATION, 1))
    return photo if turn is None else np.ascontiguousarray(turn(photo))


def read_mask(path: str | Path, photo: np.ndarray) -> np.ndarray:
    """A person's mask for `photo`, bool H x W: white (soft edges from half on) or the only label is the person.

    Raises:
        InputError: missing, colours, several labels, another size than the photo, or nobody in it.
    """
    try:
        labels = images.read_indices(path)
    except InputError:
        # Painting programs save black and white as RGB.
        rgb = _read(images.read_rgb, path)
        if np.any(rgb != rgb[..., :1]):
            cure = "save it as black and white, white on the person"
            raise InputError(path, "a colour picture, not a mask", cure) from None
        labels = rgb[..., 0]
    return as_mask(labels, photo, path)


def as_mask(labels: np.ndarray, photo: np.ndarray, where: str | Path = "mask") -> np.ndarray:
    """Grey levels or labels (H x W, uint8 or bool) as a person's mask for `photo`, bool H x W.

    Args:
        where: file or argument that is named in errors.

    Raises:
        InputError: several labels, another size than the photo, or nobody in it.
    """
    if labels.ndim != 2 or labels.dtype not in (np.bool_, np.uint8):
        raise InputError(where, f"is {labels.dtype} {labels.shape}", "give one mask, bool or uint8 H x W")
    (height, width), (mask_height, mask_width) = photo.shape[:2], labels.shape
    if labels.shape != photo.shape[:2]:
        cure = "draw it on the photo at its full size"
        if labels.shape == photo.shape[1::-1]:
            cure = "turn it upright, as the photo's EXIF data turns the photo"
        problem = f"the mask is {mask_width} x {mask_height}, but the photo is {width} x {height}"
        raise InputError(where, problem, cure)
    if labels.dtype == bool and labels.any():
        return labels
    if not labels.any():
        raise InputError(where, "the mask is empty", "draw the visible part of the person in white")
    values = np.unique(labels[labels > 0])
    if len(values) == 1:
        return labels > 0
    if values[-1] < 128:
        raise InputError(where, f"holds {len(values)} labels", "give one mask a person, each with its own --mask")
    return labels >= 128


def load_for_photo(
    method: Any,
    options: Mapping[str, Any],
    device: str,
    *,
    fit_data: str | Path | None,
    fit_split: str,
    whole_known: bool,
) -> Method:
    """A method that is ready to work on a photo, fitted if it learns.

    Args:
        method: whatever `as_method` takes.
        whole_known: the whole person is given, so that only content is recovered.

    Raises:
        UsageError: the method can't work on a photo; says what to give instead.
    """
    loaded = as_method(method, options, device)
    check_fits(loaded, whole_known)
    if "fit" in loaded.all_needs:
        if fit_data is None:
            raise UsageError(
                f"method {loaded.name!r} learns from a dataset; give --fit-data DIR (`deocc-bench synth` makes one)"
            )
        loaded.fit(DatasetReader(fit_data), fit_split)
    elif fit_data is not None:
        raise UsageError(f"method {loaded.name!r} does not learn; leave out --fit-data")
    return loaded


def _read(reader: Callable[[str | Path], np.ndarray], path: str | Path) -> np.ndarray:
    try:
        return reader(path)
    except InputError as error:
        raise InputError(error.where, error.problem, "give another file") from error
