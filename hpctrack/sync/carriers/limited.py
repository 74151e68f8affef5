"""A bound on the rate at which bytes are sent."""

from __future__ import annotations

import time
from collections.abc import Callable

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sync.carriers.transport import Transport

BURST_S = 0.25
"""What may be sent at once after a pause, in seconds of the rate: short, or a router's queue
fills and everybody else on the link waits."""

LEAST_PIECE_BYTES = 4096


class LimitedTransport:
    """A transport that sends at most so many bytes in a second; what it receives is not limited.

    Parameters
    ----------
    inner : Transport
        Carries it.
    rate_bytes_s : float
        At least 1.
    clock : Clock, optional
    sleep : callable, optional
        Waits for seconds.
    """

    def __init__(
        self,
        inner: Transport,
        rate_bytes_s: float,
        *,
        clock: Clock = SYSTEM_CLOCK,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not rate_bytes_s >= 1:
            raise ValueError("a rate is at least 1 byte/s")
        self._inner = inner
        self._rate_bytes_s = rate_bytes_s
        self._clock = clock
        self._sleep = sleep
        self._burst_bytes = max(rate_bytes_s * BURST_S, 1.0)
        self._piece_bytes = max(int(self._burst_bytes), min(LEAST_PIECE_BYTES, int(rate_bytes_s)))
        self._allowed_bytes = self._burst_bytes
        self._last_mono_s = clock.mono_s()

    @property
    def peer(self) -> str:
        """What people call the other side."""
        return self._inner.peer

    @property
    def carrier(self) -> str:
        """What carries it."""
        return self._inner.carrier

    @property
    def reason(self) -> str:
        """Why."""
        return self._inner.reason

    def write(self, data: bytes) -> None:
        """Send everything, as slowly as it must be."""
        for offset in range(0, len(data), self._piece_bytes):
            piece = data[offset : offset + self._piece_bytes]
            self._wait_for(len(piece))
            self._inner.write(piece)

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        return self._inner.read(max_bytes, timeout_s=timeout_s)

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once."""
        return self._inner.poll(timeout_s)

    def read_stderr(self) -> str:
        """Return the end of what the other side has printed so far."""
        return self._inner.read_stderr()

    def wait(self, timeout_s: float) -> int | None:
        """Return the other side's exit status."""
        return self._inner.wait(timeout_s)

    def close(self) -> None:
        """End the connection."""
        self._inner.close()

    def _wait_for(self, size_bytes: int) -> None:
        """Wait until so many bytes may go: a bucket that fills with time (it may go into debt)."""
        now_s = self._clock.mono_s()
        earned_bytes = (now_s - self._last_mono_s) * self._rate_bytes_s
        self._last_mono_s = now_s
        self._allowed_bytes = min(self._burst_bytes, self._allowed_bytes + earned_bytes)
        self._allowed_bytes -= size_bytes
        if self._allowed_bytes < 0:
            self._sleep(-self._allowed_bytes / self._rate_bytes_s)
