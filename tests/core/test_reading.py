"""What was read, by content: changes between two reads are noticed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from deocc_bench.core import images
from deocc_bench.core.errors import InputError
from deocc_bench.core.reading import file_digest, first_difference, note_read, recorded


def test_each_picture_that_is_read_is_recorded(tmp_path: Path) -> None:
    for name in ("photo", "label", "other"):
        images.write_png(tmp_path / f"{name}.png", np.full((8, 8), 3, np.uint8))
    with recorded() as files:
        images.read_rgb(tmp_path / "photo.png")
        images.read_indices(tmp_path / "label.png")
        images.check_complete(tmp_path / "photo.png")
    images.read_rgb(tmp_path / "other.png")
    value = hashlib.sha256((tmp_path / "photo.png").read_bytes()).hexdigest()
    assert files == {str(tmp_path / "photo.png"): value, str(tmp_path / "label.png"): value}
    assert file_digest(tmp_path / "photo.png") == value
    assert file_digest(tmp_path / "missing.png") == ""


def test_a_file_that_changes_is_named() -> None:
    with recorded() as files:
        note_read("a.png", b"one")
        note_read("a.png", b"one")
        with pytest.raises(InputError, match=r"a\.png: was changed after this run had read it"):
            note_read("a.png", b"two")
    with recorded(files), pytest.raises(InputError, match=r"a\.png: was changed"):
        note_read("a.png", b"two")
    note_read("a.png", b"two")


@pytest.mark.parametrize(
    ("new", "found"),
    [
        ({"a": "1", "b": "2"}, None),
        ({"a": "1", "b": "3"}, ("b", "was changed")),
        ({"a": "1"}, ("b", "is gone")),
        ({"a": "1", "aa": "1", "b": "3"}, ("aa", "is new")),
    ],
)
def test_the_first_difference(new: dict[str, str], found: tuple[str, str] | None) -> None:
    assert first_difference({"a": "1", "b": "2"}, new) == found
