"""A least-recently-used cache with a limit in bytes, for values that can be recomputed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Values by key: at most `limit` bytes of them, but always the last one made.

    Args:
        limit: maximum size, bytes.
        size_of: returns the size of a value, bytes.
    """

    def __init__(self, limit: int, size_of: Callable[[Value], int]) -> None:
        self._limit, self._size_of = limit, size_of
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: str, make: Callable[[], Value]) -> Value:
        """Return the value of `key`; call `make` if it is not in the cache."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        made = self._values[key] = make()
        self._bytes += self._size_of(made)
        while self._bytes > self._limit and len(self._values) > 1:
            _, oldest = self._values.popitem(last=False)
            self._bytes -= self._size_of(oldest)
        return made
