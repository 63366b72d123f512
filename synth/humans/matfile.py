"""Reads label maps and lists of names from MATLAB files of version 5 to 7, with every size checked before it is used.

The format is "MAT-File Level 5" of MathWorks' "MAT-File Format". A file is a row of elements: a tag with type and size,
then the content. Only one variable is read: a real numeric matrix, or a cell array of texts. Memory stays near the size
of the result, whatever the file claims, because content is read and decompressed in blocks.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

import numpy as np

from deocc_bench.core.errors import InputError
from deocc_bench.core.pixels import max_pixels
from deocc_bench.core.reading import NotRegularError, note_file, open_regular

# Bytes that are decompressed, and read, at a time.
_BLOCK, _PACKED = 1 << 20, 1 << 16
_HEADER = 128
# Types of elements.
_INT32, _UINT32, _MATRIX, _COMPRESSED = 5, 6, 14, 15
# Classes of matrices; those from 6 to 15 are numbers.
_CELL, _CHAR, _OPAQUE = 1, 4, 17
_NUMERIC = range(6, 16)
_CLASSES = {1: "a cell array", 2: "a struct", 3: "an object", 4: "text", 5: "sparse", 16: "a function", 17: "an object"}
_COMPLEX = 0x0800
# Element type -> how numbers are stored, without the byte order. MATLAB stores whole numbers in the smallest type.
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXTS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
# Label ids are bytes.
_MAX_NAMES = 256
# The largest size, in bytes, of a name, a text or a list of dimensions.
_MAX_SMALL = 4096
_CUT = "is cut: it ends before its content does"

T = TypeVar("T")


class _Refused(Exception):
    """Why the file is refused, and the cure if it is not the usual one."""

    def __init__(self, problem: str, cure: str = "") -> None:
        super().__init__(problem)
        self.problem, self.cure = problem, cure


class _Content(Protocol):
    """The content of an element, in order."""

    def take(self, count: int) -> bytes:
        """The next `count` bytes."""
        ...


def read_labels(path: Path, variable: str) -> np.ndarray:
    """Read a numeric matrix of label ids from 0 to 255: uint8 H x W, columns first in memory, as MATLAB stores it.

    Raises:
        InputError: the file is missing, broken or of another version, lacks the variable, or contains something else.
    """
    with _told(path, "replace the file, or skip it with --skip-bad"), _opened(path) as file:
        return _find(file, variable, _labels)


def read_names(path: Path, variable: str) -> list[str]:
    """Read a cell array of at most 256 texts.

    Raises:
        InputError: as for `read_labels`.
    """
    with _told(path, "replace the file"), _opened(path) as file:
        return _find(file, variable, _names)


@contextmanager
def _told(path: Path, cure: str) -> Iterator[None]:
    """Turns every failure into an InputError that names the file."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(path, "no such file", "add it: it is part of the release") from None
    except NotRegularError:
        raise InputError(path, "not a regular file", cure) from None
    except _Refused as error:
        raise InputError(path, error.problem, error.cure or cure) from None
    except zlib.error:
        raise InputError(path, "its compressed data are damaged", cure) from None
    except MemoryError:
        raise InputError(path, "does not fit in memory", "lower DEOCC_MAX_PIXELS, or replace the file") from None
    except (OSError, ValueError) as error:
        raise InputError(path, f"can't be read ({getattr(error, 'strerror', None) or error})", cure) from error


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with open_regular(path) as file:
        note_file(path, file)
        yield file


def _find(file: BinaryIO, variable: str, read: Callable[[_Matrix], T]) -> T:
    """Call `read` with the variable's matrix; other variables are skipped."""
    order = _byte_order(file.read(_HEADER))
    at, size = _HEADER, os.fstat(file.fileno()).st_size
    while at < size:
        file.seek(at)
        content: _Plain | _Inflated = _Plain(file)
        kind, count = struct.unpack(order + "II", content.take(8))
        at += 8 + count
        if kind not in (_MATRIX, _COMPRESSED):
            raise _Refused(f"has an element of unknown type {kind}")
        if at > size:
            raise _Refused(_CUT)
        if kind == _COMPRESSED:
            content = _Inflated(file, count)
            kind, count = struct.unpack(order + "II", content.take(8))
            if kind != _MATRIX:
                raise _Refused(f"has an element of unknown type {kind}")
        matrix = _Matrix(content, order, count)
        if matrix.name == variable:
            result = read(matrix)
            content.finish()
            return result
    raise _Refused(f"has no variable {variable}")


