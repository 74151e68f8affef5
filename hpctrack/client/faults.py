"""What a rank tells its user, and what goes wrong in it: told once, counted, and never raised."""

from __future__ import annotations

import sys
from _thread import RLock
from collections.abc import Callable

from hpctrack.core.names import clean
from hpctrack.errors import HpctrackError, UsageError, is_of_a_signal

TOLD_MAX = 20
"""Different texts of one kind that are told; a loop over made-up names must not fill a log."""

TEXT_MAX_CHARS = 2000
"""What is printed of one notice: somebody may have passed a file's content in the place of its
name."""

_LEFT_OUT = r"(?s:(?:a row|a table takes|column) .*\((\d+) times\))"
"""What a `Table` says of rows and columns that are not recorded."""


def show(value: object, max_chars: int = 60) -> str:
    """Return a value for a message, whatever its ``repr`` does."""
    try:
        return repr(value)[:max_chars]
    except Exception as error:
        if is_of_a_signal(error):
            raise
        return f"<{type(value).__name__}>"


class Notices:
    """Prints each notice once.

    Parameters
    ----------
    label : str
        Put before the text, such as ``rank 3``; empty for a run of one rank.
    quiet : bool
        Print warnings and errors only.
    """

    def __init__(self, label: str = "", *, quiet: bool = False) -> None:
        self._label = f" [{label}]" if label else ""
        self._quiet = quiet
        self._told: set[str] = set()

    def say(self, text: str) -> None:
        """Print a line of good news."""
        if not self._quiet:
            self._print(clean(text))

    def warn_once(self, key: str, text: str) -> bool:
        """Print a warning the first time ``key`` comes; return whether this was the first."""
        if key in self._told:
            return False
        self._told.add(key)
        self._print(f"warning: {clean(text)}")
        return True

    def _print(self, text: str) -> None:
        if len(text) > TEXT_MAX_CHARS:
            text = f"{text[:TEXT_MAX_CHARS]}..."
        stream = sys.stderr
        if stream is None:  # pythonw and some embedded interpreters have none
            return
        try:
            stream.write(f"hpctrack{self._label}: {text}\n")
            stream.flush()
        except (OSError, ValueError) as error:
            if is_of_a_signal(error):
                raise
            # Else it is a closed terminal, which must not stop the training.


class Faults:
    """The mistakes of one run in one rank.

    Parameters
    ----------
    notices : Notices
        How the user is told.
    strict : bool
        Raise instead.
    record : callable
        Takes code and text of a warning, for the run's own record.
    """

    def __init__(
        self, notices: Notices, *, strict: bool, record: Callable[[str, str], None]
    ) -> None:
        self._notices = notices
        self._strict = strict
        self._record = record
        self._told: dict[str, set[str]] = {}
        self._lock = RLock()
        self.refused: dict[str, int] = {}

    @property
    def count(self) -> int:
        """How many values and calls were refused or failed."""
        return sum(self.refused.values())

    def refuse(self, key: str, text: str) -> None:
        """Count something that cannot be recorded, and say so once.

        Parameters
        ----------
        key : str
            What is said once; the part before ``:`` is what is counted.
        text : str
            What, where and what to do.

        Raises
        ------
        UsageError
            Only if strict.
        """
        if self._strict:
            raise UsageError(text)
        what = key.partition(":")[0]
        self._count(what)
        self.tell(f"refused-{what}", text, once=key)

    def refuse_late(self, key: str, text: str) -> None:
        """Say once that something came too late: no record can count it any more.

        Raises
        ------
        UsageError
            Only if strict.
        """
        if self._strict:
            raise UsageError(text)
        self._notices.warn_once(f"late {key}", text)

    def tell(self, code: str, text: str, *, once: str = "") -> None:
        """Warn the user, once, and write the same into the run."""
        key = once or text
        with self._lock:
            told = self._told.setdefault(code, set())
            if key in told or len(told) > TOLD_MAX:
                return
            told.add(key)
        if len(told) > TOLD_MAX:
            text = f"{text}; more of the kind are counted and not named"
        if self._notices.warn_once(f"{code} {key}", text):
            self._record(code, text)

    def warn_of(self, name: str, where: str, text: str) -> None:
        """Tell what a value that is recorded has lost; rows of a table that are not are counted.

        Parameters
        ----------
        name : str
            The value's key: each kind of warning is told once for it.
        where : str
            Put before the text.
        text : str
            As media give it; numbers in it make no other kind.
        """
        import re  # noqa: PLC0415 - media have loaded it; who logs numbers only does without

        found = re.fullmatch(_LEFT_OUT, text)
        if found:
            self._count("table", int(found[1]))
        self.tell("media", f"{where}: {text}", once=f"{name} {re.sub(r'[0-9]+', '#', text)}")

    def _count(self, what: str, times: int = 1) -> None:
        with self._lock:  # values are read by many threads at once
            self.refused[what] = self.refused.get(what, 0) + times

    def forget(self) -> None:
        """In a forked child: the lock may be held by a thread of the parent."""
        self._lock = RLock()

    def trouble(self, where: str, error: Exception) -> None:
        """Take an error that must not reach the training.

        Raises
        ------
        Exception
            The same, if strict, and if a signal handler of the program has raised it.
        """
        if self._strict or is_of_a_signal(error):
            raise error
        self._count(where)
        text = (
            error.message
            if isinstance(error, HpctrackError)
            else f"{type(error).__name__}: {error}"
        )
        self._notices.warn_once(f"trouble {where} {type(error)}", f"{where}() failed: {text}")
