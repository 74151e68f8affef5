"""The rank's thread that passes console bytes on to where they were meant to go.

Each piece so that whoever kills the process finds none of it in our hands.
"""

from __future__ import annotations

import errno
import os
import select
import sys
import time
from _operator import add  # what `operator` is made of
from _thread import allocate_lock, start_new_thread  # see hpctrack.client.channel
from itertools import tee

from hpctrack.client.console_page import READ_WORD, UNSURE, WRITTEN_WORD, Page
from hpctrack.client.console_route import Route, close_own, find_position, raise_both
from hpctrack.core.ring import identify, is_same

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Iterator
    from typing import Any
else:
    import _signal as signal  # the same functions and numbers, without 3 ms of enumerations

BURST_BYTES = 1024 * 1024
"""What one stream may move before it is the other one's turn."""

BURST_INTERVAL_S = 0.001
"""A program that prints line by line wakes the thread this often, not once per line; nobody sees a
millisecond, but each wake-up costs the program its interpreter lock (measured: docs)."""

WINDOW_INTERVAL_S = 0.25
"""How often a terminal is asked for its size, while something is printed."""

ANSWER_LOOK_S = 0.05
"""How often somebody who waits for the thread looks whether it is still there."""

STAND_BACK_S = 0.005
CLAIM_MAX_S = 3.0
"""How long the agent's claim is respected: an agent that is stopped in mid-claim must not stop the
terminal. A healthy one keeps it while it moves bytes and the thread stands still."""

_GONE = frozenset({errno.EPIPE, errno.ENXIO, errno.ECONNRESET})
"""Whoever read the original has left; a terminal says EIO."""

_SYNCHRONOUS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT}

_is_positive = (0).__lt__


