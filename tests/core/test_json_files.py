"""JSON from strangers: parsed within bounds, checked with the place of the error."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deocc_bench.core.errors import InputError
from deocc_bench.core.json_files import (
    checked,
    entries,
    is_number,
    is_plain,
    is_text,
    is_whole,
    parse_json,
    read_json,
    require_object,
)


class Point(msgspec.Struct):
    """Two coordinates and a name."""

    x: int
    y: float = 0.0
    name: str = ""


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_valid_json_is_what_the_standard_library_reads(value: Any) -> None:
    assert parse_json(json.dumps(value), "x.json") == value


@settings(max_examples=300)
@given(VALUES, st.data())
def test_mutated_json_is_parsed_or_refused(value: Any, data: st.DataObject) -> None:
    raw = bytearray(json.dumps({"a": value, "b": [value]}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with suppress(InputError):  # any other exception fails
        parse_json(bytes(raw), "x.json")


def test_one_bad_number_does_not_spoil_the_file() -> None:
    nan, infinite, huge = parse_json(f"[NaN, 1e400, {10**400}]", "x.json")
    assert math.isnan(nan)
    assert infinite == huge == math.inf
    assert not any(map(is_number, (nan, infinite, huge)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "the file is empty"),
        (b"[1, 2", "not valid JSON"),
        (b'{"a": }', "not valid JSON"),
        (b"[1] x", "not valid JSON"),
        (b"\xff\xfe[]", "not UTF-8 text"),
        (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_one_line(tmp_path: Path, text: bytes, says: str) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(text)
    with pytest.raises(InputError, match=says) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert read_json(tmp_path / "x.json") == [1]


def test_the_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.json").write_text("[1, 2, 3]")
    monkeypatch.setenv("DEOCC_MAX_JSON", "8")
    with pytest.raises(InputError, match=r"has 9 bytes, more than the limit of 8; .*DEOCC_MAX_JSON"):
        read_json(tmp_path / "x.json")
    monkeypatch.setenv("DEOCC_MAX_JSON", "9")
    assert read_json(tmp_path / "x.json") == [1, 2, 3]
    monkeypatch.setenv("DEOCC_MAX_JSON", "much")
    with pytest.raises(InputError, match="must be a number of bytes"):
        read_json(tmp_path / "x.json")


def test_types_are_checked_with_the_field() -> None:
    assert checked({"x": 1, "y": 2, "other": None}, Point, "p") == Point(1, 2.0)
    for value, says in (
        ({"x": "1"}, r"p: x: expected int, got str"),
        ({"y": 1}, r"p: object missing required field x"),
        ([1], r"p: expected object, got array"),
        ({"x": 1, "y": None}, r"p: y: expected float, got null"),
        ({"x": 2**70}, r"p: x: "),
    ):
        with pytest.raises(InputError, match=says):
            checked(value, Point, "p")
    with pytest.raises(InputError, match=r"p: \[1\]\.x: expected int, got null"):
        checked([{"x": 1}, {"x": None}], list[Point], "p")


def test_entries_are_named() -> None:
    assert list(entries([{"a": 1}], "f.json")) == [("f.json: entry 1", {"a": 1})]
    with pytest.raises(InputError, match=r"f.json: entry 2: must be an object, got 3"):
        list(entries([{}, 3], "f.json"))
    with pytest.raises(InputError, match=r"must be a list, got \{\}"):
        list(entries({}, "f.json"))
    with pytest.raises(InputError, match="must be an object, got None"):
        require_object(None, "f.json")


def test_what_counts_as_a_value() -> None:
    assert [is_whole(v) for v in (1, -1, True, 1.0, 2**70, None, "1")] == [
        True,
        True,
        False,
        False,
        False,
        False,
        False,
    ]
    assert [is_number(v) for v in (1, 1.5, math.nan, math.inf, True, 10**400, "1")] == [True, True] + [False] * 5
    assert [is_text(v) for v in ("é", "", "a\0b", "\ud800x", 5, "x" * 10_001)] == [True, True] + [False] * 4
    deep: Any = 1
    for _ in range(300):
        deep = [deep]
    assert [is_plain(v) for v in ({"a": [1, None, "x"]}, [math.nan], {"a": "\ud800"}, deep)] == [True] + [False] * 3


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), 10**400, -(2**70), "\ud800", True, None])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_lists_of_numbers_are_looked_at(odd: object, place: int) -> None:
    values: list[object] = [1.5, 2, 1e300]
    assert is_plain(values)
    values[place] = odd
    assert is_plain(values) == (odd is True or odd is None)
