"""A stream over two file descriptors: pipes, sockets, the standard streams."""

from __future__ import annotations

import os
import select

WRITE_TIMEOUT_S = 600.0
"""A peer that takes nothing for so long hangs, say on a dead file system: an error, not a wait."""


class FdStream:
    """Reads from one descriptor and writes to another; closes neither.

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

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return at least one byte, or none at the end."""
        while True:
            try:
                return os.read(self._read_fd, max_bytes)
            except BlockingIOError:
                _wait(self._read_fd, select.POLLIN, timeout_s)

    def write(self, data: bytes) -> None:
        """Send everything."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._write_fd, view) :]
            except BlockingIOError:
                _wait(self._write_fd, select.POLLOUT, WRITE_TIMEOUT_S)


def _wait(fd: int, event: int, timeout_s: float) -> None:
    poller = select.poll()
    poller.register(fd, event)
    if not poller.poll(timeout_s * 1000):
        raise TimeoutError(f"nothing for {timeout_s:g} s")
