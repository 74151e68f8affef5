"""A stream over two file descriptors: pipes, sockets, the standard streams."""

from __future__ import annotations

import os
import select
import threading
import time

WRITE_TIMEOUT_S = 600.0
"""A peer that takes nothing for so long hangs, say on a dead file system: an error, not a wait."""

HELD_BYTES = 16 * 1024 * 1024
"""How much is taken from the peer while it does not take ours: as much as an SSH window, so that
a conversation that cannot stop over one carrier cannot stop over another either."""

TAKE_BYTES = 1024 * 1024
"""At once; room for it is made before it is known how much there is."""

TURN_S = 0.05
"""How often a writer looks whether it should take what comes: a thread that was reading may have
gone to work, or has made room."""


class FdStream:
    """Reads from one descriptor and writes to another; closes neither.

    Two sides that both write never wait for each other: whoever waits for room takes meanwhile
    what the other one says. One thread may read while others write, one at a time.

    Parameters
    ----------
    read_fd, write_fd : int
        Made non-blocking here; may be the same.
    """

    def __init__(self, read_fd: int, write_fd: int) -> None:
        os.set_blocking(read_fd, False)
        os.set_blocking(write_fd, False)
        self._read_fd = read_fd
        self._write_fd = write_fd
        self._held = bytearray()
        self._end: OSError | bool = False  # how the input ended while we were writing
        self._reading = threading.Lock()

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        with self._reading:
            return self._read(max_bytes, timeout_s)

    def _read(self, max_bytes: int, timeout_s: float) -> bytes:
        if self._held:
            data = bytes(self._held[:max_bytes])
            del self._held[:max_bytes]
            return data
        if self._end:
            return self._read_end()
        while True:
            try:
                return os.read(self._read_fd, min(max_bytes, TAKE_BYTES))
            except BlockingIOError:
                _wait({self._read_fd: select.POLLIN}, timeout_s)

    def poll(self, timeout_s: float) -> bool:
        """Tell whether a read would return at once, with bytes or with the end."""
        if self._held or self._end:
            return True
        return bool(_poll({self._read_fd: select.POLLIN}, timeout_s))

    def write(self, data: bytes) -> None:
        """Send everything."""
        view = memoryview(data)
        last_mono_s = time.monotonic()
        while view:
            try:
                view = view[os.write(self._write_fd, view) :]
            except BlockingIOError:
                self._wait_for_room(last_mono_s + WRITE_TIMEOUT_S - time.monotonic())
            else:
                last_mono_s = time.monotonic()

    def _wait_for_room(self, timeout_s: float) -> None:
        """Return when there may be room; what comes meanwhile is held for the next read."""
        events, turn_s = {self._write_fd: select.POLLOUT}, timeout_s
        if not self._end and len(self._held) < HELD_BYTES and not self._reading.locked():
            events[self._read_fd] = events.get(self._read_fd, 0) | select.POLLIN
        elif not self._end:
            turn_s = min(timeout_s, TURN_S)
        ready = _poll(events, turn_s)
        if not ready and turn_s == timeout_s:
            raise _time_out(timeout_s)
        is_taking = self._read_fd != self._write_fd or events[self._read_fd] & select.POLLIN
        if is_taking and ready.get(self._read_fd, 0) & ~select.POLLOUT:
            self._take()

    def _take(self) -> None:
        """Take what has come, unless another thread is just doing that."""
        if self._reading.acquire(blocking=False):
            try:
                self._take_alone()
            finally:
                self._reading.release()

    def _take_alone(self) -> None:
        try:
            data = os.read(self._read_fd, TAKE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end = error  # the read that would have met it will
            return
        self._held += data
        self._end = not data

    def _read_end(self) -> bytes:
        if isinstance(self._end, OSError):
            raise self._end
        return b""


def _wait(events: dict[int, int], timeout_s: float) -> dict[int, int]:
    """Return what is ready of descriptors and their events; raise `TimeoutError` for nothing."""
    ready = _poll(events, timeout_s)
    if not ready:
        raise _time_out(timeout_s)
    return ready


def _time_out(timeout_s: float) -> TimeoutError:
    return TimeoutError(f"nothing for {max(timeout_s, 0):g} s")


def _poll(events: dict[int, int], timeout_s: float) -> dict[int, int]:
    poller = select.poll()
    for fd, event in events.items():
        poller.register(fd, event)
    return dict(poller.poll(max(timeout_s, 0) * 1000))
