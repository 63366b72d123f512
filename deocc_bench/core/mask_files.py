"""One rule for reading masks from image files and arrays: what a viewer shows white is the person.

- Palette: by the colours, not by the indices. One of two colours must be black, or the two must be grey.
- Alpha: if it varies, opaque is the person (a cut-out). If the colours also form a mask, the file is ambiguous.
- Grey: 0 and one other value (0/1, 0/255, one label) is binary. Other masks are soft and read at half of white.
- Several labels, and colours, are refused: nobody can know which of them is meant.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from deocc_bench.core.errors import InputError
from deocc_bench.core.pixels import Header, ImageFile, open_image

_WHITE_ON_BLACK = "save it as black and white, white on the person"
_ONE_EACH = "give one mask a person, white on black"
_HALF = 128
# A mask saved as JPEG: grey within this distance, and levels near black or white, are noise of the compression.
_NOISE = 24
# Ids of label images are small numbers, apart from 255 for "unknown".
_HIGHEST_ID = 31


class ReadMask(NamedTuple):
    """A mask as read from a file.

    Args:
        mask: bool H x W, upright.
        soft: whether the file has levels between black and white, which were read at half.
        header: header of the file.
    """

    mask: np.ndarray
    soft: bool
    header: Header


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as bool H x W; see the rule above.

    Raises:
        InputError: the file is missing, broken, too large, or ambiguous.
    """
    return read_mask_file(path).mask


def read_mask_file(path: str | Path) -> ReadMask:
    """Read a mask and say how it was read.

    Raises:
        InputError: same as `read_mask`.
    """
    return decode_mask(open_image(path))


def decode_mask(file: ImageFile) -> ReadMask:
    """Decode an opened mask; see `read_mask_file`."""
    with file.opened() as im:
        mask, soft = _of_picture(im, file)
    return ReadMask(file.upright(mask), soft, file.header)


def of_levels(levels: np.ndarray, where: str | Path) -> tuple[np.ndarray, bool]:
    """(mask bool H x W, whether it is soft) from grey levels.

    Args:
        levels: bool, uint8 or uint16, H x W.
        where: file or argument, for error messages.

    Raises:
        InputError: another type of array, or the levels are labels of several things.
    """
    if levels.ndim != 2 or levels.dtype not in (np.bool_, np.uint8, np.uint16):
        raise InputError(where, f"is {levels.dtype} {levels.shape}", "give one mask, bool or uint8 H x W")
    if levels.dtype == bool:
        return levels, False
    mask = levels > 0
    highest = int(levels.max(initial=0))
    if np.array_equal(levels, mask * levels.dtype.type(highest)):
        return mask, False
    if levels.dtype == np.uint16:
        levels = (levels >> 8).astype(np.uint8)
        highest = int(levels.max())
    values = np.flatnonzero(np.bincount(levels.ravel(), minlength=256))
    labels = values[(values > 0) & (values < 255)]
    if highest < _HALF or (highest == 255 and labels.size and int(labels.max()) <= _HIGHEST_ID):
        shown = ", ".join(str(int(v)) for v in values[:6]) + (", ..." if len(values) > 6 else "")
        raise InputError(where, f"has the levels {shown}: several labels, or a dark mask", _ONE_EACH)
    return levels >= _HALF, True


def check_fits(mask: np.ndarray, header: Header, where: str | Path, photo: str | Path) -> None:
    """Check that a mask has the size of its photo.

    Args:
        mask: H x W.
        header: of the photo.
        where: file of the mask, or another place for error messages.
        photo: file of the photo.

    Raises:
        InputError: the sizes differ; names the EXIF orientation if that is the cause.
    """
    if mask.shape != header.size:
        raise wrong_size((mask.shape[0], mask.shape[1]), header, where, photo)


def wrong_size(size: tuple[int, int], header: Header, where: str | Path, photo: str | Path) -> InputError:
    """The error for a mask or annotation whose size (height, width) is not that of its photo."""
    (height, width), (photo_height, photo_width), name = size, header.size, Path(photo).name
    problem = f"is {width} x {height}, but its photo {name} is {photo_width} x {photo_height}"
    if size == header.stored:
        problem += f": it was drawn before the EXIF orientation ({header.orientation}) of the photo was applied"
        return InputError(where, problem, "turn it upright, as viewers show the photo, or use --skip-bad")
    return InputError(where, problem, "make both the same size, or skip the photo with --skip-bad")


def _of_picture(im: Image.Image, file: ImageFile) -> tuple[np.ndarray, bool]:
    where = file.path
    if im.mode in ("L", "1"):
        return of_levels(np.asarray(im), where)
    if im.mode in ("I;16", "I;16B", "I;16L", "I"):
        wide = np.asarray(im)
        if wide.min(initial=0) < 0 or wide.max(initial=0) > 65535:
            raise InputError(where, f"has levels beyond 16 bits ({wide.min()} to {wide.max()})", _WHITE_ON_BLACK)
        return of_levels(wide.astype(np.uint16), where)
    if im.mode == "P" and "transparency" not in im.info:
        return _by_colour(np.asarray(im.convert("RGB")), where)
    if "A" in im.getbands() or "transparency" in im.info:
        rgba = np.asarray(im.convert("RGBA"))
        return _of_cutout(rgba, where)
    if im.mode in ("RGB", "YCbCr", "CMYK"):
        return _by_colour(np.asarray(im.convert("RGB")), where)
    raise InputError(where, f"has the mode {im.mode}, not that of a mask", _WHITE_ON_BLACK)


def _of_cutout(rgba: np.ndarray, where: str | Path) -> tuple[np.ndarray, bool]:
    rgb, alpha = rgba[..., :3], rgba[..., 3]
    if alpha.min() == alpha.max():
        if alpha.max() < _HALF:
            raise InputError(where, "is transparent everywhere", _WHITE_ON_BLACK)
        return _by_colour(rgb, where)
    opaque = alpha >= _HALF
    inside = rgb[opaque]
    soft = bool(((alpha > 0) & (alpha < 255)).any())
    if inside.size and _is_grey(inside):
        dark, bright = inside[:, 0] < _NOISE, inside[:, 0] >= 256 - _NOISE
        if dark.any() and bright.any() and (dark | bright).mean() > 0.98:
            problem = "has a mask in its colours and another in its alpha channel"
            raise InputError(where, problem, "save one of them as black and white, without alpha")
    return opaque, soft


def _by_colour(rgb: np.ndarray, where: str | Path) -> tuple[np.ndarray, bool]:
    if _is_grey(rgb):
        levels = rgb.max(axis=-1)
        # Nearly black and nearly white are binary: the palette of a quantised mask has 1 or 254.
        if ((levels <= 3) | (levels >= 252)).all():
            return levels >= _HALF, False
        return of_levels(levels, where)
    packed = rgb[..., 0].astype(np.int32) << 16 | rgb[..., 1].astype(np.int32) << 8 | rgb[..., 2]
    colours = np.unique(packed)
    if len(colours) == 1:
        return np.ones(packed.shape, bool), False
    if len(colours) == 2 and colours[0] == 0:
        return packed > 0, False
    raise InputError(where, f"is a colour picture with {len(colours)} colours, not a mask", _WHITE_ON_BLACK)


def _is_grey(rgb: np.ndarray) -> bool:
    return bool((np.ptp(rgb, axis=-1) <= _NOISE).all())
