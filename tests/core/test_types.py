from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deocc_bench.core.errors import InvariantError
from deocc_bench.core.types import Batch, Human, Occluder, PlacedOccluder, Sample


def parts(**changes: Any) -> dict[str, Any]:
    amodal = np.zeros((8, 8), bool)
    amodal[2:6, 2:6] = True
    modal = amodal.copy()
    modal[4:, :] = False
    image = np.zeros((8, 8, 3), np.uint8)
    values = {
        "id": "s",
        "split": "test",
        "group_id": "g",
        "human_id": "h",
        "variant": 0,
        "image": image,
        "complete": image,
        "amodal": amodal,
        "modal": modal,
        "initial": modal,
        "parsing": amodal.astype(np.uint8) * 5,
        "occluders": (),
    }
    return values | changes


def test_derived_fields() -> None:
    sample = Sample(**parts())
    assert sample.occlusion_ratio == 0.5
    assert sample.invisible.sum() == 8
    assert not (sample.invisible & sample.modal).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"modal": np.ones((8, 8), bool)}, "beyond the amodal"),
        ({"amodal": np.zeros((8, 8), bool), "modal": np.zeros((8, 8), bool)}, "empty"),
        ({"modal": np.zeros((8, 7), bool)}, r"bool H x W of \(8, 8\)"),
        ({"modal": np.zeros((8, 8), np.uint8)}, "must be bool"),
        ({"image": np.zeros((8, 8), np.uint8)}, "H x W x 3"),
        ({"image": np.zeros((8, 8, 3), np.float32)}, "uint8"),
        ({"complete": np.zeros((9, 8, 3), np.uint8)}, "complete"),
        ({"parsing": np.full((8, 8), 5, np.uint8)}, "parsing extends"),
        ({"initial": None, "parsing": None, "complete": None}, None),
        ({"occluders": (PlacedOccluder("o", "cup", 1, np.zeros((4, 4), bool), ""),)}, "occluder o"),
    ],
)
def test_sample_invariants(change: dict[str, Any], message: str | None) -> None:
    if message is None:
        assert Sample(**parts(**change)).complete is None
        return
    with pytest.raises(InvariantError, match=message):
        Sample(**parts(**change))


def test_human_invariants() -> None:
    image, mask = np.zeros((4, 4, 3), np.uint8), np.eye(4, dtype=bool)
    Human("h", "g", image, mask, mask.astype(np.uint8), "CC0", "test")
    Human("h", "g", image, mask, None, "CC0", "test")
    with pytest.raises(InvariantError, match="foreground"):
        Human("h", "g", image, mask, np.ones((4, 4), np.uint8), "CC0", "test")
    with pytest.raises(InvariantError, match="empty"):
        Human("h", "g", image, ~np.ones((4, 4), bool), None, "CC0", "test")


def test_occluder_invariants() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    Occluder("o", "g", image, np.ones((4, 4), np.float32), "cup", "", "test")
    with pytest.raises(InvariantError, match=r"\[0, 1\]"):
        Occluder("o", "g", image, np.full((4, 4), 1.5, np.float32), "cup", "", "test")
    with pytest.raises(InvariantError, match=r"\[0, 1\]"):
        Occluder("o", "g", image, np.full((4, 4), np.nan, np.float32), "cup", "", "test")
    with pytest.raises(InvariantError, match="hides nothing"):
        Occluder("o", "g", image, np.full((4, 4), 0.3, np.float32), "cup", "", "test")


def test_batch_invariants() -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    assert len(Batch(("a", "b"), images, initial=np.zeros((2, 4, 4), bool))) == 2
    with pytest.raises(InvariantError, match="images"):
        Batch(("a",), images)
    with pytest.raises(InvariantError, match="initial"):
        Batch(("a", "b"), images, initial=np.zeros((2, 4, 5), bool))
    with pytest.raises(InvariantError, match="parsing"):
        Batch(("a", "b"), images, parsing=np.zeros((2, 4, 4), bool))
