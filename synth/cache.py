"""A cache bounded by bytes: what was not used for longest goes first. Holds values that can be made again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Values by key, at least the last one made and otherwise no more than `limit` bytes of them.

    Args:
        limit: bytes.
        size_of: bytes of a value.
    """

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        self._limit, self._size_of = limit, size_of
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """The value of `key`, made if it is not held."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        made = self._values[key] = make()
        self._bytes += self._size_of(made)
        while self._bytes > self._limit and len(self._values) > 1:
            _, oldest = self._values.popitem(last=False)
            self._bytes -= self._size_of(oldest)
        return made
