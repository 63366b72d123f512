"""The reader of MATLAB files: exact values for every layout, one error for everything else, bounded memory and time."""

from __future__ import annotations

import io
import os
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import loadmat, savemat

from deocc_bench.core.errors import InputError
from deocc_bench.synth.humans.matfile import max_pixels, read_labels, read_names

DATA = Path(os.environ.get("DEOCC_TEST_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")) / "ccp"
NAME = "groundtruth"
LABELS = np.array([[0, 1, 2], [57, 58, 255]], np.uint8)
STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
CLASSES = {
    "double": 6,
    "single": 7,
    "int8": 8,
    "uint8": 9,
    "int16": 10,
    "uint16": 11,
    "int32": 12,
    "uint32": 13,
    "int64": 14,
    "uint64": 15,
}


def element(kind: int, content: bytes, order: str, small: bool = True) -> bytes:
    """An element; up to 4 bytes go into the tag."""
    if small and 0 < len(content) <= 4:
        return struct.pack(order + "I", len(content) << 16 | kind) + content.ljust(4, b"\0")
    return struct.pack(order + "II", kind, len(content)) + content + bytes(-len(content) % 8)


def matrix(
    content: bytes, *, kind: int = 9, flags: int = 0, dims: tuple[int, ...] = (2, 3), name: str = NAME, order: str = "<"
) -> bytes:
    """A matrix element around the elements in `content`."""
    inside = element(6, struct.pack(order + "II", kind | flags, 0), order)
    inside += element(5, struct.pack(f"{order}{len(dims)}i", *dims), order, small=False)
    inside += element(1, name.encode(), order) + content
    return struct.pack(order + "II", 14, len(inside)) + inside


def numbers(array: np.ndarray, stored: int, order: str = "<") -> bytes:
    return element(stored, array.astype(order + STORED[stored]).tobytes(order="F"), order)


def mat(*elements: bytes, order: str = "<", version: int = 0x0100) -> bytes:
    end = struct.pack(order + "H", version) + (b"IM" if order == "<" else b"MI")
    return b"MATLAB 5.0 MAT-file".ljust(124) + end + b"".join(elements)


def packed(content: bytes, order: str = "<") -> bytes:
    body = zlib.compress(content)
    return struct.pack(order + "II", 15, len(body)) + body


def cells(names: list[str], kind: int = 16, order: str = "<") -> bytes:
    encoding = {2: "latin-1", 4: f"utf-16-{'le' if order == '<' else 'be'}", 16: "utf-8"}[kind]
    inside = [
        matrix(element(kind, n.encode(encoding), order), kind=4, dims=(1, len(n)), name="", order=order) for n in names
    ]
    return matrix(b"".join(inside), kind=1, dims=(1, len(names)), name="label_list", order=order)


def saved(value: object, name: str = NAME, **how: object) -> bytes:
    file = io.BytesIO()
    savemat(file, {name: value}, **how)
    return file.getvalue()


def write(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "a.mat"
    path.write_bytes(content)
    return path


def refused(path: Path, names: bool = False) -> str:
    with pytest.raises(InputError) as caught:
        read_names(path, "label_list") if names else read_labels(path, NAME)
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith(f"{path}: ")
    assert caught.value.cure
    return text


# Values


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("stored", STORED)
@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_and_storage(tmp_path: Path, kind: str, stored: int, compressed: bool, order: str) -> None:
    labels = LABELS % 59 if stored == 1 else LABELS
    content = matrix(numbers(labels, stored, order), kind=CLASSES[kind], order=order)
    path = write(tmp_path, mat(packed(content, order) if compressed else content, order=order))
    read = read_labels(path, NAME)
    assert (read.dtype, read.flags.f_contiguous) == (np.dtype(np.uint8), True)
    np.testing.assert_array_equal(read, labels)
    np.testing.assert_array_equal(read, loadmat(path)[NAME])


@pytest.mark.parametrize("dtype", [*CLASSES, "bool"])
@pytest.mark.parametrize("compressed", [False, True])
def test_what_scipy_writes(tmp_path: Path, dtype: str, compressed: bool) -> None:
    labels = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (37, 23)).astype(dtype)
    path = write(tmp_path, saved(labels, do_compression=compressed))
    np.testing.assert_array_equal(read_labels(path, NAME), labels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 1), (1, 5), (1500, 1400)])
def test_sizes(tmp_path: Path, shape: tuple[int, int]) -> None:
    # Up to four bytes are stored in the tag; the last shape takes several blocks.
    labels = np.arange(shape[0] * shape[1]).reshape(shape) % 251
    for dtype in (np.uint8, np.float64):
        path = write(tmp_path, saved(labels.astype(dtype), do_compression=True))
        np.testing.assert_array_equal(read_labels(path, NAME), labels)


