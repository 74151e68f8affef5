"""What we put in the place of Python's own: ``write`` of its streams, ``os._exit``, ``sys.exit``.

The console needs the first two, to hear what is printed and to let it come out. The rest tells the
code that a program ends with, as far as a library can know it before the end.
"""

from __future__ import annotations

import builtins
import os
import sys
from _thread import RLock, get_native_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
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


def exit_code_of(error: BaseException | None) -> int:
    """Return the exit code that a program ending with this error has."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1


class ExitCode:
    """Hears of errors that nobody caught and of ``sys.exit``, ``exit`` and ``quit``.

    Functions of ``atexit`` are not told the code in any other way. A bare ``raise SystemExit(5)``
    leaves no trace, nor does an ``exit`` that was taken from ``sys`` before `hook`.

    Attributes
    ----------
    code : int
        What the program ends with, if it ends now.

    Notes
    -----
    Of the main thread only: ``sys.exit`` in another one ends that thread. Whether somebody has
    caught the exit shows when the program goes on, see `look`.
    """

    def __init__(self) -> None:
        self.code = 0
        self._program: FrameType | None = None
        self._on_exit: Callable[[], None] = _nothing

    def hook(self, on_exit: Callable[[], None]) -> None:
        """Begin to listen, for as long as the process lives.

        Parameters
        ----------
        on_exit : callable
            Called whenever the program has asked for its end: `look` should be called when it
            does something next.
        """
        self._on_exit = on_exit
        earlier_hook, earlier_exit = sys.excepthook, sys.exit

        def on_error(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            self.code, self._program = exit_code_of(error), None
            earlier_hook(kind, error, trace)

        def note_exit(code: Any = None, /) -> NoReturn:
            self._note(code)
            earlier_exit(code)

        sys.excepthook = on_error
        sys.exit = note_exit
        for name in ("exit", "quit"):
            earlier = getattr(builtins, name, None)  # not there under python -S
            if type(earlier).__name__ == "Quitter":
                setattr(builtins, name, _Quitter(earlier, self._note))

    def look(self) -> bool:
        """Forget a code if the program, which calls this, goes on as if nothing had been.

        Returns
        -------
        bool
            Whether that cannot be told yet, because the exit is just being handled: in a
            ``finally`` on its way out, perhaps.
        """
        if self._program is None or not _is_main_thread():
            return False
        error = sys.exception()
        while error is not None:
            if isinstance(error, SystemExit):
                return True
            error = error.__context__
        # Functions of atexit have no program below them.
        if _find_program() is self._program:
            self.code, self._program = 0, None
        return False

    def _note(self, code: object) -> None:
        if _is_main_thread():
            self.code, self._program = exit_code_of(SystemExit(code)), _find_program()
            self._on_exit()


class _Quitter:
    """What stands for ``exit`` or ``quit``."""

    def __init__(self, earlier: Any, note: Callable[[object], None]) -> None:
        self._earlier = earlier
        self._note = note

    def __call__(self, code: object = None) -> NoReturn:
        """End the program."""
        self._note(code)
        self._earlier(code)
        raise SystemExit(code)

    def __repr__(self) -> str:
        """Say how to leave."""
        return repr(self._earlier)


def _is_main_thread() -> bool:
    return get_native_id() == os.getpid()


def _find_program() -> FrameType | None:
    """Return the outermost frame of this thread: the program's, or a function's of atexit."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented, for use as here
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _nothing() -> None:
    """Before `ExitCode.hook`."""
