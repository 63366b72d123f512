"""Seeding, registry, files, errors, provenance."""

from __future__ import annotations

import errno
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

from deocc_bench.core import provenance, registry, seeding
from deocc_bench.core.errors import DeoccError, InputError, UsageError, one_line
from deocc_bench.core.files import atomic_write, sweep_temporary
from deocc_bench.core.json_files import dump_json, read_json
from deocc_bench.core.registry import Registry


def test_seeds_are_fixed_for_good() -> None:
    # A change here changes every dataset that was ever made.
    assert seeding.hash64(0, "placement", "ccp-0001", 2) == 4421695050123428404
    assert seeding.rng(0, "x", 1).integers(0, 1000, 4).tolist() == [390, 363, 501, 574]


def test_seeds_differ_by_every_part() -> None:
    values = {seeding.hash64(*p) for p in [(0, "a", "b"), (1, "a", "b"), (0, "ab"), (0, "a", "b", ""), (0, "b", "a")]}
    assert len(values) == 5


def test_unit_hash_is_uniform() -> None:
    values = np.array([seeding.unit_hash(0, "split", i) for i in range(4000)])
    assert 0 <= values.min() <= values.max() < 1
    counts = np.histogram(values, 10, (0, 1))[0]
    # 400 +- 19 a bin: five standard deviations.
    assert np.abs(counts - 400).max() < 95


def test_registry_loads_lazily_and_suggests() -> None:
    table = Registry("method", {"modal": "no.such.module:X", "encode": "json:dumps"})
    assert table.names() == ["modal", "encode"]
    assert table.load("encode")([1]) == "[1]"
    with pytest.raises(UsageError, match="unknown method 'encod'; did you mean 'encode'"):
        table.load("encod")
    with pytest.raises(ModuleNotFoundError):
        table.load("modal")


def test_registry_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("theirs", "json:loads", "g"), EntryPoint("broken", "no.such:X", "g")]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    table = Registry("method", {"ours": "json:dumps"}, "g", {"ours": "ours:DIR"})
    assert table.names() == ["ours", "broken", "theirs"]
    assert table.forms() == ["ours:DIR", "broken", "theirs"]
    assert table.load("theirs")("[1]") == [1]
    with pytest.raises(DeoccError, match="fix or uninstall"):
        table.load("broken")
    points.append(EntryPoint("ours", "json:loads", "g"))
    with pytest.raises(DeoccError, match="claimed twice"):
        table.names()


def test_atomic_write_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a" / "x.txt"
    atomic_write(target, "old")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(DeoccError, match=r"x\.txt: no space left"):
        atomic_write(target, "new")
    assert target.read_text() == "old"
    assert list(tmp_path.rglob(".tmp-*")) == []


def test_sweep_removes_only_temporaries(tmp_path: Path) -> None:
    (tmp_path / ".tmp-1").write_text("")
    (tmp_path / "keep").write_text("")
    assert sweep_temporary(tmp_path) == 1
    assert [p.name for p in tmp_path.iterdir()] == ["keep"]


def test_json(tmp_path: Path) -> None:
    assert dump_json({"b": 1, "a": "é"}) == '{\n "a": "é",\n "b": 1\n}\n'
    with pytest.raises(ValueError):
        dump_json(float("nan"))
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        read_json(tmp_path / "x.json")
    with pytest.raises(InputError, match="no such file"):
        read_json(tmp_path / "y.json")


def test_errors_are_one_line() -> None:
    error = InputError("a\nb.jpg", "is\x1b[31m broken", "mend it")
    assert str(error) == "a b.jpg: is\\x1b[31m broken; mend it"
    assert len(one_line("x" * 9999)) == 500
    # Errors cross process borders.
    import pickle

    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_digest_tells_shapes_and_types_apart() -> None:
    a = np.arange(6, dtype=np.uint8)
    assert provenance.digest(a) == provenance.digest(a.copy())
    assert len({provenance.digest(x) for x in (a, a.reshape(2, 3), a.astype(np.uint16), a.tobytes(), "012345")}) == 5
    assert provenance.digest("ab", "c") != provenance.digest("a", "bc")


def test_environment_does_not_import_torch() -> None:
    code = (
        "import sys; from deocc_bench.core.provenance import environment as e; "
        "assert 'numpy' in e(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
