from __future__ import annotations

import numpy as np
import pytest

from deocc_bench.core.errors import DeoccError, InputError
from deocc_bench.core.labels import ATR, BODY_PARTS, CCP, CIHP, LIP, PASCAL_PERSON_PART, SPACES, convert, part_mask


def ids(*values: int) -> np.ndarray:
    return np.array([values], np.uint8)


def test_spaces_have_the_documented_sizes_and_anchors() -> None:
    assert {name: space.size for name, space in SPACES.items()} == {
        "lip": 20,
        "cihp": 20,
        "atr": 18,
        "pascal-person-part": 7,
        "ccp": 59,
    }
    assert (LIP.index("jumpsuits"), CIHP.index("torso-skin"), ATR.index("bag")) == (10, 10, 16)
    assert (CCP.names[41], CCP.names[58], CCP.names[2]) == ("skin", "wedges", "bag")
    assert PASCAL_PERSON_PART.names[6] == "lower-legs"


def test_lip_palette_has_its_usual_colours() -> None:
    palette = np.frombuffer(LIP.palette(), np.uint8).reshape(256, 3)
    assert palette[13].tolist() == [0, 0, 255]
    assert palette[19].tolist() == [255, 170, 0]
    # VOC's rule: bits of the id are spread over the channels.
    assert np.frombuffer(ATR.palette(), np.uint8).reshape(256, 3)[3].tolist() == [128, 128, 0]


def test_atr_to_lip() -> None:
    result = convert(ids(*range(18), 255), ATR)
    names = [LIP.names[i] for i in result.labels[0, :18]]
    assert names == [
        *("background", "hat", "hair", "sunglasses", "upper-clothes", "skirt", "pants", "dress", "upper-clothes"),
        *("left-shoe", "right-shoe", "face", "left-leg", "right-leg", "left-arm", "right-arm", "background", "scarf"),
    ]
    assert result.labels[0, 18] == 255
    assert len(result.lost) == 2
    assert convert(ids(1, 2), ATR).lost == ()


def test_cihp_ten_is_not_jumpsuits() -> None:
    result = convert(ids(10, 5, 13), CIHP)
    assert result.labels.tolist() == [[5, 5, 13]]
    assert "torso-skin" in result.lost[0]


def test_pascal_says_what_it_loses() -> None:
    result = convert(ids(0, 1, 2, 3, 4, 5, 6), PASCAL_PERSON_PART)
    assert result.labels.tolist() == [[0, 13, 5, 14, 14, 16, 16]]
    assert len(result.lost) == 6


def test_lip_stays() -> None:
    assert convert(ids(0, 19, 255), LIP).labels.tolist() == [[0, 19, 255]]


@pytest.mark.parametrize(("space", "bad"), [(LIP, 20), (ATR, 18), (CCP, 59), (CCP, 255), (PASCAL_PERSON_PART, 7)])
def test_ids_beyond_the_space_are_refused(space: object, bad: int) -> None:
    with pytest.raises(InputError, match=f"x.png: label id {bad} is out of range"):
        space.check(ids(0, bad), "x.png")  # type: ignore[attr-defined]


def test_there_is_no_silent_table() -> None:
    with pytest.raises(DeoccError, match="no table from CCP"):
        convert(ids(0), CCP)


def test_flip_table_is_an_involution_on_sides() -> None:
    table = LIP.flip_table()
    assert np.array_equal(table[table], np.arange(256))
    assert table[[14, 16, 18, 5]].tolist() == [15, 17, 19, 5]


def test_part_mask() -> None:
    parsing = ids(0, 14, 15, 3, 16)
    assert part_mask(parsing, ("left-arm",)).tolist() == [[False, True, False, False, False]]
    assert part_mask(parsing, ("arms", "left-leg")).tolist() == [[False, True, True, True, True]]
    with pytest.raises(DeoccError, match="unknown body part"):
        part_mask(parsing, ("wing",))
    assert all(0 < i < 20 for some in BODY_PARTS.values() for i in some)