class Flag:
    """What one thread waits for until another one has raised it: `threading.Event` for a few."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._lock.acquire()

    def raise_(self) -> None:
        """Let all go on who wait, now or later."""
        try:
            self._lock.release()
        except RuntimeError:
            pass  # it is up

    def lower(self) -> None:
        """Let those wait who come from now on."""
        self._lock.acquire(blocking=False)

    def is_up(self) -> bool:
        """Whether nobody would have to wait."""
        return not self._lock.locked()

    def wait(self, timeout_s: float) -> bool:
        """Wait, for so long at most; say whether it is up."""
        if self._lock.acquire(timeout=timeout_s):
            self.raise_()
            return True
        return False


class Pump:
    """Moves bytes along routes until nobody can write to them any more.

    A process that is killed, or dies in C code, has each byte either still in the pipe, where the
    agent finds it, or at the terminal, see `Mover`.

    Parameters
    ----------
    routes : list of Route
        Taken over.
    page : Page
        Shared with the agent.
    record : callable
        Called with stream and bytes when they have been passed on, in this thread; must not block.
    """

    def __init__(
        self, routes: list[Route], page: Page, record: Callable[[int, bytes], None]
    ) -> None:
        self._routes = routes
        self._page = page
        self._record = record
        self._mover = Mover(page)
        # A pipe: an eventfd has no identity by which a number that means something else is known.
        wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wake_fds = raise_both(*wake)
        self._wake = identify(self._wake_fds[0])
        self._is_asked = False
        self._answer = Flag()
        self._is_over = Flag()
        self._burst_s = self._window_s = 0.0
        self.problem = ""

    def start(self) -> None:
        """Start the thread.

        Raises
        ------
        RuntimeError
            The system allows no more threads.
        """
        start_new_thread(self._run, ())

    def settle(self, timeout_s: float) -> bool:
        """Wait until everything that had been written has been passed on; say whether it is."""
        if self._is_over.is_up():
            return not self._routes
        deadline = time.monotonic() + timeout_s
        self._answer.lower()
        self._is_asked = True
        if not is_same(self._wake_fds[1], self._wake):
            return False  # nobody can be woken: the program has closed it
        try:
            os.write(self._wake_fds[1], b"\0")
        except BlockingIOError:
            pass  # full: somebody has been woken often enough
        while not self._answer.wait(min(ANSWER_LOOK_S, max(0.0, deadline - time.monotonic()))):
            if self._is_over.is_up():
                return True
            if time.monotonic() >= deadline:
                return False
        return True

    def end(self, timeout_s: float) -> bool:
        """Join the thread if nobody can write to it any more; else it stays for who can.

        Returns
        -------
        bool
            Whether the thread has ended and its files are closed.
        """
        if self._routes:
            return False
        if not self._is_over.wait(max(0.0, timeout_s)):
            return False
        close_own(self._wake_fds, self._wake)
        return True

    def forget(self) -> None:
        """In a forked child, which has no such thread: close what it has inherited."""
        for route in self._routes:
            route.close()
        close_own(self._wake_fds, self._wake)

    # -- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        # The program's signals are for the program's threads: one that only we could take would
        # not wake a main thread that sleeps.
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _SYNCHRONOUS)
        try:
            while self._routes:
                self._step()
        except Exception as error:  # noqa: BLE001 - the program's output matters more than our record
            self._fail(getattr(error, "strerror", None) or f"{type(error).__name__}: {error}")
        finally:
            self._answer.raise_()
            self._is_over.raise_()

    def _step(self) -> None:
        events = self._wait(0 if self._is_asked else None)
        if self._wake_fds[0] in events:
            if not is_same(self._wake_fds[0], self._wake):
                raise OSError(errno.EBADF, "the program has closed the console's descriptors")
            os.read(self._wake_fds[0], 4096)
        due = [one for one in self._routes if {one.read_fd, one.out_fd} & events]
        if not due:
            if self._is_asked and not any(one.has_input for one in self._routes):
                self._is_asked = False
                self._answer.raise_()
            elif self._is_asked:
                self._wait(None)
            return
        self._calm_down()
        for route in due:
            self._pass_burst(route)
        self._burst_s = time.monotonic()

    def _wait(self, timeout_ms: int | None) -> set[int]:
        """Wait for input, or where there is some, for room at the original."""
        poller = select.poll()
        poller.register(self._wake_fds[0], select.POLLIN)
        for route in self._routes:
            if route.has_input:
                poller.register(route.out_fd, select.POLLOUT)
            else:
                poller.register(route.read_fd, select.POLLIN)
        return {fd for fd, _event in poller.poll(timeout_ms)}

    def _calm_down(self) -> None:
        """Let bursts that follow one another closely become one."""
        now = time.monotonic()
        early_s = self._burst_s + BURST_INTERVAL_S - now
        if early_s > 0 and not self._is_asked:
            time.sleep(early_s)
        if now - self._window_s > WINDOW_INTERVAL_S:
            self._window_s = now
            for route in self._routes:
                route.follow_window()

    def _pass_burst(self, route: Route) -> None:
        if not route.is_intact():
            self._routes.remove(route)
            self.problem = self.problem or "the program has closed the console's descriptors"
            return
        moved = 0
        while moved < BURST_BYTES:
            if not route.has_room():
                route.has_input = True
                return
            self._respect_claim()
            count = self._pass_piece(route)
            if count is None:
                self._drop(route)
                return
            if not count:
                route.has_input = False
                return
            moved += count

    def _respect_claim(self) -> None:
        """Stand back while the agent moves bytes in our place."""
        page, deadline = self._page, time.monotonic() + CLAIM_MAX_S
        while page.claim and not page.ignores_claim:
            time.sleep(STAND_BACK_S)
            # The agent sees that we are alive and takes its claim back.
            page.pass_turn()
            page.pass_turn()
            page.ignores_claim = time.monotonic() > deadline
        if not page.claim:
            page.ignores_claim = False

    def _pass_piece(self, route: Route) -> int | None:
        """Move one piece; return its size, 0 if there is none now, None if there will be none."""
        page = self._page
        page.pass_turn()
        try:
            return self._move(route)
        finally:
            page.pass_turn()

    def _move(self, route: Route) -> int | None:
        try:
            count = self._mover.take(route)
            if not count:
                return count
            while not self._mover.push(route):
                route.wait_for_room()
        except OSError as error:
            self._give_up(route, error)
        stream, data, _rest = self._page.count_piece()
        if data:
            self._record(stream, data)
        return None if route.read_fd < 0 else max(1, len(data))

    def _give_up(self, route: Route, error: OSError) -> None:
        """Leave the original and its trouble to the program, as if we had never been there.

        A full disk is met by the program's own next write. Where the reader has gone, our end is
        closed too: children that still write to it learn it as they would have.
        """
        route.restore()
        self.problem = self.problem or f"fd {route.stream}: {error.strerror or error}"
        if error.errno in _GONE or (error.errno == errno.EIO and route.is_terminal):
            route.close_input()

    def _drop(self, route: Route) -> None:
        self._routes.remove(route)
        route.close()

    def _fail(self, reason: str) -> None:
        self.problem = reason
        for route in list(self._routes):
            route.restore()
            self._drop(route)


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
        position = find_position(route.out_fd) if route.is_file else -1
        note = self._page.announce_piece(route.stream, is_sure=is_sure, position=position)
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
