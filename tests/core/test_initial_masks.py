"""Initial masks: like a detector's in their errors, and the named degradations exactly what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deocc_bench.cli import COMMANDS
from deocc_bench.core import initial_masks
from deocc_bench.core.degrade import DEGRADATIONS
from deocc_bench.core.detector import detector_mask
from deocc_bench.core.errors import DeoccError, UsageError
from deocc_bench.core.initial_masks import Truth, make, needs, parse
from deocc_bench.core.masks import encode, mask_iou
from deocc_bench.core.registry import load_object
from deocc_bench.core.seeding import rng

SIZE = 256


def case(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """modal, occluder, amodal, parsing of a figure behind a box."""
    parsing = np.zeros((SIZE, SIZE), np.uint8)
    parsing[70:150, 95:160] = 5
    parsing[30:72, 108:146] = 13
    parsing[75:145, 80:95] = 15
    parsing[75:145, 160:175] = 14
    parsing[150:240, 98:124] = 17
    parsing[150:240, 131:157] = 16
    occluder = np.zeros((SIZE, SIZE), bool)
    x, y = rng(seed, "case").integers(40, 150, 2)
    occluder[y + 40 : y + 120, x : x + 70] = True
    amodal = parsing > 0
    return amodal & ~occluder, occluder, amodal, parsing


def overlap(strength: float, count: int = 60) -> np.ndarray:
    values = []
    for k in range(count):
        modal, occluder, amodal, parsing = case(k)
        values.append(
            mask_iou(
                detector_mask(modal, strength, rng(k, "i"), amodal=amodal, occluder=occluder, parsing=parsing), modal
            )
        )
    return np.array(values)


def test_the_default_is_like_a_detector() -> None:
    values = overlap(0.5)
    assert 0.83 < values.mean() < 0.93
    assert values.std() > 0.02
    assert values.max() < 0.999


def test_errors_grow_with_strength() -> None:
    means = [overlap(s, 40).mean() for s in (0.0, 0.2, 0.5, 1.0)]
    assert means[0] == 1.0
    assert means == sorted(means, reverse=True)
    assert means[1] > 0.93
    assert means[3] < 0.8


def test_some_leak_into_the_occluder_and_some_keep_away() -> None:
    leaked, missed = [], []
    for k in range(60):
        modal, occluder, amodal, parsing = case(k)
        mask = detector_mask(modal, 0.7, rng(k, "leak"), amodal=amodal, occluder=occluder, parsing=parsing)
        leaked.append((mask & occluder).sum() / occluder.sum())
        missed.append((modal & ~mask).sum() / modal.sum())
    assert max(leaked) > 0.05
    assert min(leaked) < 0.01
    assert max(missed) > 0.15


def test_a_whole_part_is_sometimes_missed() -> None:
    missed = 0
    for k in range(80):
        _, _, amodal, parsing = case(k)
        nothing = np.zeros_like(amodal)
        mask = detector_mask(amodal, 0.6, rng(k, "part"), amodal=amodal, occluder=nothing, parsing=parsing)
        missed += any(mask[parsing == i].mean() < 0.3 for i in (13, 14, 15, 16, 17))
    assert 4 <= missed <= 45


@pytest.mark.slow
@given(st.integers(0, 10_000), st.floats(0, 1), st.booleans())
@settings(max_examples=80, deadline=None)
def test_never_empty_always_a_mask(seed: int, strength: float, with_parsing: bool) -> None:
    random = np.random.default_rng(seed)
    modal = np.zeros((90, 70), bool)
    y, x = int(random.integers(88)), int(random.integers(68))
    modal[y : y + int(random.integers(1, 30)), x : x + int(random.integers(1, 30))] = True
    occluder = random.random((90, 70)) < 0.3
    parsing = np.where(modal, np.uint8(5), np.uint8(0)) if with_parsing else None
    before = modal.copy()
    mask = detector_mask(modal, strength, random, amodal=modal, occluder=occluder, parsing=parsing)
    assert mask.shape == modal.shape
    assert mask.dtype == bool
    assert mask.any()
    assert np.array_equal(modal, before)


def test_of_nothing_comes_nothing() -> None:
    nothing = np.zeros((40, 40), bool)
    assert not detector_mask(nothing, 1.0, rng(0, "n"), amodal=~nothing, occluder=~nothing, parsing=None).any()


def test_the_same_generator_gives_the_same_mask() -> None:
    modal, occluder, amodal, parsing = case(3)
    truth = {"amodal": amodal, "occluder": occluder, "parsing": parsing}
    one, two = (
        detector_mask(modal, 0.5, rng(9, "same"), amodal=amodal, occluder=occluder, parsing=parsing) for _ in range(2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, detector_mask(modal, 0.5, rng(10, "same"), **truth))


def test_specs() -> None:
    assert parse("detector") == (("detector", 0.5),)
    assert parse("detector:0.2+shift") == (("detector", 0.2), ("shift", 4.0))
    assert parse("dilate:3+drop") == (("dilate", 3.0), ("drop", 0.1))
    assert initial_masks.DEFAULT == "detector:0.5"
    assert needs("detector:0.5+shift:4") == ("occluder",)
    assert needs("dilate:3") == needs("dataset") == ()


@pytest.mark.parametrize(
    ("command", "option"), [("synth", "initial"), ("import", "initial_mask"), ("evaluate", "initial_mask")]
)
def test_help_lists_every_kind_as_it_is_written(command: str, option: str) -> None:
    (text,) = (o.help for o in load_object(COMMANDS[command][0]).params if o.name == option)
    listed = text.partition("one of ")[2].partition(", or")[0].split(", ")
    assert {name for spec in listed for name, _ in parse(spec)} == {"detector", *DEGRADATIONS}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("detectr", "did you mean 'detector'"),
        ("detector:2", "from 0 to 1"),
        ("detector:x", "from 0 to 1"),
        ("detector:nan", "from 0 to 1"),
        ("dilate:x", "the amount must be a number from 0 to 128"),
        ("drop:1.5", "the amount must be a number from 0 to 1"),
        ("dilate:3+erod", "did you mean 'erode'"),
        ("shift:4+detector", "'detector' must be the first step"),
        ("", "unknown initial mask ''"),
    ],
)
def test_bad_specs_are_refused(bad: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse(bad)


def test_a_spec_is_made_from_the_truth_step_by_step() -> None:
    modal, occluder, amodal, parsing = case()
    truth = Truth(modal, amodal, occluder, parsing)
    perfect = make("perfect", truth, rng(0, "p"))
    assert np.array_equal(perfect, modal)
    assert perfect is not modal
    eroded = make("erode:2", truth, rng(0, "p"))
    assert eroded.sum() < modal.sum()
    assert not (eroded & ~modal).any()
    found = make("detector:0.5", truth, rng(0, "p"))
    alone = detector_mask(modal, 0.5, rng(0, "p"), amodal=amodal, occluder=occluder, parsing=parsing)
    assert np.array_equal(found, alone)
    assert np.array_equal(make("detector:0.5+dilate:2", truth, rng(0, "p")), damaged(alone, "dilate:2", rng(0, "p")))


def test_a_detector_needs_to_know_the_occluders() -> None:
    modal, _, amodal, _ = case()
    with pytest.raises(DeoccError, match="needs the occluder masks"):
        make("detector:0.5", Truth(modal, amodal), rng(0, "p"))


def test_front_mask_is_the_union_of_what_stands_in_front() -> None:
    left, right = np.zeros((8, 8), bool), np.zeros((8, 8), bool)
    left[:, :2], right[:, 6:] = True, True
    assert np.array_equal(initial_masks.front_mask([encode(left), encode(right)], 5, (8, 8)), left | right)
    nothing = initial_masks.front_mask([], 0, (8, 8))
    assert nothing is not None
    assert not nothing.any()
    assert initial_masks.front_mask([], 5, (8, 8)) is None


def damaged(mask: np.ndarray, spec: str, random: np.random.Generator) -> np.ndarray:
    """A spec that needs the modal mask alone."""
    return make(spec, Truth(mask, mask), random)


def square() -> np.ndarray:
    mask = np.zeros((40, 40), bool)
    mask[10:20, 12:26] = True
    return mask


def test_dilate_and_erode_by_hand() -> None:
    random = rng(0, "d")
    mask = square()
    assert damaged(mask, "dilate:2", random)[8, 12:26].all()
    assert not damaged(mask, "dilate:2", random)[7].any()
    assert not damaged(mask, "dilate:2", random)[8, 10]  # a disk, not a square
    assert np.array_equal(np.argwhere(damaged(mask, "erode:2", random))[[0, -1]], [[12, 14], [17, 23]])
    assert np.array_equal(damaged(mask, "dilate:0", random), mask)
    edge = np.ones((9, 9), bool)
    assert damaged(edge, "erode:2", random).all()


def test_shift_moves_without_wrapping() -> None:
    for k in range(20):
        moved = damaged(square(), "shift:4", rng(k, "s"))
        assert moved.sum() == 140
        y, x = (v.mean() for v in np.nonzero(moved))
        assert np.hypot(y - 14.5, x - 18.5) == pytest.approx(4, abs=0.8)
    corner = np.zeros((9, 9), bool)
    corner[0, 0] = True
    for k in range(20):
        assert damaged(corner, "shift:5", rng(k, "s")).sum() == 1  # never empty


def test_drop_takes_the_share_in_one_piece() -> None:
    for share in (0.1, 0.5):
        left = damaged(square(), f"drop:{share}", rng(1, "x"))
        assert left.sum() == round(140 * (1 - share))
        gone = np.argwhere(square() & ~left)
        assert np.ptp(gone, axis=0).max() < 14
    assert np.array_equal(damaged(square(), "drop:1", rng(1, "x")), square())


def test_lowres_and_polygon() -> None:
    modal = case()[2]
    rough, fine = (mask_iou(damaged(modal, f"lowres:{n}", rng(0, "l")), modal) for n in (7, 56))
    assert rough is not None
    assert fine is not None
    assert 0.5 < rough < fine < 1
    assert np.array_equal(damaged(square(), "polygon:1", rng(0, "p")), square())
    y, x = np.mgrid[0:80, 0:80]
    disk = np.hypot(y - 40, x - 40) < 30
    few = mask_iou(damaged(disk, "polygon:8", rng(0, "p")), disk)
    assert few is not None
    assert 0.6 < few < 0.97


@given(st.sampled_from(sorted(DEGRADATIONS)), st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_no_degradation_empties_a_mask_or_changes_its_input(name: str, seed: int) -> None:
    random = np.random.default_rng(seed)
    mask = random.random((30, 24)) < 0.05
    mask[5, 5] = True
    before = mask.copy()
    out = damaged(mask, name, random)
    assert out.any()
    assert out.dtype == bool
    assert out is not mask
    assert np.array_equal(mask, before)
