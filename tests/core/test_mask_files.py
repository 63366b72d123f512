"""One rule for masks: what a viewer shows white is the person."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deocc_bench.core.errors import InputError
from deocc_bench.core.mask_files import check_fits, of_levels, read_mask, read_mask_file
from deocc_bench.core.pixels import Header, open_image

Y, X = np.mgrid[:40, :30]
PERSON = ((X - 12) / 7) ** 2 + ((Y - 22) / 15) ** 2 < 1
GREY = PERSON.astype(np.uint8) * 255


def palette(indices: np.ndarray, *colours: tuple[int, int, int]) -> Image.Image:
    im = Image.fromarray(indices.astype(np.uint8), "L")
    flat = [v for colour in colours for v in colour]
    im.putpalette(flat + [0] * (768 - len(flat)))
    return im


def soft(floor: int = 0) -> np.ndarray:
    """Levels that say PERSON at half: a rim of 160 inside, 100 outside."""
    wide = np.roll(PERSON, 2, 1) | np.roll(PERSON, -2, 1) | PERSON
    levels = np.where(PERSON, 255, np.where(wide, 100, floor)).astype(np.uint8)
    levels[PERSON & ~np.roll(PERSON, 1, 0)] = 160
    return levels


def cutout(colour: object) -> Image.Image:
    rgb = np.broadcast_to(np.asarray(colour, np.uint8), (40, 30, 3))
    return Image.fromarray(np.dstack([rgb, GREY]))


PHOTO = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
STYLES: dict[str, tuple[Image.Image, bool]] = {
    "0 and 255": (Image.fromarray(GREY), False),
    "0 and 1": (Image.fromarray(PERSON.astype(np.uint8)), False),
    "0 and a label": (Image.fromarray(PERSON.astype(np.uint8) * 7), False),
    "one bit": (Image.fromarray(GREY).convert("1"), False),
    "16 bits": (Image.fromarray(PERSON.astype(np.uint16) * 65535), False),
    "16 bits, 0 and 1": (Image.fromarray(PERSON.astype(np.uint16)), False),
    "RGB": (Image.fromarray(GREY).convert("RGB"), False),
    "palette, index 0 is white": (palette(~PERSON, (255, 255, 255), (0, 0, 0)), False),
    "palette, index 0 is black": (palette(PERSON, (0, 0, 0), (255, 255, 255)), False),
    "palette of VOC": (palette(PERSON, (0, 0, 0), (128, 0, 0)), False),
    "palette, quantised": (Image.fromarray(GREY).convert("RGB").quantize(2), False),
    "palette of grey levels": (palette(soft(), *((v, v, v) for v in range(256))), True),
    "soft": (Image.fromarray(soft()), True),
    "soft, with noise": (Image.fromarray(soft(floor=3)), True),
    "soft, 16 bits": (Image.fromarray(soft().astype(np.uint16) * 257), True),
    "cut-out, white": (cutout(255), False),
    "cut-out, black": (cutout(0), False),
    "cut-out of a photo": (cutout(PHOTO), False),
    "grey and alpha": (Image.merge("LA", [Image.new("L", (30, 40), 255), Image.fromarray(GREY)]), False),
    "opaque alpha": (Image.fromarray(np.dstack([GREY] * 3 + [np.full_like(GREY, 255)])), False),
}


@pytest.mark.parametrize("name", STYLES)
def test_the_person_is_what_is_white(tmp_path: Path, name: str) -> None:
    im, is_soft = STYLES[name]
    im.save(tmp_path / "mask.png")
    read = read_mask_file(tmp_path / "mask.png")
    assert np.array_equal(read.mask, PERSON)
    assert read.soft is is_soft


def test_a_jpeg_mask_is_soft(tmp_path: Path) -> None:
    Image.fromarray(GREY).save(tmp_path / "mask.jpg", quality=95)
    read = read_mask_file(tmp_path / "mask.jpg")
    assert read.soft
    assert np.count_nonzero(read.mask != PERSON) <= 4


def labels() -> np.ndarray:
    return PERSON.astype(np.uint8) + (PERSON & (Y < 20))


@pytest.mark.parametrize(
    ("picture", "says"),
    [
        (lambda: Image.fromarray(labels()), "several labels"),
        (lambda: Image.fromarray(np.where(X < 4, np.uint8(255), labels())), "several labels"),
        (lambda: Image.fromarray(np.where(PERSON, 90, 10).astype(np.uint8)), "several labels, or a dark mask"),
        (lambda: palette(labels(), (0, 0, 0), (128, 0, 0), (0, 128, 0)), "colour picture with 3 colours"),
        (lambda: palette(PERSON, (255, 255, 255), (128, 0, 0)), "colour picture with 2 colours"),
        (lambda: Image.fromarray(PHOTO), "colour picture"),
        (lambda: Image.fromarray(np.dstack([GREY] * 3 + [np.where(Y < 20, np.uint8(255), 0)])), "another in its alpha"),
        (lambda: Image.new("RGBA", (30, 40), (255, 255, 255, 0)), "transparent everywhere"),
    ],
)
def test_what_is_ambiguous_is_refused(tmp_path: Path, picture: Callable[[], Image.Image], says: str) -> None:
    picture().save(tmp_path / "mask.png")
    with pytest.raises(InputError, match=says) as caught:
        read_mask(tmp_path / "mask.png")
    assert str(tmp_path / "mask.png") in str(caught.value)


def test_empty_and_full_masks(tmp_path: Path) -> None:
    for level, mask in ((0, False), (255, True), (1, True)):
        Image.new("L", (5, 4), level).save(tmp_path / "mask.png")
        assert np.array_equal(read_mask(tmp_path / "mask.png"), np.full((4, 5), mask))


def test_arrays_follow_the_same_rule() -> None:
    assert of_levels(PERSON, "mask")[0] is PERSON
    assert np.array_equal(of_levels(soft(), "mask")[0], PERSON)
    for wrong in (GREY.astype(float), GREY[..., None], GREY.astype(np.int64)):
        with pytest.raises(InputError, match="mask: is "):
            of_levels(wrong, "mask")


def test_a_mask_drawn_before_the_photo_was_turned_is_named(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(PHOTO).save(tmp_path / "photo.jpg", exif=exif)
    header = open_image(tmp_path / "photo.jpg").header
    check_fits(PERSON.T, header, "m.png", "photo.jpg")
    with pytest.raises(InputError, match=r"m.png: is 30 x 40, but its photo photo.jpg is 40 x 30: .*EXIF orientation"):
        check_fits(PERSON, header, "m.png", "photo.jpg")
    with pytest.raises(InputError, match="make both the same size"):
        check_fits(PERSON[1:], Header((40, 30), 1, "PNG", "L"), "m.png", "photo.png")
