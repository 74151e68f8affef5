"""The code that a program ends with, as far as a library can know it before the end."""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable
from operator import index
from types import FrameType, TracebackType

from hpctrack.errors import is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn


def exit_code_of(error: BaseException | None) -> int:
    """Return the exit code that a program ending with this error has."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        if error.code is None:
            return 0
        return error.code if isinstance(error.code, int) else 1
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def read_exit_code(given: object) -> int:
    """Return the exit code that a program means: None is success, what is no number is none."""
    if given is None:
        return 0
    try:
        return index(given)  # type: ignore[arg-type]
    except Exception as error:
        if is_of_a_signal(error):
            raise
        return 1


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
    return threading.get_ident() == threading.main_thread().ident


def _find_program() -> FrameType | None:
    """Return the outermost frame of this thread: the program's, or a function's of atexit."""
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented, for use as here
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _nothing() -> None:
    """Before `ExitCode.hook`."""
