"""What a method may declare, and how wrong declarations are refused."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deocc_bench.core.errors import DeoccError
from deocc_bench.core.types import Batch
from deocc_bench.methods import contract
from deocc_bench.methods.contract import ContentMethod, MaskMethod, check, function_needs
from deocc_bench.methods.loading import as_method, load_method
from deocc_bench.methods.method import Method
from deocc_bench.methods.names import METHODS


def declaring(**attributes: Any) -> type:
    """A class with `complete` and what else is given."""
    return type("Mine", (), {"complete": lambda self, batch: batch.initial, **attributes})


def load(instance: Any) -> Method:
    return Method("test", "test", "", instance)


def both(self: Any, batch: Any) -> Any: ...


def seeded(self: Any, batch: Any, seed: int) -> Any: ...


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"name": 3}, "method 'Mine': name is 3; give a text"),
    ({"version": ["1"]}, "method 'Mine': version is ['1']; give a text or a number"),
    ({"needs": 3}, "method 'Mine': needs is 3; give names out of initial, modal, amodal, parsing, gpu, fit, truth"),
    ({"needs": ("initial", 3)}, "method 'Mine': needs is ('initial', 3); give names out of initial, modal"),
    ({"needs": ("modall",)}, "method 'Mine': needs contains an unknown need 'modall'; did you mean 'modal'?"),
    ({"complete_needs": ("masks",)}, "method 'Mine': complete_needs contains an unknown need 'masks'"),
    ({"needs": ("fit",)}, "method 'Mine' needs 'fit', but has no fit(dataset, split)"),
    ({"needs": "truth"}, "method 'Mine' needs 'truth', but has no reveal(dataset, split)"),
    ({"needs": ("fit",), "fit": 3}, "method 'Mine': fit is 3; give a function"),
    ({"weights_used": 3}, "method 'Mine': weights_used is 3; give a text, or a mapping from stage to text"),
    ({"weights_used": {"mask": None}}, "method 'Mine': weights_used is {'mask': None}; give a text, or a mapping"),
    ({"parameter_count": "many"}, "method 'Mine': parameter_count is 'many'; give a whole number, or a function"),
    ({"precision": 32}, "method 'Mine': precision is 32; give a text"),
    ({"latency_stages": []}, "method 'Mine': latency_stages is []; give a function"),
    ({"recover": "images"}, "method 'Mine': recover is 'images'; give a function"),
    ({"name": "dice", "samples": 3}, "method 'dice': complete(batch) can't be called as complete(batch, seed=...)"),
    ({"complete": seeded}, "called as complete(batch); declare `samples` if it is random"),
    (
        {"complete": both, "recover": seeded},
        "method 'Mine': recover(batch, seed) can't be called as recover(batch)",
    ),
    ({"version": property(lambda self: 1 / 0)}, "method 'Mine': version can't be read: ZeroDivisionError"),
    ({"complete": None}, "method 'Mine' has neither complete(batch) nor recover(batch); add one of them to its class"),
    *[
        (
            {"samples": draws, "complete": seeded},
            f"samples is {draws!r}; give the number of draws, 1 or more",
        )
        for draws in (0, -2, "three", 2.5, True)
    ],
]


@pytest.mark.parametrize(("attributes", "message"), WRONG, ids=[message[:60] for _, message in WRONG])
def test_wrong_declarations_are_told_at_loading(attributes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeoccError) as caught:
        as_method(declaring(**attributes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_right_declarations_pass() -> None:
    method = as_method(
        declaring(
            complete=seeded,
            name="mine",
            version=2,
            needs="initial",
            samples=np.int64(3),
            weights_used={"mask": "none: random"},
            parameter_count=lambda self: 7,
            precision="float16",
        )
    )
    assert (method.name, method.samples, method.precision) == ("mine", 3, "float16")
    record = method.describe()
    assert (record["version"], record["parameters"], record["needs"]) == ("2", 7, ["initial"])
    assert record["weights"] == {"mask": "none: random"}


def test_what_is_only_known_of_an_instance_is_no_mistake_of_the_class() -> None:
    class Late:
        def complete(self, batch: Any) -> Any: ...

        @property
        def needs(self) -> tuple[str, ...]:
            return ("initial",)

        @cached_property
        def samples(self) -> int:
            return 2

    assert contract.function_needs(Late, "complete") == ()
    assert contract.draws(Late) is None
    assert contract.function_needs(Late(), "complete") == ("initial",)
    assert contract.draws(Late()) == 2


@pytest.mark.slow
def test_every_registered_method_passes_with_its_own_name() -> None:
    for name in METHODS.names():
        owner = METHODS.load(name)
        assert contract.owner_name(owner) == name
        if name != "chain":
            check(load_method(name, device="cpu").instance)


def test_the_protocols_are_what_types_see() -> None:
    def complete(method: MaskMethod, batch: Batch) -> Any:
        return method.complete(batch)

    def recover(method: ContentMethod, batch: Batch) -> Any:
        return method.recover(batch)

    batch = Batch(("a",), np.zeros((1, 4, 4, 3), np.uint8), np.ones((1, 4, 4), bool))
    assert complete(load_method("initial").instance, batch).amodal.all()
    assert recover(load_method("copy").instance, batch).images.shape == (1, 4, 4, 3)


def test_needs_of_each_function() -> None:
    class Both:
        needs = ("initial", "modal", "parsing", "fit")

        def complete(self, batch: Any) -> Any: ...

        def recover(self, batch: Any) -> Any: ...

    class Apart(Both):
        complete_needs = ("modal",)

    assert function_needs(Both, "complete") == ("initial", "fit")
    assert function_needs(Both, "recover") == ("initial", "modal", "parsing", "fit")
    assert function_needs(Apart, "complete") == ("modal", "fit")


def test_parameters_are_counted() -> None:
    torch = pytest.importorskip("torch")

    class Net:
        def __init__(self) -> None:
            self.net = torch.nn.Linear(3, 2)
            self.same = self.net

    class Deep:
        def __init__(self) -> None:
            inner = Net()
            self.parts = {"a": inner, "b": [inner, Net()]}

    class Own:
        parameter_count = 12

    assert load(Net()).parameters == 8
    assert load(Deep()).parameters == 16
    assert load(Own()).parameters == 12
    assert load(declaring()()).parameters is None


def test_stages_of_one_function(methods_file: Path) -> None:
    class Halves:
        def complete(self, batch: Any) -> Any: ...

        def recover(self, batch: Any) -> Any: ...

        def latency_stages(self, batch: Any, function: str | None = None) -> Any:
            return [(str(function), len)]

    class Whole(Halves):
        def latency_stages(self, batch: Any) -> Any:  # type: ignore[override]
            return [("all", len)]

    class Half:
        complete = Halves.complete
        latency_stages = Whole.latency_stages

    def names(instance: Any, function: str | None) -> list[str] | None:
        stages = load(instance).latency_stages(None, function)  # type: ignore[arg-type]
        return None if stages is None else [name for name, _ in stages]

    assert names(Halves(), "recover") == ["recover"]
    assert names(Halves(), None) == ["None"]
    # It can't say them apart, and those of the whole are not those of a half.
    assert names(Whole(), "complete") is None
    assert names(Half(), "complete") == ["all"]
    assert load_method(f"{methods_file}:Grow").latency_stages(None) is None  # type: ignore[arg-type]
