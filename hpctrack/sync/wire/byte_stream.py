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

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once, with bytes or with the end.

        Waits at most so long for it; 0 does not wait. A connection that broke counts as an end.
        """
        ...

    def write(self, data: bytes) -> None:
        """Send everything; blocks while the other side is slow.

        Two sides that both write never wait for each other: what comes meanwhile is taken and
        held for the next read, up to 16 MiB.

        Raises
        ------
        TimeoutError, ConnectionError
            It has stopped reading; it is gone.
        """
        ...