def _byte_order(header: bytes) -> str:
    """The character of `struct` for the byte order."""
    if not header:
        raise _Refused("is empty")
    if header.startswith(b"\x89HDF"):
        raise _Refused("MATLAB 7.3 files can't be read", "save it with -v7")
    # Version 4 begins with a number below 5000, in either byte order; later ones with text.
    if len(header) >= 20 and any(struct.unpack_from(form + "I", header)[0] < 5000 for form in "<>"):
        raise _Refused("MATLAB 4 files can't be read", "save it with -v7")
    if len(header) < _HEADER or header[126:] not in (b"IM", b"MI"):
        raise _Refused("not a MATLAB file")
    order = "<" if header[126:] == b"IM" else ">"
    (version,) = struct.unpack(order + "H", header[124:126])
    if version == 0x0200:
        raise _Refused("MATLAB 7.3 files can't be read", "save it with -v7")
    if version != 0x0100:
        raise _Refused(f"MATLAB file of unknown version {version:#06x}")
    return order


class _Plain:
    """The bytes of a file from where it is."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def take(self, count: int) -> bytes:
        """See `_Content.take`."""
        data = self._file.read(count)
        if len(data) < count:
            raise _Refused(_CUT)
        return data

    def finish(self) -> None:
        """Nothing is left to check."""


class _Inflated:
    """The decompressed content of the next `size` bytes of a file; never more than what is asked for is in memory."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._left = file, size
        self._inflater, self._packed = zlib.decompressobj(), b""

    def take(self, count: int) -> bytes:
        """See `_Content.take`."""
        parts = list(self._parts(count))
        if sum(map(len, parts)) < count:
            raise _Refused(_CUT)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def finish(self) -> None:
        """Check that the data end here, and their checksum."""
        if any(self._parts(1)):
            raise _Refused("has more data than its sizes say")
        if not self._inflater.eof:
            raise _Refused(_CUT)

    def _parts(self, count: int) -> Iterator[bytes]:
        """Up to `count` bytes, in parts; fewer only at the end."""
        while count and not self._inflater.eof:
            if not self._packed and self._left:
                self._packed = self._file.read(min(self._left, _PACKED))
                self._left = self._left - len(self._packed) if self._packed else 0
            part = self._inflater.decompress(self._packed, count)
            self._packed = self._inflater.unconsumed_tail
            if not part and not self._packed and not self._left:
                return
            count -= len(part)
            yield part


class _Matrix:
    """A matrix element: its header, and then the elements inside it, in order.

    Args:
        content: where the matrix's own tag has been read from.
        order: byte order, as in `struct`.
        size: size of the matrix in bytes, from its tag.
    """

    def __init__(self, content: _Content, order: str, size: int) -> None:
        self._content, self._order, self._left = content, order, size
        kind, flags = self.small()
        if kind != _UINT32 or len(flags) != 8:
            raise _Refused("has a matrix with bad flags")
        (word,) = struct.unpack(order + "I", flags[:4])
        self.kind, self.is_complex = word & 0xFF, bool(word & _COMPLEX)
        # These have no dimensions.
        kind, dims = (_INT32, b"") if self.kind == _OPAQUE else self.small()
        if kind not in (_INT32, _UINT32) or len(dims) % 4:
            raise _Refused("has a matrix with bad dimensions")
        self.shape = struct.unpack(f"{order}{len(dims) // 4}i", dims)
        self.name = self.small()[1].decode("latin-1")

    @property
    def what(self) -> str:
        """What the matrix is, in words."""
        if self.kind not in _NUMERIC:
            return _CLASSES.get(self.kind, f"of unknown class {self.kind}")
        return "complex" if self.is_complex else "numbers"

    def take(self, count: int) -> bytes:
        """The next `count` bytes; see `_Content.take`."""
        self.check_room(count)
        self._left -= count
        return self._content.take(count)

    def check_room(self, count: int) -> None:
        """Refuse the file if fewer than `count` bytes are left."""
        if count > self._left:
            raise _Refused("has sizes that contradict each other")

    def tag(self) -> tuple[int, int, bytes | None]:
        """(type, size in bytes, content if it is so small that it is in the tag) of the next element."""
        data = self.take(8)
        first, second = struct.unpack(self._order + "II", data)
        if not first >> 16:
            return first, second, None
        if first >> 16 > 4:
            raise _Refused("has a tag with a bad size")
        return first & 0xFFFF, first >> 16, data[4 : 4 + (first >> 16)]

    def small(self) -> tuple[int, bytes]:
        """(type, content) of the next element, a small one."""
        kind, count, content = self.tag()
        if count > _MAX_SMALL:
            raise _Refused(f"has {count} bytes where a few were expected")
        return kind, b"".join(self.blocks(count)) if content is None else content

    def blocks(self, count: int) -> Iterator[bytes]:
        """The content of the element whose tag was read last."""
        for start in range(0, count, _BLOCK):
            yield self.take(min(_BLOCK, count - start))
        padding = min(-count % 8, self._left)
        if padding:
            self.take(padding)

    def child(self) -> _Matrix:
        """The matrix in the next cell."""
        kind, count, _ = self.tag()
        if kind != _MATRIX or not count:
            raise _Refused("has an empty or broken cell")
        return _Matrix(self, self._order, count)

    def finish(self) -> None:
        """Check that all content was read."""
        if self._left:
            raise _Refused("has a matrix with more data than its sizes say")

    def decode(self, data: bytes, encoding: str) -> str:
        """Decode text; encodings of wide characters take the file's byte order."""
        suffix = {"<": "-le", ">": "-be"}[self._order] if encoding in ("utf-16", "utf-32") else ""
        return data.decode(encoding + suffix)

    def number_type(self, kind: int) -> np.dtype:
        """The dtype of an element's numbers."""
        if kind not in _NUMBERS:
            raise _Refused(f"{self.name} has numbers of unknown type {kind}")
        return np.dtype(self._order + _NUMBERS[kind])


