"""Opens image files safely: regular files only, size limit before decoding, EXIF orientation.

All images of all commands are opened here; `core.images` and `core.mask_files` decode them.
"""

from __future__ import annotations

import io
import os
import struct
import warnings
import zlib
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, UnidentifiedImageError

from deocc_bench.core.errors import InputError
from deocc_bench.core.reading import REPLACE, read_file

if TYPE_CHECKING:
    from collections.abc import Iterator

# Other formats of Pillow are not accepted: some start external programs.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
LIMIT_VARIABLE = "DEOCC_MAX_PIXELS"
DEFAULT_LIMIT = 2**27  # pixels; more than any current camera takes

_ORIENTATION = 0x0112  # EXIF tag
_UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: a[::-1].swapaxes(0, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: a[:, ::-1].swapaxes(0, 1),
}
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_MODES = {(1, 0): "1", (8, 0): "L", (16, 0): "I;16", (8, 2): "RGB", (8, 3): "P", (8, 4): "LA", (8, 6): "RGBA"}

# Sizes are compared with our own limit, before anything is decoded. Pillow's remarks on odd metadata name no file.
warnings.filterwarnings("ignore", module=r"PIL\.")


@dataclass(frozen=True)
class Header:
    """Facts about an image file that are known before it is decoded.

    Args:
        stored: (height, width) as stored, before the EXIF orientation is applied.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        format: e.g. "PNG".
        mode: mode of Pillow, e.g. "RGB", "P", "I;16".
        turned: whether the file has the tag of another orientation than upright. `orientation` is 1 for TIFF files
            nevertheless, because their decoders apply the tag.
    """

    stored: tuple[int, int]
    orientation: int
    format: str
    mode: str
    turned: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the upright image."""
        return self.stored[::-1] if self.orientation >= 5 else self.stored


@dataclass(frozen=True)
class ImageFile:
    """The bytes of an image file with its checked header."""

    path: str | Path
    raw: bytes
    header: Header

    @contextmanager
    def opened(self) -> Iterator[Image.Image]:
        """Open the file with Pillow; errors of the decoder inside the block become InputError."""
        try:
            with _pillow(self.raw) as im:
                yield im
        except InputError:
            raise
        except (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError) as error:
            raise undecodable(self.path, error) from error

    def upright(self, array: np.ndarray) -> np.ndarray:
        """Apply the EXIF orientation to the decoded pixels (H x W or H x W x C), which are in stored order."""
        turn = _UPRIGHT.get(self.header.orientation)
        return array if turn is None else np.ascontiguousarray(turn(array))


def max_pixels() -> int:
    """The largest number of pixels of an image or mask: the environment variable `DEOCC_MAX_PIXELS`, or 2**27.

    Raises:
        InputError: the variable is not a positive whole number.
    """
    text = os.environ.get(LIMIT_VARIABLE, "")
    if not text:
        return DEFAULT_LIMIT
    if not text.isdecimal() or len(text) > 18 or int(text) == 0:
        raise InputError(LIMIT_VARIABLE, f"must be a positive whole number, got {text!r}", "correct or unset it")
    return int(text)


def check_size(where: str | Path, height: int, width: int) -> None:
    """Check a claimed size before memory is allocated for it.

    Raises:
        InputError: a side is below 1, or the image has more pixels than `max_pixels`.
    """
    if height < 1 or width < 1:
        raise InputError(where, f"has an impossible size, {width} x {height}", REPLACE)
    limit = max_pixels()
    if height * width > limit:
        problem = f"claims {width} x {height} pixels, more than the limit of {limit:,}"
        raise InputError(where, problem, f"use a smaller image, or raise the limit with {LIMIT_VARIABLE}")


def open_image(path: str | Path) -> ImageFile:
    """Read an image file and check its header; no pixel is decoded.

    Raises:
        InputError: not a complete image in one of `FORMATS`, or too large.
    """
    raw = read_file(path)
    header = _png_header(path, raw) if raw.startswith(_PNG) else _header(path, raw)
    check_size(path, *header.stored)
    # Cameras append data after the end marker, so we search the tail; a thumbnail's marker is in the head.
    if header.format in ("JPEG", "MPO") and b"\xff\xd9" not in raw[-4096:]:
        raise truncated(path, raw)
    return ImageFile(path, raw, header)


def image_size(path: str | Path) -> tuple[int, int]:
    """(height, width) of the upright image, from the header.

    Raises:
        InputError: as for `open_image`.
    """
    return open_image(path).header.size


def truncated(path: str | Path, raw: bytes) -> InputError:
    """The error for a file that ends too early: decoders would fill the missing part with grey."""
    return InputError(path, f"truncated: it ends after {len(raw)} bytes without its end marker", REPLACE)


def undecodable(path: str | Path, error: object = "") -> InputError:
    """The error for a file that is not an image."""
    told = f" ({error})" if str(error) and "BytesIO" not in str(error) else ""
    return InputError(path, f"not an image that can be decoded{told}", REPLACE)


def _pillow(raw: bytes) -> Image.Image:
    if Image.MAX_IMAGE_PIXELS is not None and max_pixels() > Image.MAX_IMAGE_PIXELS:
        # The user raised our limit; Pillow's own must not be lower.
        Image.MAX_IMAGE_PIXELS = max_pixels()
    return Image.open(io.BytesIO(raw), formats=FORMATS)


def _header(path: str | Path, raw: bytes) -> Header:
    try:
        with _pillow(raw) as im:
            width, height = im.size
            orientation = im.getexif().get(_ORIENTATION, 1)
            kind, mode = str(im.format), im.mode
    except UnidentifiedImageError:
        raise undecodable(path) from None
    except Image.DecompressionBombError as error:
        cure = f"use a smaller image, or raise the limit with {LIMIT_VARIABLE}"
        raise InputError(path, f"claims too many pixels ({error})", cure) from error
    except (OSError, SyntaxError, ValueError, KeyError, TypeError, struct.error) as error:
        raise undecodable(path, error) from error
    turned = orientation in _UPRIGHT
    # Pillow and OpenCV turn TIFF files themselves.
    if kind == "TIFF" or not turned:
        orientation = 1
    return Header((height, width), orientation, kind, mode, turned)


def _png_header(path: str | Path, raw: bytes) -> Header:
    """Read the header of a PNG by its chunks, which is much faster than Pillow, and verify their checksums."""
    view, place, turned, size, mode = memoryview(raw), 8, False, (0, 0), ""
    while place + 8 <= len(raw):
        length, kind = struct.unpack_from(">I4s", raw, place)
        # libpng would decode a damaged file half, or print its own error.
        if place + 12 + length <= len(raw):
            (checksum,) = struct.unpack_from(">I", raw, place + 8 + length)
            if zlib.crc32(view[place + 4 : place + 8 + length]) != checksum:
                raise InputError(path, "damaged: a checksum in it is wrong", REPLACE)
        if kind == b"IHDR" and length == 13 and place + 21 <= len(raw):
            width, height, depth, colour = struct.unpack_from(">IIBB", raw, place + 8)
            # Pillow's modes of less common depths: 2 and 4 bits of grey or palette become 8.
            mode = _PNG_MODES.get((depth, colour)) or _PNG_MODES.get((8, colour), "")
            size = (height, width)
        elif kind in (b"eXIf", b"zTXt", b"tEXt", b"iTXt"):
            turned = True
        elif kind == b"IEND":
            break
        place += 12 + length
    else:
        raise truncated(path, raw)
    if not mode:
        raise undecodable(path)
    if turned:
        check_size(path, *size)
        return _header(path, raw)
    return Header(size, 1, "PNG", mode)
