"""A cache with a bound in bytes: what was used last is kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """Values by key, the least recently used given up first. Not safe for several threads.

    Parameters
    ----------
    limit_bytes : int
        Bound of the sum of all sizes.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()
        self.size_bytes = 0

    def get(self, key: Hashable) -> Value | None:
        """Return a value and count it as used, or None."""
        if key not in self._held:
            return None
        self._held.move_to_end(key)
        return self._held[key][0]

    def put(self, key: Hashable, value: Value, size_bytes: int) -> None:
        """Keep a value; one that is larger than the whole cache is not kept."""
        self.drop(key)
        if size_bytes > self._limit_bytes:
            return
        self._held[key] = (value, size_bytes)
        self.size_bytes += size_bytes
        while self.size_bytes > self._limit_bytes:
            _key, (_value, freed) = self._held.popitem(last=False)
            self.size_bytes -= freed

    def drop(self, key: Hashable) -> None:
        """Forget a value."""
        if key in self._held:
            _value, freed = self._held.pop(key)
            self.size_bytes -= freed

    def __len__(self) -> int:
        """Return the number of values."""
        return len(self._held)