def _labels(matrix: _Matrix) -> np.ndarray:
    """uint8 H x W from a matrix of real numbers."""
    if matrix.kind not in _NUMERIC or matrix.is_complex:
        raise _Refused(f"{matrix.name} is {matrix.what}, not a matrix of real numbers")
    height, width = _two(matrix)
    pixels = height * width
    limit = max_pixels()
    if pixels > limit:
        cure = "replace the file, raise DEOCC_MAX_PIXELS, or skip the file with --skip-bad"
        raise _Refused(f"{matrix.name} is {height} x {width}, more than {limit} pixels", cure)
    kind, count, content = matrix.tag()
    dtype = matrix.number_type(kind)
    if count != pixels * dtype.itemsize:
        raise _Refused(f"{matrix.name} has {count} bytes, but {height} x {width} numbers of {dtype.itemsize}")
    if content is None:
        matrix.check_room(count)
    labels = np.empty(pixels, np.uint8)
    done = 0
    for block in matrix.blocks(count) if content is None else (content,):
        numbers = np.frombuffer(block, dtype)
        labels[done : done + len(numbers)] = _ids(numbers, matrix.name)
        done += len(numbers)
    matrix.finish()
    return labels.reshape((height, width), order="F")


def _ids(numbers: np.ndarray, name: str) -> np.ndarray:
    """The numbers as uint8."""
    if numbers.dtype == np.uint8:
        return numbers
    # Comparing a signalling NaN warns.
    with np.errstate(invalid="ignore"):
        lowest, highest = numbers.min(), numbers.max()
        if not (lowest >= 0 and highest <= 255):
            raise _Refused(f"{name} has values from {lowest} to {highest}, not label ids from 0 to 255")
        ids = numbers.astype(np.uint8)
        if numbers.dtype.kind == "f" and (ids != numbers).any():
            raise _Refused(f"{name} has the value {numbers[ids != numbers][0]}, which is not a whole number")
    return ids


def _names(matrix: _Matrix) -> list[str]:
    """The texts of a row or column of cells."""
    if matrix.kind != _CELL:
        raise _Refused(f"{matrix.name} is {matrix.what}, not a cell array")
    height, width = _two(matrix)
    if min(height, width) > 1 or height * width > _MAX_NAMES:
        raise _Refused(f"{matrix.name} is {height} x {width}, not a list of at most {_MAX_NAMES} names")
    names = [_text(matrix.child(), f"cell {i + 1} of {matrix.name}") for i in range(height * width)]
    matrix.finish()
    return names


def _text(matrix: _Matrix, where: str) -> str:
    if matrix.kind != _CHAR:
        raise _Refused(f"{where} is {matrix.what}, not text")
    if len(matrix.shape) != 2 or matrix.shape[0] != 1:
        raise _Refused(f"{where} is not one line of text")
    kind, content = matrix.small()
    if kind not in _TEXTS:
        raise _Refused(f"{where} has text of unknown type {kind}")
    try:
        text = matrix.decode(content, _TEXTS[kind])
    except UnicodeDecodeError:
        raise _Refused(f"{where} is not valid {_TEXTS[kind]}") from None
    if len(text) != matrix.shape[1]:
        raise _Refused(f"{where} has {len(text)} characters, not {matrix.shape[1]}")
    matrix.finish()
    return text


def _two(matrix: _Matrix) -> tuple[int, int]:
    """(height, width)."""
    if len(matrix.shape) != 2 or min(matrix.shape) < 1:
        size = " x ".join(map(str, matrix.shape[:8]))
        raise _Refused(f"{matrix.name} is {size}, not height x width")
    height, width = matrix.shape
    return height, width