def test_other_variables_are_skipped(tmp_path: Path) -> None:
    others = {"first": np.zeros((3, 3, 3)), "text": "abc", "struct": {"a": 1}, "cell": np.array([1, "a"], object)}
    for compressed in (False, True):
        savemat(tmp_path / "a.mat", {**others, NAME: LABELS}, do_compression=compressed)
        np.testing.assert_array_equal(read_labels(tmp_path / "a.mat", NAME), LABELS)
    # An opaque object has no dimensions.
    opaque = element(6, struct.pack("<II", 17, 0), "<") + element(1, b"table", "<") + bytes(16)
    opaque = struct.pack("<II", 14, len(opaque)) + opaque
    path = write(tmp_path, mat(opaque, packed(b"".join([matrix(numbers(LABELS, 2))]))))
    np.testing.assert_array_equal(read_labels(path, NAME), LABELS)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [2, 4, 16])
def test_names(tmp_path: Path, kind: int, order: str) -> None:
    names = ["null", "t-shirt", "bag", "é"]
    content = cells(names, kind, order)
    for whole in (content, packed(content, order)):
        assert read_names(write(tmp_path, mat(whole, order=order)), "label_list") == names


@pytest.mark.skipif(not DATA.is_dir(), reason="no CCP photos: set DEOCC_TEST_DATA")
def test_release(tmp_path: Path) -> None:
    files = sorted((DATA / "annotations/pixel-level").glob("*.mat"))[::20]
    assert files
    for path in files:
        np.testing.assert_array_equal(read_labels(path, NAME), loadmat(path)[NAME])
    names = read_names(DATA / "label_list.mat", "label_list")
    assert names == [str(cell[0]) for cell in loadmat(DATA / "label_list.mat")["label_list"].ravel()]


# Refusals


GOOD = matrix(numbers(LABELS, 2))
BIG = LABELS.astype(float)
STRANGE = {
    "complex": (saved(BIG * 1j), "groundtruth is complex"),
    "3-D": (saved(np.zeros((4, 5, 6))), "groundtruth is 4 x 5 x 6"),
    "text": (saved("abc"), "groundtruth is text"),
    "cell": (saved(np.array([1, "a"], object)), "groundtruth is a cell array"),
    "struct": (saved({"a": 1}), "groundtruth is a struct"),
    "sparse": (mat(matrix(b"", kind=5)), "groundtruth is sparse"),
    "object": (mat(matrix(b"", kind=3)), "groundtruth is an object"),
    "class": (mat(matrix(b"", kind=99)), "groundtruth is of unknown class 99"),
    "NaN": (saved(BIG * np.nan), "values from nan to nan"),
    "infinite": (saved(BIG + np.inf), "values from inf to inf"),
    "fraction": (saved(BIG / 2), "the value 28.5, which is not a whole number"),
    "negative": (saved(LABELS.astype(np.int16) - 1), "values from -1 to 254"),
    "large": (saved(LABELS.astype(np.uint16) + 1), "values from 1 to 256"),
    "huge": (saved(BIG + 1e30), "values from 1e+30 to 1e+30"),
    "empty": (saved(np.zeros((0, 0), np.uint8)), "groundtruth is 0 x 0"),
    "negative size": (mat(matrix(numbers(LABELS, 2), dims=(-2, -3))), "groundtruth is -2 x -3"),
    "1-D": (mat(matrix(numbers(LABELS, 2), dims=(6,))), "groundtruth is 6, not height x width"),
    "too large": (mat(matrix(numbers(LABELS, 2), dims=(2**30, 2**30))), "1073741824 x 1073741824, more than 134217728"),
    "too few bytes": (mat(matrix(numbers(LABELS, 2), dims=(2, 4))), "has 6 bytes, but 2 x 4 numbers of 1"),
    "too many bytes": (mat(matrix(numbers(LABELS, 9), dims=(2, 2))), "has 48 bytes, but 2 x 2 numbers of 8"),
    "number type": (mat(matrix(element(8, bytes(6), "<"))), "numbers of unknown type 8"),
    "element type": (mat(element(9, bytes(8), "<")), "element of unknown type 9"),
    "packed type": (mat(packed(element(9, bytes(8), "<"))), "element of unknown type 9"),
    "small tag": (mat(matrix(struct.pack("<HHI", 2, 6, 0))), "bad size"),
    "flags": (mat(struct.pack("<II", 14, 16) + element(5, bytes(8), "<")), "bad flags"),
    "dimensions": (
        mat(matrix(b"").replace(struct.pack("<IIii", 5, 8, 2, 3), struct.pack("<IIii", 9, 8, 2, 3))),
        "bad dim",
    ),
    "no room": (mat(struct.pack("<II", 14, 48) + GOOD[8:56]), "contradict each other"),
    "left over": (mat(matrix(numbers(LABELS, 2) + bytes(8))), "more data than its sizes say"),
    "packed left over": (mat(packed(GOOD + bytes(8))), "more data than its sizes say"),
    "packed cut": (mat(packed(GOOD)[:-9]), "is cut"),
    "packed cut inside": (mat(packed(GOOD[:60])), "is cut"),
    "packed without end": (mat(struct.pack("<II", 15, len(packed(GOOD)) - 12) + packed(GOOD)[8:-4]), "is cut"),
    "checksum": (mat(packed(GOOD)[:-1] + b"?"), "compressed data are damaged"),
    "not packed": (mat(struct.pack("<II", 15, 9) + b"not packed"), "compressed data are damaged"),
    "cut": (mat(GOOD)[:150], "is cut"),
    "cut tag": (mat(GOOD)[:131], "is cut"),
    "only a header": (mat(), "has no variable groundtruth"),
    "other name": (saved(LABELS, "truth"), "has no variable groundtruth"),
    "empty file": (b"", "is empty"),
    "short": (b"MATLAB 5.0", "not a MATLAB file"),
    "garbage": (bytes(range(256)) * 4, "not a MATLAB file"),
    "png": (b"\x89PNG\r\n\x1a\n" * 30, "not a MATLAB file"),
    "unknown version": (mat(GOOD, version=0x0300), "unknown version 0x0300"),
    "version 4": (saved(BIG, format="4"), "MATLAB 4 files can't be read; save it with -v7"),
    "version 7.3": (mat(GOOD, version=0x0200), "MATLAB 7.3 files can't be read; save it with -v7"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(600), "MATLAB 7.3 files can't be read; save it with -v7"),
}


