"""One way that console bytes take: from the program's descriptor through ours to the original.

And what is done to descriptors on the way: ours keep out of the program's.
"""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat

from hpctrack.core.ring import identify, is_same
from hpctrack.core.wire import STREAMS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

FIRST_FD = 10
"""Ours lie at or above it: scripts and programs use the low numbers by name."""

PIPE_MAX_BYTES = 1024 * 1024
"""What an unprivileged process may ask for, see pipe(7)."""

NODE_PIPE_BYTES = 16 * 1024 * 1024
"""All pipes of a node's ranks together. A user who has more than 64 MiB of pipes on a node gets
tiny ones from then on, everywhere (pipe-user-pages-soft); the program's own must not suffer."""

PIPE_DEFAULT_BYTES = 64 * 1024

SMALL_PIECE_BYTES = 4096
"""PIPE_BUF: after POLLOUT a pipe takes this much at once, so nothing is held while it is full."""

LARGE_PIECE_BYTES = 64 * 1024


def find_position(fd: int) -> int:
    """Return where the next byte goes in a file; -1 if it has no such place."""
    try:
        if fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND:
            return os.fstat(fd).st_size
        return os.lseek(fd, 0, os.SEEK_CUR)
    except OSError:
        return -1


class Route:
    """A pipe or pseudo-terminal in the place of one or two of the program's descriptors.

    Parameters
    ----------
    stream : int
        1 or 2: what the bytes are recorded as.
    numbers : tuple of int
        The program's descriptors: (1,), (2,), or (1, 2) if both led to one place.
    read_fd : int
        Where the bytes come out.
    saved : tuple of int
        What the program's descriptors were; the bytes go to the first.
    inner, ours : tuple
        What `identify` says of the side that the program writes to, and of our two descriptors.
    is_terminal, is_file : bool
        What the original is.

    Attributes
    ----------
    own_fd : int
        The original once more, non-blocking without anybody else noticing; -1 if that cannot be.
    """

    def __init__(
        self,
        *,
        stream: int,
        numbers: tuple[int, ...],
        read_fd: int,
        saved: tuple[int, ...],
        inner: tuple[int, int],
        ours: tuple[tuple[int, int], tuple[int, int]],
        is_terminal: bool,
        is_file: bool,
    ) -> None:
        self.stream = stream
        self.numbers = numbers
        self.read_fd = read_fd
        self.saved = saved
        self.inner = inner
        self.ours = ours
        self.is_terminal = is_terminal
        self.is_file = is_file
        self.own_fd = -1
        self.has_input = False
        self.window = (0, 0)

    @property
    def original_fd(self) -> int:
        """Where the bytes go; -1 when it is closed."""
        return self.saved[0] if self.saved else -1

    @property
    def is_quick(self) -> bool:
        """Whether a write to the original never waits."""
        return self.own_fd >= 0

    @property
    def out_fd(self) -> int:
        """What is written to."""
        return self.own_fd if self.own_fd >= 0 else self.original_fd

    @property
    def piece_bytes(self) -> int:
        """How much to move at once."""
        return LARGE_PIECE_BYTES if self.is_file else SMALL_PIECE_BYTES

    def restore(self) -> None:
        """Put the original back where the program has not put something else since."""
        for number, saved in zip(self.numbers, self.saved, strict=False):
            try:
                if is_same(number, self.inner) and is_same(saved, self.ours[1]):
                    os.dup2(saved, number)
            except OSError:
                pass  # the program has closed it

    def is_intact(self) -> bool:
        """Whether our descriptors are still ours.

        Programs close all that they do not know, and a number may mean their own file since.
        """
        return is_same(self.read_fd, self.ours[0]) and all(
            is_same(fd, self.ours[1]) for fd in (self.original_fd, self.out_fd)
        )

    def has_ended(self) -> bool:
        """Whether nobody can write any more and nothing is left."""
        poller = select.poll()
        poller.register(self.read_fd, select.POLLIN)
        events = next((event for _fd, event in poller.poll(0)), 0)
        return events & (select.POLLHUP | select.POLLIN) == select.POLLHUP

    def has_room(self) -> bool:
        """Whether the original takes a piece (or an error) now. Files always do."""
        return self.is_file or self._poll(0)

    def wait_for_room(self) -> None:
        """Wait until the original takes something again, for as long as that lasts."""
        self._poll(None)

    def _poll(self, timeout_ms: int | None) -> bool:
        poller = select.poll()
        poller.register(self.out_fd, select.POLLOUT)
        return bool(poller.poll(timeout_ms))

    def follow_window(self) -> None:
        """Give the pseudo-terminal the terminal's size, if that has changed."""
        if not self.is_terminal:
            return
        import termios  # noqa: PLC0415 - see _copy_modes

        try:
            size = termios.tcgetwinsize(self.original_fd)
            if size != self.window:
                termios.tcsetwinsize(self.read_fd, size)
                self.window = size
        except (OSError, termios.error):
            pass  # it has gone, or is none that has a size

    def close(self) -> None:
        """Close all that is ours."""
        self.close_input()
        saved, self.saved = self.saved, ()
        if self.own_fd >= 0:
            saved = (*saved, self.own_fd)
            self.own_fd = -1
        close_own(saved, self.ours[1])

    def close_input(self) -> None:
        """Close the end that we read from."""
        fd, self.read_fd = self.read_fd, -1
        close_own((fd,), self.ours[0])


