"""`complete` as a function: what `deocc-bench predict` does for one person, with arrays in and out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deocc_bench.core.errors import UsageError
from deocc_bench.core.notebook import small_png
from deocc_bench.predict.panel import panel
from deocc_bench.predict.photos import as_mask, load_for_photo, read_mask, read_photo
from deocc_bench.predict.recovery import SIZE, recover_person

Picture = np.ndarray | str | Path
# Side of each picture of `Completion.row`.
_CELL = 160


@dataclass(frozen=True)
class Completion:
    """One person of a photo of H x W, completed. A notebook shows it as a row of pictures.

    Args:
        amodal, modal, invisible: bool H x W: the whole person, their visible part, amodal & ~modal.
        recovered: uint8 H x W x 3, RGB: the photo with the invisible part painted; None from a method of masks alone.
        cutout: uint8 h x w x 4, RGBA: the whole person, cut to their box; None where `recovered` is.
        corner: (x, y) of the cut-out in the photo.
        notes: what the user should know, one sentence each.
        row: uint8, the pictures side by side.
    """

    amodal: np.ndarray
    modal: np.ndarray
    invisible: np.ndarray
    recovered: np.ndarray | None
    cutout: np.ndarray | None
    corner: tuple[int, int] | None
    notes: tuple[str, ...]
    row: np.ndarray

    def _repr_png_(self) -> bytes:
        return small_png(self.row)

    def __repr__(self) -> str:
        hidden, whole = np.count_nonzero(self.invisible), np.count_nonzero(self.amodal)
        height, width = self.amodal.shape
        return f"<person in a photo of {height} x {width}: {hidden / whole:.0%} hidden>"


def complete(
    photo: Picture,
    mask: Picture,
    method: Any = "two-stage",
    *,
    size: int = SIZE,
    exact: bool = False,
    amodal: Picture | None = None,
    occluder: Picture | None = None,
    options: Mapping[str, Any] | None = None,
    device: str = "auto",
    fit_data: str | Path | None = None,
    fit_split: str = "train",
    seed: int = 0,
) -> Completion:
    """Complete and recover one person of a photo of any size, as `deocc-bench predict` does.

    Args:
        photo: uint8 H x W x 3, RGB, or a file.
        mask: the visible part of the person, bool or 0 / 255 H x W, or a file.
        method: an object with `complete(batch)`, `recover(batch)` or both, its class, or a spec.
        size: side at which the method works, pixels.
        exact: the mask is exact: it is not refined, and nothing is painted over it.
        amodal: the whole person where it is known; then only their content is recovered.
        occluder: what hides them; nothing is painted elsewhere.
        options: of the method's constructor. device: "auto", "cpu", "cuda" or "cuda:N".
        fit_data, fit_split: dataset and split for methods that learn.
        seed: of random methods.

    Raises:
        InputError: a file is missing or broken, or a mask does not fit the photo.
        UsageError: the method can't work on a photo.
        DeoccError: the method fails, or gives an answer of the wrong form.
    """
    picture = _photo(photo)
    whole = None if amodal is None else _mask(amodal, picture)
    loaded = load_for_photo(
        method, options or {}, device, fit_data=fit_data, fit_split=fit_split, whole_known=whole is not None
    )
    person = recover_person(
        loaded,
        picture,
        _mask(mask, picture),
        size=size,
        exact=exact,
        whole=whole,
        hiding=None if occluder is None else _mask(occluder, picture),
        seed=seed,
    )
    cutout, corner = (None, None) if person.image is None else person.cutout()
    return Completion(
        amodal=person.amodal,
        modal=person.modal,
        invisible=person.invisible,
        recovered=person.image,
        cutout=cutout,
        corner=corner,
        notes=person.notes,
        row=panel(picture, person, _CELL),
    )


def _photo(photo: Picture) -> np.ndarray:
    if not isinstance(photo, np.ndarray):
        return read_photo(photo)
    if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
        raise UsageError(f"the photo is {photo.dtype} {photo.shape}; give uint8 H x W x 3, RGB")
    return photo


def _mask(mask: Picture, photo: np.ndarray) -> np.ndarray:
    return as_mask(mask, photo) if isinstance(mask, np.ndarray) else read_mask(mask, photo)