@pytest.mark.parametrize("case", STRANGE)
def test_refused(tmp_path: Path, case: str) -> None:
    content, problem = STRANGE[case]
    text = refused(write(tmp_path, content))
    assert problem in text
    assert "--skip-bad" in text or "-v7" in text


ONE = element(16, b"null", "<")
STRANGE_NAMES = {
    "numbers": (saved(LABELS, "label_list"), "label_list is numbers, not a cell array"),
    "cell of numbers": (saved(np.array([["null", 1]], object), "label_list"), "cell 2 of label_list is numbers"),
    "empty cell": (mat(matrix(element(14, b"", "<"), kind=1, dims=(1, 1), name="label_list")), "empty or broken cell"),
    "square": (saved(np.full((2, 2), "a", object), "label_list"), "label_list is 2 x 2, not a list"),
    "too many": (saved(np.full((1, 257), "a", object), "label_list"), "label_list is 1 x 257, not a list"),
    "no cells": (saved(np.zeros((0, 0), object), "label_list"), "label_list is 0 x 0"),
    "two lines": (
        mat(matrix(matrix(ONE, kind=4, dims=(2, 2), name=""), kind=1, dims=(1, 1), name="label_list")),
        "cell 1 of label_list is not one line of text",
    ),
    "length": (
        mat(matrix(matrix(ONE, kind=4, dims=(1, 5), name=""), kind=1, dims=(1, 1), name="label_list")),
        "cell 1 of label_list has 4 characters, not 5",
    ),
    "not UTF-8": (mat(cells(["é"]).replace("é".encode(), b"\xff\xfe")), "cell 1 of label_list is not valid utf-8"),
    "text type": (
        mat(matrix(matrix(element(9, b"", "<"), kind=4, dims=(1, 1), name=""), kind=1, dims=(1, 1), name="label_list")),
        "text of unknown type 9",
    ),
    "long": (
        mat(
            matrix(
                matrix(element(16, b"a" * 5000, "<"), kind=4, name="", dims=(1, 5000)),
                kind=1,
                dims=(1, 1),
                name="label_list",
            )
        ),
        "5000 bytes where a few were expected",
    ),
}


@pytest.mark.parametrize("case", STRANGE_NAMES)
def test_refused_names(tmp_path: Path, case: str) -> None:
    content, problem = STRANGE_NAMES[case]
    text = refused(write(tmp_path, content), names=True)
    assert problem in text
    assert "--skip-bad" not in text, "the list can't be skipped"


def test_only_regular_files(tmp_path: Path) -> None:
    path = tmp_path / "a.mat"
    assert "no such file; add it" in refused(path)
    path.mkdir()
    assert "not a regular file" in refused(path)
    path.rmdir()
    os.mkfifo(path)
    assert "not a regular file" in refused(path)
    path.unlink()
    path.symlink_to(path)
    assert "can't be read" in refused(path)
    assert "can't be read" in refused(tmp_path / ("n" * 300))
    with pytest.raises(InputError, match="null byte"):
        read_labels(tmp_path / "a\0b", NAME)


