from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deocc_bench.core import images, mask_files
from deocc_bench.core.errors import InputError
from deocc_bench.core.labels import LIP

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_png_round_trips(tmp_path: Path) -> None:
    images.write_png(tmp_path / "a.png", PHOTO)
    assert np.array_equal(images.read_rgb(tmp_path / "a.png"), PHOTO)
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png")), PHOTO)
    rgba = np.dstack([PHOTO, PHOTO[..., 0]])
    images.write_png(tmp_path / "b.png", rgba)
    assert np.array_equal(images.read_rgba(tmp_path / "b.png"), rgba)
    images.write_png(tmp_path / "c.png", PHOTO[..., 0] > 99)
    assert np.array_equal(mask_files.read_mask(tmp_path / "c.png"), PHOTO[..., 0] > 99)


def test_palette_is_read_as_indices(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 2, 3]], np.uint8)
    images.write_png(tmp_path / "p.png", labels, LIP.palette())
    assert Image.open(tmp_path / "p.png").mode == "P"
    # What a reader that takes colours for grey would see instead: not the ids.
    assert np.asarray(Image.open(tmp_path / "p.png").convert("L")).tolist() != labels.tolist()
    assert images.read_indices(tmp_path / "p.png").tolist() == labels.tolist()


def test_colour_label_is_refused(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "c.png")
    with pytest.raises(InputError, match="mode is RGB"):
        images.read_indices(tmp_path / "c.png")
    with pytest.raises(InputError, match="no alpha"):
        images.read_rgba(tmp_path / "c.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_truncated_files_are_refused(tmp_path: Path, suffix: str, kept: float) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(np.tile(PHOTO, (8, 8, 1))).save(path)
    raw = path.read_bytes()
    images.check_complete(path)
    path.write_bytes(raw[: int(len(raw) * kept)])
    for read in (images.check_complete, images.read_rgb):
        with pytest.raises(InputError, match=r"x\..*truncated"):
            read(path)


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "no such file"), (b"", "is empty"), (b"hello, I am text", "not an image")]
)
def test_what_is_no_image(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=problem):
        images.read_rgb(path)


def test_size_is_read_from_the_header(tmp_path: Path) -> None:
    Image.fromarray(PHOTO).save(tmp_path / "x.jpg")
    assert images.image_size(tmp_path / "x.jpg") == (20, 30)
    with pytest.raises(InputError, match="no such file"):
        images.image_size(tmp_path / "y.jpg")


def test_photos_are_read_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(tmp_path / "x.jpg", exif=exif)
    assert images.read_rgb(tmp_path / "x.jpg").shape == (30, 20, 3)
