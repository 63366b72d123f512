"""The per-sample table: what is refused when it comes from somebody else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deocc_bench.core.errors import InputError
from deocc_bench.core.samples import column, read_table, to_table, write_table

ROWS = [{"id": "a", "group": "g", "n": 3, "x": 0.1 + 0.2}, {"id": "b", "group": "h", "n": 4, "x": None}]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "samples.csv", to_table(ROWS))
    assert (tmp_path / "samples.csv").read_text() == "id,group,n,x\na,g,3,0.30000000000000004\nb,h,4,\n"
    table = read_table(tmp_path / "samples.csv")
    assert column(table, "x").tolist()[0] == 0.30000000000000004
    assert table["n"].tolist() == [3, 4]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "'=1", "''-1", "'a", "a", "", "'"])
def test_no_text_is_a_formula_in_a_spreadsheet_and_none_is_lost(tmp_path: Path, text: str) -> None:
    path = tmp_path / "samples.csv"
    write_table(path, to_table([{"id": "a", "group": text, "occluder_categories": text, "x": -1.5}]))
    assert path.read_text().splitlines()[1].split(",")[1][:1] not in ("=", "+", "-", "@")
    table = read_table(path)
    assert (table["group"][0], table["occluder_categories"][0], table["x"][0]) == (text, text, -1.5)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (bytes(range(256)) * 20, "not a table"),
        (b"id,group,x\na,g,1,2\nb,h,1,2\n", "more cells than its head"),
        (b"id,group,x\na,g,1\nb,h,1,2\n", "not a table"),
        (b"id,group,x\na,g,\xff\n", "not a table"),
        (b"ix,group,x\na,g,1\n", "no column 'id'"),
        (b"id,group,x\na,g,1\na,h,2\n", "sample 'a' occurs twice"),
        (b"id,group,x\na,g,nan\n", r"column 'x' has a value that is not a number \(nan\)"),
        (b"id,group,x\na,g,1e400\n", r"not a number \(1e400\)"),
        (b"id,group,x\na,g,inf\n", r"not a number \(inf\)"),
        (b"id,group,x\na,g,1e200\n", r"not a number \(1e200\)"),
        (b"id,group,x\na,g," + b"9" * 30 + b"\n", "not a number"),
        (b"id,group,x\na,g,true\n", "not a number"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "samples.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as caught:
        read_table(path)
    assert caught.value.where == str(path)
    assert "\n" not in str(caught.value)


def test_changed_bytes_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    whole = b"id,group,occluder_categories,n,x\na,g,box|pole,3,0.5\nb,h,,4,\n"

    @settings(max_examples=200, deadline=None)
    @given(st.integers(0, len(whole)), st.integers(0, 3), st.binary(max_size=4) | st.sampled_from([b'"', b"\r", b"\0"]))
    def change(at: int, cut: int, put: bytes) -> None:
        path.write_bytes(whole[:at] + put + whole[at + cut :])
        try:
            table = read_table(path)
        except InputError:
            return
        assert {"id", "group"} <= set(table.columns)
        assert table["id"].is_unique

    change()
