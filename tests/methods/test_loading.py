"""Loading methods by name, module, file, class or object; options and device; the listing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deocc_bench.core.errors import DeoccError, InputError, UsageError
from deocc_bench.core.provenance import code_digest
from deocc_bench.core.registry import Registry
from deocc_bench.methods import devices, loading
from deocc_bench.methods.loading import as_method, load_method, parse_options


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
    method = load_method("sized:large", {"width": 9}, "cpu", registry)
    assert (method.instance.preset, method.instance.width, method.instance.device) == ("large", 9, "cpu")
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
        ("FILE", {}, UsageError, "add the name of the class"),
        ("FILE:Grwo", {}, UsageError, "did you mean 'Grow'"),
        ("FILE:Neither", {}, DeoccError, "neither complete"),
        ("FILE:Broken", {}, DeoccError, "can't be created: ValueError: no weights"),
        ("FILE:Grow", {"bye": 1}, UsageError, "unknown option 'bye'; did you mean 'by'"),
        ("FILE:Grow:large", {}, UsageError, "takes no preset; leave out ':large'"),
        (
            "FILE:Bad",
            {"how": "nan", "2.by": 3},
            UsageError,
            "option '2.by' is for a part, but",
        ),
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


def test_a_file_that_does_not_import_is_named(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import no_such_thing\n")
    with pytest.raises(InputError, match=r"broken\.py: can't be imported: ModuleNotFoundError"):
        load_method(f"{path}:A")


def test_listing(registry: Registry) -> None:
    sized, gone = loading.list_methods(registry)
    assert (sized["tasks"], sized["needs"], sized["problem"]) == (["mask"], ["initial"], None)
    assert "Gone" in gone["problem"]


def test_options_are_read_as_json_or_text() -> None:
    found = parse_options(["a=3", "b=0.5", "c=true", "d=text", "e=", "f=[1, 2]", "g=x=y", "1.h=false", "2.é=1"])
    assert found == {
        "a": 3,
        "b": 0.5,
        "c": True,
        "d": "text",
        "e": "",
        "f": [1, 2],
        "g": "x=y",
        "1.h": False,
        "2.é": 1,
    }
    for bad in ("a", "=3", "a b=3", "1=3", "1.=3", ".a=3", "a.b=3"):
        with pytest.raises(UsageError, match="NAME=VALUE"):
            parse_options([bad])


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
    with pytest.raises(DeoccError, match=r"method 'int' has neither complete\(batch\)"):
        as_method(3)
    with pytest.raises(UsageError, match="options steps can't be applied to an object"):
        as_method(Repeat(), {"steps": 2})
    with pytest.raises(UsageError, match="unknown option 'step'; did you mean 'steps'"):
        as_method(Repeat, {"step": 2})


@pytest.mark.parametrize(
    ("parameters", "cure"),
    [
        ("weights=None", "write -O weights=ckpt.pt"),
        ("path, checkpoint=None", "write -O checkpoint=ckpt.pt"),
        ("steps=1", "leave out ':ckpt.pt'"),
    ],
)
def test_a_file_after_the_class_is_an_option(tmp_path: Path, parameters: str, cure: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(f"class Mine:\n    def __init__(self, {parameters}): ...\n    def complete(self, batch): ...\n")
    with pytest.raises(UsageError) as caught:
        load_method(f"{path}:Mine:ckpt.pt")
    assert str(caught.value) == f"method '{path}:Mine:ckpt.pt' takes no preset; {cure}"


def test_constructors_are_given_a_device_that_is_there(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    for gpus, asked, given in ((0, "auto", "cpu"), (2, "auto", "cuda"), (2, "cuda:1", "cuda:1"), (2, "cpu", "cpu")):
        monkeypatch.setattr(devices, "count_gpus", lambda n=gpus: n)
        assert load_method("sized", {}, asked, registry).instance.device == given
        assert as_method(Sized, {"device": asked}).instance.device == given
    monkeypatch.setattr(devices, "count_gpus", lambda: 0)
    with pytest.raises(UsageError, match="device 'cuda': torch sees no GPU"):
        load_method("sized", {}, "cuda", registry)
