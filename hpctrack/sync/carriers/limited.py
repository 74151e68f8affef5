"""A carrier that takes no more than so many bytes per second."""

from __future__ import annotations

import time
from collections.abc import Callable

from hpctrack.sync.carriers.transport import Transport

BURST_S = 0.1
"""What a write may send at once: longer bursts would fill the queues of a shared line, shorter ones
would cost a system call each."""

BURST_MIN_BYTES = 4096


class LimitedTransport:
    """Passes everything on, slowly.

    Parameters
    ----------
    inner : Transport
        What carries it.
    bytes_s : float
        Bytes per second that are sent at most, on average; what comes is not held up.
    mono_s, sleep : callable, optional
        For tests.
    """

    def __init__(
        self,
        inner: Transport,
        bytes_s: float,
        *,
        mono_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._inner = inner
        self._bytes_s = bytes_s
        self._mono_s = mono_s
        self._sleep = sleep
        self._free_mono_s = mono_s()

    @property
    def peer(self) -> str:
        """What people call the other side."""
        return self._inner.peer

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        return self._inner.read(max_bytes, timeout_s=timeout_s)

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once."""
        return self._inner.poll(timeout_s)

    def write(self, data: bytes) -> None:
        """Send everything, in bursts with pauses between them."""
        burst_bytes = max(BURST_MIN_BYTES, int(self._bytes_s * BURST_S))
        view = memoryview(data)
        for start in range(0, len(view), burst_bytes):
            wait_s = self._free_mono_s - self._mono_s()
            if wait_s > 0:
                self._sleep(wait_s)
            burst = bytes(view[start : start + burst_bytes])
            self._inner.write(burst)
            # Time that nobody used is not saved up for a burst.
            begun_s = max(self._free_mono_s, self._mono_s() - BURST_S)
            self._free_mono_s = begun_s + len(burst) / self._bytes_s

    def read_stderr(self) -> str:
        """Return the end of what the other side has printed so far."""
        return self._inner.read_stderr()

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status of the other side, or None if it does not come in time."""
        return self._inner.wait(timeout_s)

    def close(self) -> None:
        """End the connection."""
        self._inner.close()
