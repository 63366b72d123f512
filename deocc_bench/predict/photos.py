"""What a person's own photo brings in: the photo, the masks drawn on it, and the method that is to work on it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.core import images, mask_files
from deocc_bench.core.dataset import DatasetReader
from deocc_bench.core.errors import InputError, UsageError
from deocc_bench.methods.loading import as_method
from deocc_bench.methods.method import Method
from deocc_bench.predict.recovery import check_fits


def read_photo(path: str | Path) -> np.ndarray:
    """The photo as viewers show it, uint8 H x W x 3: upright.

    Raises:
        InputError: missing, not an image, truncated or too large.
    """
    with _for_one_file():
        return images.read_rgb(path)


def read_mask(path: str | Path, photo: np.ndarray, notes: list[str] | None = None) -> np.ndarray:
    """A person's mask for `photo`, bool H x W; see `core.mask_files` for the rule.

    Args:
        notes: a sentence is added if the mask is soft.

    Raises:
        InputError: missing, ambiguous, another size than the photo, or nobody in it.
    """
    with _for_one_file():
        mask, soft, _ = mask_files.read_mask_file(path)
    if soft and notes is not None:
        notes.append(f"the mask {Path(path).name} is soft: it was read at half of white")
    return _fitting(mask, photo, path)


def as_mask(levels: np.ndarray, photo: np.ndarray, where: str | Path = "mask") -> np.ndarray:
    """Grey levels or one label (H x W, uint8 or bool) as a person's mask for `photo`, bool H x W.

    Args:
        where: argument that is named in errors.

    Raises:
        InputError: several labels, another size than the photo, or nobody in it.
    """
    if levels.ndim != 2 or levels.dtype not in (np.bool_, np.uint8):
        raise InputError(where, f"is {levels.dtype} {levels.shape}", "give one mask, bool or uint8 H x W")
    with _for_one_file():
        mask, _ = mask_files.of_levels(levels, where)
    return _fitting(mask, photo, where)


def _fitting(mask: np.ndarray, photo: np.ndarray, where: str | Path) -> np.ndarray:
    (height, width), (mask_height, mask_width) = photo.shape[:2], mask.shape
    if mask.shape != photo.shape[:2]:
        cure = "draw it on the photo at its full size"
        if mask.shape == photo.shape[1::-1]:
            cure = "turn it upright, as the photo's EXIF orientation turns the photo"
        problem = f"the mask is {mask_width} x {mask_height}, but the photo is {width} x {height}"
        raise InputError(where, problem, cure)
    if not mask.any():
        raise InputError(where, "the mask is empty", "draw the visible part of the person in white")
    return mask


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


@contextmanager
def _for_one_file() -> Iterator[None]:
    """Adapt the cure of errors: `predict` reads one file and can't skip it."""
    try:
        yield
    except InputError as error:
        cure = error.cure.replace(", or skip it with --skip-bad", "").replace(", or use --skip-bad", "")
        raise InputError(error.where, error.problem, cure) from error
