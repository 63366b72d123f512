"""Reading and writing image files. RGB uint8 H x W x 3 in memory; PNG on disk. Photos are read upright.

OpenCV decodes and encodes: with the settings below it writes a 256 x 256 photo in half the time of Pillow's fastest
level, at the same size (`python benchmarks/encoders.py`). Pillow reads and writes palettes, which OpenCV can't.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from deocc_bench.core.errors import InputError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.pixels import ImageFile, image_size, open_image, undecodable

__all__ = [
    "IMAGE_SUFFIXES",
    "check_complete",
    "encode_png",
    "image_size",
    "read_indices",
    "read_rgb",
    "read_rgba",
    "write_png",
]

# IPP selects its code by CPU, and the results differ in the last bit. A dataset must not depend on the machine.
cv2.ipp.setUseIPP(False)
# Errors are reported as InputError; OpenCV's own lines on stderr name no file.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# Run-length strategy on up-filtered rows: for photos, smaller and faster than zlib's default strategy at level 1.
_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_RLE,
    cv2.IMWRITE_PNG_FILTER,
    cv2.IMWRITE_PNG_FILTER_UP,
]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def read_rgb(path: str | Path) -> np.ndarray:
    """Read a photo as uint8 H x W x 3, RGB, upright: EXIF orientation is applied. Grey is repeated, alpha dropped.

    Raises:
        InputError: the file is missing, not an image, truncated or too large.
    """
    return decode_rgb(open_image(path))


def decode_rgb(file: ImageFile) -> np.ndarray:
    """Decode an opened photo; see `read_rgb`."""
    try:
        image = cv2.imdecode(np.frombuffer(file.raw, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise undecodable(file.path) from error
    if image is None or image.shape[:2] != file.header.stored:
        raise undecodable(file.path)
    return file.upright(image)


def read_rgba(path: str | Path) -> np.ndarray:
    """Read a cut-out as uint8 H x W x 4, RGBA, alpha not premultiplied, upright.

    Raises:
        InputError: the file is missing, broken, too large, or has no alpha channel.
    """
    file = open_image(path)
    with file.opened() as im:
        if "A" not in im.getbands() and "transparency" not in im.info:
            raise InputError(path, "has no alpha channel", "give a cut-out with transparency (PNG or WebP)")
        return file.upright(np.asarray(im.convert("RGBA")))


def read_indices(path: str | Path) -> np.ndarray:
    """Read label ids as uint8 H x W: the indices of a palette image, or the values of an 8-bit grey image.

    Raises:
        InputError: the file is missing, broken, too large, or a colour image, whose ids are unknown.
    """
    return decode_indices(open_image(path))


def decode_indices(file: ImageFile) -> np.ndarray:
    """Decode an opened label image; see `read_indices`."""
    with file.opened() as im:
        if im.mode not in ("P", "L", "1"):
            raise InputError(
                file.path,
                f"a label must be a palette or 8-bit grey image, but its mode is {im.mode}",
                "save the label ids themselves, not their colours",
            )
        return file.upright(np.array(im, dtype=np.uint8))


def check_complete(path: str | Path) -> None:
    """Check the header and the end marker of an image file without decoding it.

    Raises:
        InputError: the file is missing, not an image, truncated or too large.
    """
    open_image(path)


def encode_png(array: np.ndarray, palette: bytes | None = None) -> bytes:
    """PNG bytes of uint8 H x W x 3 (RGB), H x W x 4 (RGBA) or H x W (grey; bool as 0 / 255).

    With `palette` (768 bytes, RGB) an H x W array is written as palette indices.
    """
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    if palette is not None:
        im = Image.fromarray(array, "L")
        im.putpalette(palette)
        buffer = io.BytesIO()
        im.save(buffer, "png", compress_level=1)
        return buffer.getvalue()
    if array.ndim == 3:
        array = cv2.cvtColor(array, cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    ok, data = cv2.imencode(".png", array, _PNG)
    if not ok:
        raise ValueError(f"can't encode an array of shape {array.shape}, dtype {array.dtype} as PNG")
    return data.tobytes()


def write_png(path: str | Path, array: np.ndarray, palette: bytes | None = None) -> None:
    """Write the result of `encode_png` to a file, atomically."""
    atomic_write(path, encode_png(array, palette))
