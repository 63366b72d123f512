"""Names from files become paths inside the folder given, or are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deocc_bench.core.errors import InputError
from deocc_bench.core.paths import check_inside, inside, is_relative, is_safe_id, safe_id

GOOD = ("a", "ccp-0001-v0", "Übung 3", "a.b", "x" * 200)
BAD = (
    "",
    ".",
    "..",
    ".hidden",
    "a/b",
    "/a",
    "a\\b",
    "a\0b",
    "a\nb",
    "\x1b[2J",
    " a",
    "a ",
    "x" * 201,
    "é" * 101,
    "\ud800",
)


def test_ids_are_one_component() -> None:
    assert [i for i in GOOD if not is_safe_id(i)] == []
    assert [i for i in (*BAD, None, 5, ["a"]) if is_safe_id(i)] == []
    assert safe_id("a", "x.json") == "a"
    with pytest.raises(InputError, match=r"x.json: the sample id '../a' can't be a file name"):
        safe_id("../a", "x.json")


@given(st.text(max_size=30))
def test_a_safe_id_never_leaves_its_folder(name: str) -> None:
    if is_safe_id(name):
        assert (Path("/data/masks") / f"{name}.png").parent == Path("/data/masks")
        assert is_relative(name)


@pytest.mark.parametrize("name", ["a.png", "images/test/a.png", "./a.png", "a b/c.png"])
def test_names_below_the_folder(tmp_path: Path, name: str) -> None:
    assert inside(tmp_path, name, "x.json") == tmp_path / name


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../a.png", "images/../../a.png", "", "a\0.png", "a\\..\\b", "a\n.png"]
)
def test_names_that_lead_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"x.json: image 3: the file name .*leads out of its folder"):
        inside(tmp_path, name, "x.json: image 3")


def test_links_that_lead_out(tmp_path: Path) -> None:
    root, other = tmp_path / "data", tmp_path / "other"
    for folder in (root / "images", other):
        folder.mkdir(parents=True)
    (other / "secret.png").write_bytes(b"x")
    (root / "images" / "real.png").write_bytes(b"x")
    (root / "images" / "within.png").symlink_to("real.png")
    (root / "images" / "file.png").symlink_to(other / "secret.png")
    (root / "linked").symlink_to(other)
    assert inside(root, "images/within.png", "x").name == "within.png"
    assert inside(root, "images/new.png", "x") == root / "images" / "new.png"
    for name in ("images/file.png", "linked/secret.png"):
        with pytest.raises(InputError, match="is a link that leads out of"):
            inside(root, name, "x")
    with pytest.raises(InputError, match="is a link that leads out of"):
        check_inside(root, root / "linked" / "new.png")


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.png").write_bytes(b"x")
    (tmp_path / "data").symlink_to("real")
    assert inside(tmp_path / "data", "a.png", "x") == tmp_path / "data" / "a.png"