def make_routes(numbers: tuple[int, ...], *, pipe_bytes: int) -> list[Route]:
    """Put ourselves between the program and its standard output and error.

    Where both lead to one terminal, pipe or file, they get one route: two could not keep the order
    in which a program writes to them in turn, and people would see it (a progress bar on standard
    error torn by what is printed to standard output). The record then holds both as stream 1.

    Parameters
    ----------
    numbers : tuple of int
        Those of 1 and 2 that are open.
    pipe_bytes : int
        Size of each pipe; smaller if the kernel says so.

    Raises
    ------
    OSError
        It cannot be done; everything is as it was.
    """
    routes: list[Route] = []
    try:
        # One at a time into the list: those that were made are unmade if another cannot be.
        routes.extend(_make_route(group, pipe_bytes) for group in _group(numbers))
    except OSError:
        for route in routes:
            route.restore()
            route.close()
        raise
    return routes


def size_pipes(local_size: int) -> int:
    """Return how large each of a rank's two pipes may be, given how many ranks the node has."""
    share = NODE_PIPE_BYTES // (2 * max(1, local_size))
    return max(PIPE_DEFAULT_BYTES, min(PIPE_MAX_BYTES, share))


def _group(numbers: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Return those that lead to one place together."""
    if numbers == STREAMS and _is_one_place(*numbers):
        return [numbers]
    return [(number,) for number in numbers]


def _is_one_place(first: int, second: int) -> bool:
    if identify(first) != identify(second):
        return False
    mode = os.fstat(first).st_mode
    return not stat.S_ISCHR(mode) or os.isatty(first)  # the order in /dev/null is nobody's business


def _make_route(numbers: tuple[int, ...], pipe_bytes: int) -> Route:
    is_terminal = os.isatty(numbers[0])
    opened: list[int] = []
    try:
        for number in numbers:
            opened += [fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)]
        saved = tuple(opened)
        read, write = os.openpty() if is_terminal else os.pipe2(os.O_CLOEXEC)
        opened += [read, write]
        read, write = opened[-2:] = raise_both(read, write)
        if is_terminal:
            _copy_modes(saved[0], write)
        else:
            _enlarge(write, pipe_bytes)
        os.set_blocking(read, False)
        route = Route(
            stream=numbers[0],
            numbers=numbers,
            read_fd=read,
            saved=saved,
            inner=identify(write),
            ours=(identify(read), identify(saved[0])),
            is_terminal=is_terminal,
            is_file=stat.S_ISREG(os.fstat(saved[0]).st_mode),
        )
        route.follow_window()
        for number in numbers:
            os.dup2(write, number)
        route.own_fd = reopen(saved[0])
    except OSError:
        for number, fd in zip(numbers, opened, strict=False):
            try:
                os.dup2(fd, number)
            except OSError:
                pass  # the next one is put back all the same
        close_all(opened)
        raise
    os.close(write)
    return route


def _enlarge(fd: int, size_bytes: int) -> None:
    if size_bytes > PIPE_DEFAULT_BYTES:
        try:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size_bytes)
        except OSError:
            pass  # it stays as it is


def _copy_modes(original: int, slave: int) -> None:
    import termios  # noqa: PLC0415 - ranks of a job have no terminal; loaded before the first log

    try:
        modes: list[Any] = termios.tcgetattr(original)
        # The terminal itself turns \n into \r\n; done twice it would be seen.
        modes[1] &= ~termios.OPOST
        termios.tcsetattr(slave, termios.TCSANOW, modes)
    except termios.error as error:
        raise OSError(error.args[0] if error.args else errno.EIO, str(error)) from None


# -- descriptors ---------------------------------------------------------------------------------


def raise_fd(fd: int) -> int:
    """Move a descriptor out of the low numbers."""
    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    finally:
        os.close(fd)


def raise_both(read: int, write: int) -> tuple[int, int]:
    """Move two descriptors out of the low numbers, or none."""
    raised = fcntl.fcntl(read, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    try:
        result = raised, fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, FIRST_FD)
    except OSError:
        os.close(raised)
        raise
    close_all((read, write))
    return result


class FilledLowNumbers:
    """Keeps what is opened meanwhile off the descriptors 0, 1 and 2; gives which of 1, 2 are open.

    In a program that has closed its standard output, the next file would become it.
    """

    def __init__(self) -> None:
        self._fillers: list[int] = []

    def __enter__(self) -> tuple[int, ...]:
        """Fill what is not open."""
        found = tuple(number for number in STREAMS if _is_open(number))
        try:
            while not all(map(_is_open, range(3))):
                self._fillers.append(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC))
        except OSError:
            close_all(self._fillers)
            raise
        return found

    def __exit__(self, *_error: object) -> None:
        """Give the numbers back."""
        close_all(self._fillers)


def reopen(fd: int) -> int:
    """Open a terminal or pipe once more for writing, non-blocking.

    The flag belongs to what was opened, not to the descriptor: set on a duplicate it would change
    the user's shell.

    Returns
    -------
    int
        -1 if it is neither, or may not be opened.
    """
    mode = os.fstat(fd).st_mode
    if not (stat.S_ISFIFO(mode) or os.isatty(fd)):
        return -1
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        return -1


def close_own(fds: Iterable[int], identity: tuple[int, int]) -> None:
    """Close those descriptors that still are what `identify` once saw."""
    close_all([fd for fd in fds if fd >= 0 and is_same(fd, identity)])


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors; one that is closed already does not matter."""
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass
