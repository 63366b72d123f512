"""Loading methods by name, module or file; the listing; the protocol's needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.provenance import code_digest
from deocc_bench.core.registry import Registry
from deocc_bench.methods import loading
from deocc_bench.methods.loading import as_method, function_needs, load_method, parse_options


class Sized:
    """A registered method with a preset, an option and a device."""

    needs = ("initial",)

    def __init__(self, preset: str = "small", width: int = 4, device: str = "cpu") -> None:
        self.preset, self.width, self.device = preset, width, device

    def complete(self, batch: Any) -> Any:
        return batch.initial


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    import sys

    module = sys.modules[__name__]
    monkeypatch.setitem(sys.modules, "sized_methods_of_this_test", module)
    entries = {"sized": "sized_methods_of_this_test:Sized", "gone": "sized_methods_of_this_test:Gone"}
    return Registry("method", entries)


def test_registered_name_preset_options_and_device(registry: Registry) -> None:
    method = load_method("sized:large", {"width": 9}, "cuda", registry)
    assert (method.instance.preset, method.instance.width, method.instance.device) == ("large", 9, "cuda")
    assert method.name == "Sized:large"
    assert method.options == {"width": 9, "preset": "large"}
    assert method.tasks == ("mask",)
    assert method.describe()["code_digest"] == code_digest(Sized)


def test_file_and_module(methods_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    method = load_method(f"{methods_file}:Grow", {"by": 7})
    assert (method.name, method.instance.by, method.needs("complete")) == ("grow", 7, ("initial",))
    assert load_method(f"{methods_file}:Full").tasks == ("mask", "content", "joint")
    assert load_method(f"{methods_file}:Full").describe()["version"] == "2"
    monkeypatch.syspath_prepend(str(methods_file.parent))
    assert load_method("my_methods:Grow").source == "my_methods:Grow"


@pytest.mark.parametrize(
    ("spec", "options", "error", "message"),
    [
        ("sizd", {}, UsageError, "unknown method 'sizd'; did you mean 'sized'"),
        ("FILE", {}, UsageError, "name the class too"),
        ("FILE:Grwo", {}, UsageError, "did you mean 'Grow'"),
        ("FILE:Neither", {}, DeoccError, "neither complete"),
        ("FILE:Broken", {}, DeoccError, "can't be made: ValueError: no weights"),
        ("FILE:Grow", {"bye": 1}, UsageError, "unknown option 'bye'; did you mean 'by'"),
        ("FILE:Grow:large", {}, UsageError, "takes no preset; leave out ':large'"),
        ("FILE:Learner", {"x": 1}, UsageError, "unknown option 'x'; it takes none"),
        ("FILE:Bad", {}, UsageError, "needs --option how="),
        ("no/such.py:Grow", {}, InputError, "no such file"),
        ("no_such_package.mod:Grow", {}, UsageError, "no module 'no_such_package.mod'"),
    ],
)
def test_mistakes_are_told(
    registry: Registry, methods_file: Path, spec: str, options: dict[str, Any], error: type, message: str
) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(")) as caught:
        load_method(spec.replace("FILE", str(methods_file)), options, registry=registry)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("draws", [0, -2, "three", 2.5, True])
def test_a_wrong_number_of_draws_is_told_before_the_run(tmp_path: Path, draws: object) -> None:
    path = tmp_path / "random_method.py"
    path.write_text(f"class A:\n    samples = {draws!r}\n    def complete(self, batch, seed): ...\n")
    with pytest.raises(DeoccError, match=f"method 'A': samples is {draws!r}; give the number of draws, 1 or more"):
        load_method(f"{path}:A")


def test_a_file_that_does_not_import_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import no_such_thing\n")
    with pytest.raises(InputError, match=r"broken\.py: can't be imported: ModuleNotFoundError"):
        load_method(f"{path}:A")


def test_needs_of_each_function() -> None:
    class Both:
        needs = ("initial", "modal", "parsing", "fit")

        def complete(self, batch: Any) -> Any: ...

        def recover(self, batch: Any) -> Any: ...

    class Apart(Both):
        complete_needs = ("modal",)

    class Odd(Both):
        needs = ("modall",)

    assert function_needs(Both, "complete") == ("initial", "fit")
    assert function_needs(Both, "recover") == ("initial", "modal", "parsing", "fit")
    assert function_needs(Apart, "complete") == ("modal", "fit")
    with pytest.raises(DeoccError, match="did you mean 'modal'"):
        function_needs(Odd, "recover")


def test_listing(registry: Registry) -> None:
    sized, gone = loading.list_methods(registry)
    assert (sized["tasks"], sized["needs"], sized["problem"]) == (["mask"], ["initial"], None)
    assert "Gone" in gone["problem"]


def test_options_are_read_as_json_or_text() -> None:
    found = parse_options(["a=3", "b=0.5", "c=true", "d=text", "e=", "f=[1, 2]", "g=x=y"])
    assert found == {"a": 3, "b": 0.5, "c": True, "d": "text", "e": "", "f": [1, 2], "g": "x=y"}
    for bad in ("a", "=3", "a b=3"):
        with pytest.raises(UsageError, match="NAME=VALUE"):
            parse_options([bad])


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

    assert loading.parameter_count(Net()) == 8
    assert loading.parameter_count(Deep()) == 16
    assert loading.parameter_count(Own()) == 12
    assert loading.parameter_count(Sized()) is None


class Repeat:
    """A method that needs nothing of the harness."""

    version = "3"

    def __init__(self, device: str = "cpu", steps: int = 1) -> None:
        self.device, self.steps = device, steps

    def complete(self, batch: Any) -> Any:
        return batch.initial


def test_a_class_and_an_object_are_methods_too() -> None:
    made = as_method(Repeat, {"steps": 4}, "cpu")
    assert (made.name, made.instance.steps, made.options) == ("Repeat", 4, {"steps": 4})
    assert made.source == made.spec == f"{__name__}:Repeat"
    given = Repeat(steps=2)
    held = as_method(given)
    assert held.instance is given
    assert held.source == f"{__name__}:Repeat (object)"
    assert held.describe()["version"] == "3"
    assert as_method(held) is held
    assert as_method("initial").tasks == ("mask",)


def test_what_is_no_method_is_refused() -> None:
    with pytest.raises(DeoccError, match=r"method 'builtins:int \(object\)' has neither complete\(batch\)"):
        as_method(3)
    with pytest.raises(UsageError, match="options steps are given with an object"):
        as_method(Repeat(), {"steps": 2})
    with pytest.raises(UsageError, match="unknown option 'step'; did you mean 'steps'"):
        as_method(Repeat, {"step": 2})
