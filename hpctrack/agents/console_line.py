"""One pipe of a rank's console, as the agent holds it: moving bytes without ever waiting."""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import termios
from dataclasses import dataclass, field

from hpctrack.client.console_route import (
    LARGE_PIECE_BYTES,
    SMALL_PIECE_BYTES,
    find_position,
    reopen,
)

LOOK_BYTES = 1024 * 1024
"""What one look moves at most: the agent has other ranks to serve."""


class Outlet:
    """An original: somebody's terminal, file, pipe or socket, that must never make us wait.

    Parameters
    ----------
    fd : int
        Owned.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        mode = os.fstat(fd).st_mode
        self._is_file = stat.S_ISREG(mode)
        self._socket: socket.socket | None = None
        if stat.S_ISSOCK(mode):
            self._socket = socket.socket(fileno=fd)
        else:
            own = reopen(fd)
            if own >= 0:
                os.close(fd)
                self._fd = own

    def find_position(self) -> int:
        """Return where the next byte goes in a file; -1 for anything else."""
        return find_position(self._fd) if self._is_file else -1

    def has_room(self) -> bool:
        """Whether it takes something now, or has an error to tell."""
        if self._is_file:
            return True
        poller = select.poll()
        poller.register(self._fd, select.POLLOUT)
        return bool(poller.poll(0))

    def write(self, data: bytearray) -> int:
        """Write as much of the beginning as goes at once and now; return how much that was.

        Raises
        ------
        OSError
            The other end has gone, or the disk is full.
        """
        if not self.has_room():
            return 0
        piece = bytes(data[: LARGE_PIECE_BYTES if self._is_file else SMALL_PIECE_BYTES])
        try:
            if self._socket is not None:
                return self._socket.send(piece, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            return os.write(self._fd, piece)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close it."""
        if self._socket is not None:
            self._socket.close()
        else:
            with contextlib.suppress(OSError):
                os.close(self._fd)


@dataclass(slots=True, eq=False)
class Line:
    """One read end and its original."""

    stream: int
    read_fd: int
    outlet: Outlet
    held: bytearray = field(default_factory=bytearray)
    is_open: bool = True

    def needs_help(self) -> bool:
        """Whether more than half a pipe waits, or anything in a terminal, and could go on."""
        has_input = bool(self._poll() & select.POLLIN)
        return has_input and _is_half_full(self.read_fd) and self.outlet.has_room()

    def has_ended(self) -> bool:
        """Whether nobody can write any more and nothing is left."""
        return self._poll() & (select.POLLHUP | select.POLLIN) == select.POLLHUP

    def move(self, hold_bytes: int) -> list[bytes]:
        """Move what is there to the original; return what it was.

        Parameters
        ----------
        hold_bytes : int
            How much may be read that the original does not take now. 0: read only what it takes.
        """
        moved: list[bytes] = []
        count = 0
        while self.is_open and count < LOOK_BYTES:
            is_out = self.push() and self.outlet.has_room()
            if not is_out and len(self.held) >= hold_bytes:
                break
            data = self._read()
            if not data:
                break
            moved.append(data)
            count += len(data)
            self.held += data
        self.push()
        return moved

    def push(self) -> bool:
        """Write what is held, as far as that goes now; return whether all of it is out."""
        while self.held:
            try:
                count = self.outlet.write(self.held)
            except OSError as error:
                # As the writer's own write would have been: lost, and on a closed pipe the last.
                self.held.clear()
                if error.errno in {errno.EPIPE, errno.ECONNRESET, errno.EIO}:
                    self.close_input()
                break
            if not count:
                break
            del self.held[:count]
        return not self.held

    def _read(self) -> bytes:
        try:
            data = os.read(self.read_fd, SMALL_PIECE_BYTES)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:  # EIO: the end of a pseudo-terminal
            data = b""
        if not data:
            self.close_input()
        return data

    def _poll(self) -> int:
        if not self.is_open:
            return select.POLLHUP
        poller = select.poll()
        poller.register(self.read_fd, select.POLLIN)
        return next((event for _fd, event in poller.poll(0)), 0)

    def close_input(self) -> None:
        """Read no more."""
        if self.is_open:
            self.is_open = False
            os.close(self.read_fd)

    def close(self) -> None:
        """Close both ends."""
        self.close_input()
        self.outlet.close()


def _is_half_full(fd: int) -> bool:
    """Whether a pipe is; of a pseudo-terminal nobody can tell, so any byte counts."""
    try:
        size = fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ)
    except OSError:
        return True
    waiting = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, waiting)
    return waiting[0] > size // 2
