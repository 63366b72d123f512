"""CCP's labels to LIP: the geometry on a drawn person, and the real photos where they are at hand."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from deocc_bench.core.labels import CCP, LIP
from deocc_bench.synth.humans import HumanFilter, HumanInfo, open_humans
from deocc_bench.synth.humans.base import HumanSource
from deocc_bench.synth.humans.ccp_split import lookup_table, pants_beyond_shoes, to_lip

TABLE = lookup_table(CCP.names)
DATA = Path(os.environ.get("DEOCC_TEST_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")) / "ccp"
real = pytest.mark.skipif(not DATA.is_dir(), reason="no CCP photos: set DEOCC_TEST_DATA")


def person(face: bool = True) -> np.ndarray:
    """A person of 400 rows from row 20, frontal, symmetric about column 100: CCP ids."""
    ccp = {name: CCP.index(name) for name in CCP.names}
    labels = np.zeros((440, 200), np.uint8)

    def block(name: str, y0: int, y1: int, x0: int, x1: int) -> None:
        labels[20 + y0 : 20 + y1, x0:x1] = ccp[name]

    block("hair", 0, 20 if face else 60, 85, 115)
    if face:
        block("skin", 20, 60, 88, 112)
    block("t-shirt", 60, 200, 70, 130)
    block("skin", 90, 210, 50, 70)
    block("skin", 90, 210, 130, 150)
    block("belt", 200, 205, 75, 125)
    block("skirt", 205, 280, 72, 128)
    block("skin", 280, 370, 75, 95)
    block("skin", 280, 370, 105, 125)
    block("shoes", 370, 400, 70, 95)
    block("shoes", 370, 400, 105, 130)
    return labels


def at(parsing: np.ndarray, y: int, x: int) -> str:
    return LIP.names[parsing[20 + y, x]]


def test_every_name_has_a_place() -> None:
    kept = {n for n in CCP.names if TABLE[CCP.index(n)]}
    assert set(CCP.names) - kept == {"null", "bag", "purse", "wallet"}
    with pytest.raises(KeyError):
        lookup_table(["null", "umbrella"])


def test_parts_and_sides_from_the_front() -> None:
    labels = person()
    parsing = to_lip(labels, TABLE)
    np.testing.assert_array_equal(parsing > 0, labels > 0)
    assert at(parsing, 5, 100) == "hair"
    assert at(parsing, 40, 100) == "face"
    # The viewer's left is the person's right.
    assert (at(parsing, 150, 60), at(parsing, 150, 140)) == ("right-arm", "left-arm")
    assert (at(parsing, 300, 85), at(parsing, 300, 115)) == ("right-leg", "left-leg")
    assert (at(parsing, 390, 80), at(parsing, 390, 120)) == ("right-shoe", "left-shoe")
    assert at(parsing, 202, 100) in ("upper-clothes", "skirt")


def test_sides_change_when_seen_from_behind() -> None:
    parsing = to_lip(person(face=False), TABLE)
    assert (at(parsing, 150, 60), at(parsing, 150, 140)) == ("left-arm", "right-arm")
    assert (at(parsing, 390, 80), at(parsing, 390, 120)) == ("left-shoe", "right-shoe")


def test_mirroring_swaps_the_sides() -> None:
    labels = person()
    labels[20 + 90 : 20 + 140, 150:160] = CCP.index("skin")
    flipped = to_lip(np.ascontiguousarray(labels[:, ::-1]), TABLE)
    np.testing.assert_array_equal(LIP.flip_table()[to_lip(labels, TABLE)[:, ::-1]], flipped)


def test_memory_order_does_not_matter() -> None:
    labels = person()
    np.testing.assert_array_equal(to_lip(np.asfortranarray(labels), TABLE), to_lip(labels, TABLE))


def test_bags_are_background_and_small_items_join_their_surroundings() -> None:
    labels = person()
    labels[20 + 210 : 20 + 240, 40:72] = CCP.index("bag")
    labels[20 + 150 : 20 + 155, 52:68] = CCP.index("watch")
    labels[2:6, 2:6] = CCP.index("ring")
    parsing = to_lip(labels, TABLE)
    assert at(parsing, 225, 60) == "background"
    assert at(parsing, 152, 60) == "right-arm"
    # Far from everything it is still the person, as `peek` counts it.
    np.testing.assert_array_equal(parsing > 0, TABLE[labels] > 0)


def test_one_blob_of_shoes_is_cut_at_its_dip() -> None:
    labels = person()
    labels[20 + 395 : 20 + 400, 95:105] = CCP.index("shoes")
    parsing = to_lip(labels, TABLE)
    assert (at(parsing, 397, 90), at(parsing, 397, 110)) == ("right-shoe", "left-shoe")


def test_hand_at_the_face_is_an_arm() -> None:
    labels = person()
    # A raised arm that touches the cheek and hangs together with the face.
    labels[20 + 30 : 20 + 60, 112:160] = CCP.index("skin")
    parsing = to_lip(labels, TABLE)
    assert at(parsing, 40, 100) == "face"
    assert at(parsing, 55, 155) == "left-arm"


def test_hand_in_the_hair_is_an_arm() -> None:
    labels = person()
    labels[20 + 8 : 20 + 50, 130:160] = CCP.index("skin")
    labels[20 + 5 : 20 + 15, 115:131] = CCP.index("hair")
    parsing = to_lip(labels, TABLE)
    assert at(parsing, 40, 100) == "face"
    assert at(parsing, 30, 158) == "left-arm"


def test_nobody_and_only_small_items() -> None:
    assert not to_lip(np.zeros((10, 10), np.uint8), TABLE).any()
    lone = np.zeros((10, 10), np.uint8)
    lone[4:6, 4:6] = CCP.index("belt")
    np.testing.assert_array_equal(to_lip(lone, TABLE) > 0, lone > 0)


def test_a_shadow_as_pants_reaches_beyond_the_shoes() -> None:
    labels = person()
    plain = TABLE[labels[20:420]]
    assert pants_beyond_shoes(plain) == 0
    labels[20 + 340 : 20 + 360, 130:] = CCP.index("pants")
    assert pants_beyond_shoes(TABLE[labels[20:420]]) == pytest.approx(70 / 400, abs=0.01)


@pytest.fixture(scope="module")
def source() -> HumanSource:
    return open_humans(f"ccp:{DATA}")


@pytest.fixture(scope="module")
def infos(source: HumanSource) -> dict[str, HumanInfo]:
    return {i: source.peek(i) for i in source.ids()}


def listed(name: str) -> set[str]:
    return {f"ccp-{s}" for s in (DATA / name).read_text().split()}


@real
def test_default_filter_finds_the_whole_persons_without_a_bag(infos: dict[str, HumanInfo]) -> None:
    keep = HumanFilter()
    assert {i for i, info in infos.items() if keep.reject_reason(info) is None} == listed("clean.txt")
    reasons = Counter((keep.reject_reason(x) or "accepted").partition(":")[0] for x in infos.values())
    assert reasons == {
        "accepted": 211,
        "carries a bag": 415,
        "cut by the frame": 4,
        "suspicious label": 1,
        "empty label": 1,
    }
    bags = {i for i, x in infos.items() if x.carries_bag}
    assert bags == listed("bag.txt") | {"ccp-0161"}


@real
def test_known_defects(infos: dict[str, HumanInfo]) -> None:
    assert HumanFilter().reject_reason(infos["ccp-0536"]) == "empty label"
    shadow = infos["ccp-0161"]
    assert shadow.touches_frame
    reason = HumanFilter(allow_bags=True).reject_reason(shadow) or ""
    assert reason.startswith("suspicious label: pants reach")
    assert reason.endswith("cut by the frame")


def some(source: HumanSource, step: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    for human_id in sorted(listed("clean.txt"))[::step]:
        human = source.load(human_id)
        assert human.parsing is not None
        yield human_id, human.parsing, human.image


@real
def test_converted_photos(source: HumanSource, infos: dict[str, HumanInfo]) -> None:
    seen: Counter[str] = Counter()
    apart = total = 0
    for human_id, parsing, image in some(source, 7):
        info = infos[human_id]
        assert (info.size, info.area) == (image.shape[:2], np.count_nonzero(parsing))
        seen.update(LIP.names[i] for i in np.unique(parsing))
        for right, left in (("right-shoe", "left-shoe"), ("right-leg", "left-leg"), ("right-arm", "left-arm")):
            r, c = (cv2.moments((parsing == LIP.index(n)).astype(np.uint8)) for n in (right, left))
            if r["m00"] > 100 and c["m00"] > 100:
                total += 1
                apart += r["m10"] / r["m00"] < c["m10"] / c["m00"]
    people = seen["background"]
    assert seen["face"] == people
    assert seen["hair"] >= 0.85 * people
    assert min(seen["left-shoe"], seen["right-shoe"], seen["left-arm"], seen["right-arm"]) >= 0.7 * people
    assert total > 40
    # All of them are seen from the front: the person's right is on the viewer's left.
    assert apart == total


@pytest.mark.slow
@real
def test_all_classes_of_lip_turn_up(source: HumanSource) -> None:
    seen: set[int] = set()
    for _, parsing, _ in some(source, 2):
        seen |= set(np.unique(parsing).tolist())
    assert {LIP.names[i] for i in range(20) if i not in seen} <= {"glove"}
