"""Moving one piece so that whoever kills the process finds none of it in our hands."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from itertools import tee
from operator import add

from hpctrack.client.console_page import READ_WORD, UNSURE, WRITTEN_WORD, Page
from hpctrack.client.console_route import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_is_positive = (0).__lt__


class Mover:
    """Reads a piece and writes it on, as one act where the interpreter can do that.

    Python gives its lock to another thread between any two steps of a program; that thread may
    then run C code for as long as it likes, or crash. A piece that is read and not yet written
    would be lost, or be overtaken by what the agent moves meanwhile. So the steps from reading to
    writing are chained as iterators of C functions: the lock is kept from the one system call to
    the other, and the numbers of bytes are noted in the shared page on the way. Where the original
    is non-blocking, the lock is kept while it is written to and until that is noted, too.

    Without ctypes, `os.readv` gives the lock away in between.

    Parameters
    ----------
    page : Page
        The memory that is read to.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._c = _find_functions()
        self._address = 0
        if self._c is not None:
            self._pin, self._address = _pin(page.piece)

    def take(self, route: Route) -> int | None:
        """Read a piece and write what the original takes of it.

        Returns
        -------
        int or None
            Its bytes; 0 if nothing is there to be read now, None if nothing ever will be.

        Raises
        ------
        OSError
            It could be read, not written.
        """
        is_sure = self._c is not None and route.is_quick
        note = self._page.announce_piece(route.stream, is_sure=is_sure)
        if self._c is None:
            return self._take_in_steps(route)
        read, write, set_errno = self._c
        set_errno(0)
        # Nothing is read if the agent claims the bytes, and it gives us time between its claim
        # and its first read: so the question belongs to the chain.
        sizes = map(add, self._page.iter_unclaimed(), (route.piece_bytes,))
        counted = map(read, (route.read_fd,), (self._address,), sizes)
        noted, counts = tee(filter(_is_positive, counted))
        written: Iterator[int]
        if is_sure:
            written = filter(_is_positive, map(write, (route.out_fd,), (self._address,), counts))
        else:
            pieces = map(self._page.piece.__getitem__, map(slice, counts))
            written = map(os.write, (route.out_fd,), pieces)
        finished = map(note, (WRITTEN_WORD,), written)
        try:
            next(zip(map(note, (READ_WORD,), noted), finished, strict=False), None)
        except BlockingIOError:
            note(WRITTEN_WORD, 0)
        start, size = self._page.piece_range
        if not size:
            return _nothing(route, set_errno(0))
        if is_sure and not start:
            _check(set_errno(0))
        return size

    def push(self, route: Route) -> bool:
        """Write what is left of the piece; say whether all of it is out.

        Raises
        ------
        OSError
            It could not be written.
        """
        start, size = self._page.piece_range
        if start >= size:
            return True
        if self._c is None or not route.is_quick:
            note = self._page.get_notepad()
            note(WRITTEN_WORD, UNSURE)
            try:
                note(WRITTEN_WORD, start + os.write(route.out_fd, self._page.piece[start:size]))
            except BlockingIOError:
                note(WRITTEN_WORD, start)
            return False
        _read, write, set_errno = self._c
        set_errno(0)
        written = map(write, (route.out_fd,), (self._address + start,), (size - start,))
        sums = map(add, (start,), filter(_is_positive, written))
        if next(map(self._page.get_notepad(), (WRITTEN_WORD,), sums), self) is self:
            _check(set_errno(0))
        return False

    def _take_in_steps(self, route: Route) -> int | None:
        try:
            count = os.readv(route.read_fd, [self._page.piece[: route.piece_bytes]])
        except OSError as error:
            return _nothing(route, error.errno or errno.EIO)
        if not count:
            return None
        note = self._page.get_notepad()
        note(READ_WORD, count)
        note(WRITTEN_WORD, 0)
        self.push(route)
        return count


def _find_functions() -> tuple[Any, Any, Any] | None:
    """Return C's ``read`` and ``write`` that keep the lock, and what exchanges their error."""
    try:
        import ctypes  # noqa: PLC0415 - 2 ms, and not every Python has it

        library = ctypes.PyDLL(None, use_errno=True)
        functions = library.read, library.write
        for function in functions:
            function.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)
            function.restype = ctypes.c_ssize_t
    except (ImportError, OSError, AttributeError):
        return None
    return (*functions, ctypes.set_errno)


def _pin(memory: memoryview) -> tuple[object, int]:
    """Return what keeps the memory where it is as long as it lives, and where that is."""
    import ctypes  # noqa: PLC0415 - loaded by `_find_functions`

    first = ctypes.c_char.from_buffer(memory)
    return first, ctypes.addressof(first)


def _check(number: int) -> None:
    """Raise what a write has met, unless that will pass."""
    if number not in {0, errno.EAGAIN, errno.EINTR}:
        raise OSError(number, os.strerror(number))


def _nothing(route: Route, number: int) -> int | None:
    """Tell "not now" from "never again": a pseudo-terminal ends with EIO, a pipe without error."""
    if number:
        return 0 if number in {errno.EAGAIN, errno.EINTR} else None
    return None if route.has_ended() else 0