# Limits


def test_bomb_is_refused_at_once(tmp_path: Path) -> None:
    # The tags of a matrix of 30,000 x 30,000 bytes, and its zeros: a hundred rows, packed once and repeated.
    side, packer = 30_000, zlib.compressobj(9)
    head = matrix(struct.pack("<II", 2, side * side), dims=(side, side))
    head = struct.pack("<II", 14, len(head) - 8 + side * side) + head[8:]
    body = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    body += (packer.compress(bytes(side * 100)) + packer.flush(zlib.Z_FULL_FLUSH)) * (side // 100)
    assert len(body) < 2**20
    path = write(tmp_path, mat(struct.pack("<II", 15, len(body)) + body))
    start = time.perf_counter()
    tracemalloc.start()
    text = refused(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "groundtruth is 30000 x 30000, more than 134217728 pixels" in text
    assert "DEOCC_MAX_PIXELS" in text
    assert time.perf_counter() - start < 1
    assert peak < 2**22


def test_memory_is_near_the_size_of_the_labels(tmp_path: Path) -> None:
    labels = np.full((2000, 2000), 58.0)
    for compressed in (False, True):
        content = mat(
            packed(matrix(numbers(labels, 9), dims=labels.shape))
            if compressed
            else matrix(numbers(labels, 9), dims=labels.shape)
        )
        path = write(tmp_path, content)
        tracemalloc.start()
        read_labels(path, NAME)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 2 * labels.size, "the file's numbers are eight times as large"


def test_limit_of_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, mat(GOOD))
    monkeypatch.delenv("DEOCC_MAX_PIXELS", raising=False)
    assert max_pixels() == 2**27
    monkeypatch.setenv("DEOCC_MAX_PIXELS", "5")
    assert "2 x 3, more than 5 pixels" in refused(path)
    monkeypatch.setenv("DEOCC_MAX_PIXELS", "6")
    np.testing.assert_array_equal(read_labels(path, NAME), LABELS)
    for bad in ("0", "-1", "1e9", "many"):
        monkeypatch.setenv("DEOCC_MAX_PIXELS", bad)
        with pytest.raises(InputError, match="DEOCC_MAX_PIXELS"):
            read_labels(path, NAME)


# Damage

SEEDS = np.random.default_rng(1).integers(0, 59, (24, 20)).astype(np.uint8)
WHOLE = {"compressed": saved(SEEDS, do_compression=True), "plain": saved(SEEDS)}
LIST = {c: saved(np.array([["null", "dress", "hair"]], object), "label_list", do_compression=c) for c in (False, True)}
damage = st.tuples(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4),
    st.floats(0, 1),
    st.booleans(),
)


def damaged(content: bytes, how: tuple[list[tuple[float, int]], float, bool], first: int = 116) -> bytes:
    """`content` with flipped bits from byte `first` on, and perhaps cut."""
    flips, end, cut = how
    data = bytearray(content)
    for where, bits in flips:
        data[first + int(where * (len(data) - first))] ^= bits
    return bytes(data[: int(end * len(data))] if cut else data)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(how=damage)
def test_damage_to_compressed_files_is_found(tmp_path: Path, how: tuple[list[tuple[float, int]], float, bool]) -> None:
    path = write(tmp_path, damaged(WHOLE["compressed"], how))
    try:
        read = read_labels(path, NAME)
    except InputError:
        return
    np.testing.assert_array_equal(read, SEEDS)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(how=damage, first=st.sampled_from([116, 128]), only_tags=st.booleans())
def test_damage_to_plain_files(
    tmp_path: Path, how: tuple[list[tuple[float, int]], float, bool], first: int, only_tags: bool
) -> None:
    # Plain numbers have no checksum, so a change in them can't be seen. Changed tags must not change them.
    flips, end, cut = how
    data = WHOLE["plain"]
    tags = data.index(SEEDS.tobytes(order="F"))
    if only_tags:
        flips = [(where * (tags - first) / (len(data) - first), bits) for where, bits in flips]
    try:
        read = read_labels(write(tmp_path, damaged(data, (flips, end, cut), first)), NAME)
    except InputError:
        return
    assert (read.dtype, read.size) == (np.dtype(np.uint8), SEEDS.size)
    if only_tags:
        np.testing.assert_array_equal(np.sort(read, axis=None), np.sort(SEEDS, axis=None))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(how=damage, compressed=st.booleans())
def test_damage_to_names(tmp_path: Path, how: tuple[list[tuple[float, int]], float, bool], compressed: bool) -> None:
    try:
        names = read_names(write(tmp_path, damaged(LIST[compressed], how)), "label_list")
    except InputError:
        return
    assert names == ["null", "dress", "hair"] or not compressed
    assert all(isinstance(name, str) for name in names)
