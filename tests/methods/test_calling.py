"""The hand-over from masks to content: what `recover` is given, and where it is said to come from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deocc_bench.core.errors import InvariantError
from deocc_bench.core.types import Batch, MaskOutput
from deocc_bench.methods.answers import OutputError, check_masks
from deocc_bench.methods.calling import call, hand_over, parsing_source, predict
from deocc_bench.methods.method import Method
from deocc_bench.methods.serving import batch_fields


def batch() -> Batch:
    initial = np.zeros((2, 4, 6), bool)
    initial[:, :, :3] = True
    return Batch(("a", "b"), np.zeros((2, 4, 6, 3), np.uint8), initial)


def amodal() -> np.ndarray:
    mask = np.zeros((2, 4, 6), bool)
    mask[:, 1:, 1:] = True
    return mask


def method(instance: Any) -> Method:
    return Method("test", "test", "", instance)


def test_the_modal_mask_is_the_methods_own_or_the_initial_one_within_its_amodal_one() -> None:
    given = batch()
    assert given.initial is not None
    handed = hand_over(given, MaskOutput(amodal()))
    assert np.array_equal(handed.modal, given.initial & amodal())  # type: ignore[arg-type]
    assert handed.parsing is handed.modal_parsing is handed.parsing_source is None
    own = amodal() & (np.arange(6) < 2)
    assert hand_over(given, MaskOutput(amodal(), own)).modal is own


def test_a_parsing_of_the_visible_part_is_the_methods_own_or_cut_from_the_whole() -> None:
    whole, visible = np.full((2, 4, 6), 5, np.uint8), np.full((2, 4, 6), 9, np.uint8)
    modal = amodal() & (np.arange(6) < 2)
    cut = hand_over(batch(), MaskOutput(amodal(), modal, whole))
    assert np.array_equal(cut.modal_parsing, np.where(modal, 5, 0))  # type: ignore[arg-type]
    assert cut.parsing_source == "method"
    own = hand_over(batch(), MaskOutput(amodal(), modal, whole, visible), source="truth")
    assert np.array_equal(own.modal_parsing, np.where(modal, 9, 0))  # type: ignore[arg-type]
    assert own.parsing is whole
    assert own.parsing_source == "truth"


def test_parsing_that_is_needed_and_not_made_is_asked_for() -> None:
    with pytest.raises(OutputError, match=r"recover\(\) needs parsing, but complete\(\) returned none"):
        hand_over(batch(), MaskOutput(amodal()), ("parsing",))


def test_recover_is_told_where_its_parsing_comes_from() -> None:
    seen: list[Batch] = []

    class Parts:
        def complete(self, batch: Batch) -> MaskOutput:
            return MaskOutput(amodal(), parsing=np.full((2, 4, 6), 5, np.uint8))

        def recover(self, batch: Batch) -> np.ndarray:
            seen.append(batch)
            return batch.images

    class Oracle(Parts):
        needs = ("truth",)

    for instance, source in ((Parts(), "method"), (Oracle(), "truth")):
        predict(method(instance), batch(), "joint")
        assert seen[-1].parsing_source == parsing_source(method(instance)) == source


def test_the_seed_goes_to_random_methods_alone() -> None:
    class Fixed:
        def complete(self, batch: Batch) -> Any:
            return "fixed"

    class Dice:
        samples = 2

        def complete(self, batch: Batch, seed: int = 9) -> Any:
            return seed

    assert call(method(Fixed()), "complete", batch(), 3) == "fixed"
    assert call(method(Dice()), "complete", batch(), 3) == 3
    assert call(method(Dice()), "complete", batch()) == 9


def test_a_parsing_of_the_visible_part_is_checked_like_the_other() -> None:
    whole = np.zeros((2, 4, 6), np.uint8)
    wrong = whole.copy()
    wrong[1, 0, 0] = 20
    with pytest.raises(OutputError, match="sample 'b': the modal parsing contains id 20"):
        check_masks(MaskOutput(amodal(), None, whole, wrong), batch())
    with pytest.raises(OutputError, match="the modal parsing must be uint8"):
        check_masks(MaskOutput(amodal(), None, whole, wrong.astype(np.int64)), batch())
    with pytest.raises(InvariantError, match="parsing_source must be 'truth', 'method' or None, got 'guess'"):
        Batch(("a",), np.zeros((1, 4, 4, 3), np.uint8), parsing_source="guess")  # type: ignore[arg-type]


def test_what_a_batch_holds() -> None:
    class Plain:
        needs = ("initial", "parsing")

        def complete(self, batch: Any) -> Any: ...

        def recover(self, batch: Any) -> Any: ...

    class Told(Plain):
        complete_needs = ("modal", "parsing")

    true = {"modal", "amodal", "parsing", "modal_parsing", "parsing_source"}
    assert batch_fields(method(Plain()), "content") == true
    assert batch_fields(method(Plain()), "joint") == {"initial"}
    assert batch_fields(method(Told()), "mask") == (true | {"initial"}) - {"amodal"}
