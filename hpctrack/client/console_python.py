"""What the console has to do with Python's own stream objects."""

from __future__ import annotations

import os
import sys
from _thread import RLock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

FRONTENDS = frozenset({"_pytest", "idlelib", "ipykernel"})
"""Packages whose objects stand for sys.stdout without writing to the process's descriptor."""


class Gate:
    """One at a time, and no recording of what recording prints."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._is_busy = False

    def pass_through(self, work: Callable[[], None]) -> None:
        """Do some work, unless this thread is in the middle of some.

        A signal handler, a destructor or the listener itself may print.
        """
        with self._lock:
            if not self._is_busy:
                self._is_busy = True
                try:
                    work()
                finally:
                    self._is_busy = False


class Wrap:
    """The ``write`` of one stream object, with a listener.

    Parameters
    ----------
    number : int
        1 or 2, for the listener.
    target : object
        Such as ``sys.stdout`` of a notebook.
    listener : callable
        Called with number and bytes after each write, in the thread that writes.
    gate : Gate
        Shared by the wraps of one console.

    Raises
    ------
    AttributeError
        The object's ``write`` cannot be replaced.
    """

    def __init__(
        self, number: int, target: Any, listener: Callable[[int, bytes], None], gate: Gate
    ) -> None:
        self._target = target
        self._earlier = target.__dict__.get("write")
        self._number = number
        self._listener: Callable[[int, bytes], None] | None = listener
        self._gate = gate
        self._write = target.write
        target.write = self._on_write

    def undo(self) -> None:
        """Take it off if nobody has put something over it; silence it in any case."""
        self._listener = None
        if self._target.__dict__.get("write") != self._on_write:
            return
        try:
            if self._earlier is None:
                del self._target.write
            else:
                self._target.write = self._earlier
        except (AttributeError, TypeError):
            pass

    def _on_write(self, text: Any) -> Any:
        result = self._write(text)
        listener = self._listener
        if listener is not None and isinstance(text, str):
            data = text.encode("utf-8", "backslashreplace")
            self._gate.pass_through(lambda: listener(self._number, data))
        return result


def choose_mode() -> str:
    """Return ``redirect``, or ``wrap`` where what Python prints does not go to 1 and 2."""
    pairs = ((1, sys.stdout, sys.__stdout__), (2, sys.stderr, sys.__stderr__))
    for number, stream, real in pairs:
        if stream is None or _number_of(stream) == number:
            continue
        # A program's own object (one that copies into a file) ends at the descriptor after all.
        package = type(stream).__module__.partition(".")[0]
        if package in FRONTENDS or _number_of(real) != number:
            return "wrap"
    return "redirect"


def _number_of(stream: Any) -> int:
    try:
        return int(stream.fileno())
    except Exception:  # noqa: BLE001 - anybody's object
        return -1


def flush_python() -> None:
    """Flush Python's buffers, those that can be."""
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            if stream is not None:
                stream.flush()
        except Exception:  # noqa: BLE001, S110 - anybody's object
            pass


class LastWords:
    """``os._exit`` that lets what was printed come out first.

    Without us it would be out before: a shell that prints the exit code must not be quicker than
    the program's last line.

    Parameters
    ----------
    settle : callable
        Waits, for a bounded time, until everything that was written has been passed on.
    """

    def __init__(self, settle: Callable[[], object]) -> None:
        self._settle = settle
        self._pid = os.getpid()
        self._earlier = os._exit
        self._ours = self._exit
        os._exit = self._ours

    def _exit(self, status: int) -> NoReturn:
        # Children that were forked leave by os._exit too: the console is not theirs.
        if os.getpid() == self._pid:
            try:
                self._settle()
            except Exception:  # noqa: BLE001, S110 - the program wants to end
                pass
        self._earlier(status)

    def undo(self) -> None:
        """Give the earlier function back, unless somebody has replaced ours."""
        if os._exit == self._ours:
            os._exit = self._earlier
