"""Moving one piece so that whoever kills the process finds none of it in our hands."""

from __future__ import annotations

import errno
import os
import sys
from _operator import add  # what `operator` is made of
from itertools import tee

from hpctrack.client.console_page import READ_WORD, UNSURE, WRITTEN_WORD, Page
from hpctrack.client.console_route import Route

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
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

    Without `_ctypes`, `os.readv` gives the lock away in between.

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
        import _ctypes  # noqa: PLC0415 - not every Python has it

        read = _declare("read", "liLL", keeps_lock=True)
        write = _declare("write", "liLL", keeps_lock=True)
    except (ImportError, OSError, AttributeError, TypeError):
        return None
    return read, write, _ctypes.set_errno


def _declare(name: str, letters: str, *, keeps_lock: bool) -> Any:
    """Return one of C's functions, by way of what `ctypes` is made of: that loads five files more.

    Parameters
    ----------
    name : str
        Its name.
    letters : str
        The types of its result and of what it takes: ``i`` is an int, ``l`` a long, ``L`` an
        unsigned long or an address.
    keeps_lock : bool
        Whether the interpreter lock is kept, and its errno noted.
    """
    import _ctypes  # noqa: PLC0415 - see `_find_functions`

    flags = _ctypes.FUNCFLAG_CDECL
    if keeps_lock:
        flags |= _ctypes.FUNCFLAG_PYTHONAPI | _ctypes.FUNCFLAG_USE_ERRNO
    result, *taken = map(_make_type, letters)
    said = {"_flags_": flags, "_restype_": result, "_argtypes_": tuple(taken)}
    return type(name, (_ctypes.CFuncPtr,), said)(_find_symbol(name))


def _make_type(letter: str) -> Any:
    import _ctypes  # noqa: PLC0415 - see `_find_functions`

    return type(letter, (_ctypes._SimpleCData,), {"_type_": letter})  # noqa: SLF001 - `ctypes` has no other


def _find_symbol(name: str) -> int:
    """Return the address of something in the C library that Python itself uses."""
    import _ctypes  # noqa: PLC0415 - see `_find_functions`

    library: Any = None  # everything that is loaded
    return _ctypes.dlsym(_ctypes.dlopen(library), name)


def _pin(memory: memoryview) -> tuple[object, int]:
    """Return what keeps the memory where it is as long as it lives, and where that is."""
    import _ctypes  # noqa: PLC0415 - see `_find_functions`

    first = _make_type("c").from_buffer(memory)
    return first, _ctypes.addressof(first)


def flush_c() -> None:
    """Flush what C code has printed: not with fflush(NULL), which waits for readers of stdin."""
    if sys.modules.get("_ctypes") is None:
        return
    try:
        stdout = _make_type("L").from_address(_find_symbol("stdout"))
        _declare("fflush", "iL", keeps_lock=False)(stdout.value)
    except (OSError, AttributeError, TypeError):
        pass  # another C library


def _check(number: int) -> None:
    """Raise what a write has met, unless that will pass."""
    if number not in {0, errno.EAGAIN, errno.EINTR}:
        raise OSError(number, os.strerror(number))


def _nothing(route: Route, number: int) -> int | None:
    """Tell "not now" from "never again": a pseudo-terminal ends with EIO, a pipe without error."""
    if number:
        return 0 if number in {errno.EAGAIN, errno.EINTR} else None
    return None if route.has_ended() else 0
