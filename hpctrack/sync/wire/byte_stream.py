"""Bytes in two directions: all that a conversation asks of what carries it."""

from __future__ import annotations

from typing import Protocol


class ByteStream(Protocol):
    """Bytes in two directions."""

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end.

        Raises
        ------
        TimeoutError
            Nothing has come for that long.
        ConnectionError
            The other side is gone.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send everything; blocks while the other side is slow.

        Raises
        ------
        TimeoutError, ConnectionError
            It has stopped reading; it is gone.
        """
        ...
