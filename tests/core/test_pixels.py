"""Image files are opened safely: regular files, bounded sizes, upright."""

from __future__ import annotations

import io
import os
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from deocc_bench.core import images, mask_files, pixels
from deocc_bench.core.errors import InputError
from deocc_bench.core.pixels import image_size, max_pixels, open_image

ANGLE = np.zeros((20, 30, 3), np.uint8)
ANGLE[2:18, 3:8] = (200, 40, 40)
ANGLE[14:18, 3:25] = (200, 40, 40)


def encoded(array: np.ndarray, form: str, orientation: int = 1, **save: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    more = {"quality": 100, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    Image.fromarray(array).save(buffer, form, exif=exif.tobytes(), **more, **save)
    return buffer.getvalue()


def png(width: int, height: int, rows: int = 1) -> bytes:
    """A PNG that claims a size; it holds `rows` grey rows of zeros."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(bytes(width + 1) * rows if rows * width < 10**7 else b"\0")),
        (b"IEND", b""),
    )
    body = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright_as_viewers_show_them(tmp_path: Path, form: str, orientation: int) -> None:
    path = tmp_path / f"photo.{form.lower()}"
    path.write_bytes(encoded(ANGLE, form, orientation))
    with Image.open(path) as im:
        shown = np.asarray(ImageOps.exif_transpose(im).convert("RGB")).astype(int)
    read = images.read_rgb(path)
    assert read.shape == shown.shape == (*image_size(path), 3)
    assert np.abs(read - shown).max() <= (6 if form == "JPEG" else 0)


def test_the_header_keeps_the_stored_size(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded(ANGLE, "JPEG", 6))
    header = open_image(tmp_path / "a.jpg").header
    assert (header.size, header.stored, header.orientation, header.format) == ((30, 20), (20, 30), 6, "JPEG")


@pytest.mark.parametrize(
    ("mode", "array"),
    [
        ("1", ANGLE[..., 0] > 99),
        ("L", ANGLE[..., 0]),
        ("I;16", ANGLE[..., 0].astype(np.uint16) * 257),
        ("RGB", ANGLE),
        ("RGBA", np.dstack([ANGLE, ANGLE[..., 0]])),
    ],
)
def test_the_fast_header_of_a_png_agrees_with_pillow(tmp_path: Path, mode: str, array: np.ndarray) -> None:
    Image.fromarray(array).save(tmp_path / "a.png")
    header = open_image(tmp_path / "a.png").header
    assert (header.mode, header.size, header.orientation) == (mode, (20, 30), 1)


def test_a_claimed_size_is_refused_before_memory_is_allocated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    for width, height in ((60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 0)):
        path.write_bytes(png(width, height))
        with pytest.raises(InputError, match=r"claims|impossible size"):
            images.read_rgb(path)
    path.write_bytes(png(40, 30, rows=30))
    assert images.read_rgb(path).shape == (30, 40, 3)
    monkeypatch.setenv("DEOCC_MAX_PIXELS", "1199")
    with pytest.raises(InputError, match=r"claims 40 x 30 pixels, more than the limit of 1,199; .*DEOCC_MAX_PIXELS"):
        images.read_rgb(path)
    monkeypatch.setenv("DEOCC_MAX_PIXELS", "1200")
    assert images.read_rgb(path).shape == (30, 40, 3)


@pytest.mark.parametrize("text", ["0", "-5", "many", "1e9", "9" * 30])
def test_the_limit_must_be_a_number(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("DEOCC_MAX_PIXELS", text)
    with pytest.raises(InputError, match="positive whole number"):
        max_pixels()


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "text.png").write_text("root:x:0:0")
    says = {
        "fifo": "not a regular file",
        "folder": "not a regular file",
        "zero": "not a regular file",
        "loop": "can't be read",
        "empty": "the file is empty",
        "text": "not an image",
        "missing": "no such file",
    }
    for name, message in says.items():
        for read in (images.read_rgb, images.read_indices, mask_files.read_mask, images.check_complete):
            with pytest.raises(InputError, match=message):
                read(tmp_path / f"{name}.png")


def test_other_formats_are_not_decoded(tmp_path: Path) -> None:
    for form in ("GIF", "PPM", "ICO", "TGA"):
        Image.fromarray(ANGLE).save(tmp_path / "a.png", form)
        with pytest.raises(InputError, match="not an image that can be decoded"):
            images.read_rgb(tmp_path / "a.png")


def test_a_damaged_png_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    raw = bytearray(encoded(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8), "PNG"))
    raw[4000] ^= 255
    (tmp_path / "a.png").write_bytes(bytes(raw))
    with pytest.raises(InputError, match="damaged: a checksum in it is wrong"):
        images.read_rgb(tmp_path / "a.png")
    assert capfd.readouterr().err == ""


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["PNG", "JPEG", "WEBP", "TIFF", "BMP"]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=4),
    st.floats(0, 1),
)
def test_a_mutated_image_is_read_or_refused(
    tmp_path: Path, form: str, changes: list[tuple[int, int]], kept: float
) -> None:
    raw = bytearray(encoded(ANGLE, form) if form != "BMP" else encoded(ANGLE, "BMP"))
    for place, value in changes:
        raw[place % len(raw)] = value
    path = tmp_path / "a.img"
    path.write_bytes(bytes(raw[: max(1, round(len(raw) * kept))] if kept < 0.3 else raw))
    for read in (images.read_rgb, images.read_rgba, images.read_indices, mask_files.read_mask):
        with suppress(InputError):  # any other exception fails
            array = read(path)
            assert array.shape[:2] == image_size(path)
            assert array.shape[0] * array.shape[1] <= pixels.DEFAULT_LIMIT
