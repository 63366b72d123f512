"""Reading and writing image files. RGB uint8 H x W x 3 in memory; PNG on disk.

OpenCV decodes and encodes: with the settings below it writes a 256 x 256 photo in half the time of Pillow's fastest
level, at the same size (`python benchmarks/encoders.py`). Pillow reads and writes palettes, which OpenCV can't.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from deocc_bench.core.errors import InputError
from deocc_bench.core.files import atomic_write
from deocc_bench.core.reading import note_read

# IPP selects its code by CPU, and the results differ in the last bit. A dataset must not depend on the machine.
cv2.ipp.setUseIPP(False)

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

_REPLACE = "replace the file, or skip it with --skip-bad"


def read_rgb(path: str | Path) -> np.ndarray:
    """Read a photo as uint8 H x W x 3, RGB. Grey is repeated, alpha dropped, EXIF rotation ignored (as in labels).

    Raises:
        InputError: the file is missing, not an image, or truncated.
    """
    raw = _read_complete(path)
    image = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    if image is None:
        raise InputError(path, "not an image that can be decoded", _REPLACE)
    return image


def read_rgba(path: str | Path) -> np.ndarray:
    """Read a cut-out as uint8 H x W x 4, RGBA, alpha not premultiplied.

    Raises:
        InputError: the file is missing, broken, or has no alpha channel.
    """
    raw = _read_complete(path)
    try:
        with Image.open(io.BytesIO(raw)) as im:
            if "A" not in im.getbands() and "transparency" not in im.info:
                raise InputError(path, "has no alpha channel", "give a cut-out with transparency (PNG or WebP)")
            return np.asarray(im.convert("RGBA"))
    except (OSError, SyntaxError) as error:
        raise InputError(path, f"not an image that can be decoded ({error})", _REPLACE) from error


def read_indices(path: str | Path) -> np.ndarray:
    """Read label ids as uint8 H x W: the indices of a palette image, or the values of an 8-bit grey image.

    Raises:
        InputError: the file is missing, broken, or a colour image, whose ids are unknown.
    """
    raw = _read_complete(path)
    try:
        with Image.open(io.BytesIO(raw)) as im:
            if im.mode not in ("P", "L", "1"):
                raise InputError(
                    path,
                    f"a label must be a palette or 8-bit grey image, but its mode is {im.mode}",
                    "save the label ids themselves, not their colours",
                )
            return np.array(im, dtype=np.uint8)
    except (OSError, SyntaxError) as error:
        raise InputError(path, f"not an image that can be decoded ({error})", _REPLACE) from error


def read_mask(path: str | Path) -> np.ndarray:
    """Read a mask as bool H x W: true where the stored value (index or grey level) is above 0.

    Raises:
        InputError: the file is missing, broken, or a colour image.
    """
    return read_indices(path) > 0


def image_size(path: str | Path) -> tuple[int, int]:
    """Read (height, width) from the header.

    Raises:
        InputError: the file is missing or not an image.
    """
    try:
        with Image.open(path) as im:
            return im.height, im.width
    except FileNotFoundError:
        raise InputError(path, "no such file", "check the path") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise InputError(path, f"not an image ({error})", _REPLACE) from error


def check_complete(path: str | Path) -> None:
    """Check that a file is not truncated, without decoding it: a JPEG or PNG must contain its end marker.

    Raises:
        InputError: the file is missing, empty or truncated.
    """
    _read_complete(path)


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


def _read_complete(path: str | Path) -> bytes:
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(path, "no such file", "check the path") from None
    except OSError as error:
        raise InputError(path, f"can't be read ({error.strerror})", "check the path and its permissions") from error
    if not raw:
        raise InputError(path, "the file is empty", _REPLACE)
    # Decoders silently fill missing data with grey, so we look for the end marker. Cameras append data after the
    # marker, so we search the tail; a thumbnail's marker is in the head, so we don't search the whole file.
    cut_jpeg = raw[:2] == b"\xff\xd8" and b"\xff\xd9" not in raw[-4096:]
    cut_png = raw[:8] == b"\x89PNG\r\n\x1a\n" and b"IEND" not in raw[-4096:]
    if cut_jpeg or cut_png:
        raise InputError(path, f"truncated: it ends after {len(raw)} bytes without its end marker", _REPLACE)
    note_read(path, raw)
    return raw
