"""Every error that hpctrack raises on purpose.

Drawn as a tree; a test compares the drawing with the code and with ``docs/reference/errors.md``.

HpctrackError                     1   anything below
├── UsageError                    2   an argument, option or file the user gave is wrong
│   ├── InvalidNameError          2   a run id, project or metric name that cannot be used
│   ├── SettingsError             2   an unknown or malformed setting
│   └── SweepFileError            2   a sweep file that cannot be understood
├── NotInitialisedError           2   ``hpctrack.log`` before ``hpctrack.init``
├── NotFoundError                 3   no such store, project, run, metric or sweep
├── StoreError                    4   the store cannot be read or written
│   ├── StoreFormatError          4   a file that is not ours, is broken, or is too new
│   └── StoreFullError            4   no space left, or a quota is used up
├── BusyError                     5   somebody else is doing the same thing right now
├── SyncError                     6   a transfer did not end well
│   ├── ConnectError              6   the other side cannot be reached
│   ├── HostKeyError              7   the server's key is unknown or has changed
│   ├── AuthError                 8   the server did not accept who we are
│   ├── ProtocolError             9   the two sides do not understand each other
│   └── RefusedError             10   the other side refused one run or the whole push
├── SweepError                   11   a sweep could not be created or submitted
├── SchedulerError               13   a command of the batch scheduler is missing, or it failed
└── MissingPackageError          12   an optional package is not installed

`Pruned` stands beside the tree: it is not an error, but a program's early and successful end.

The number is the exit code of the command line. A class that matches a built-in error is a
child of that too, so that a general handler works.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class HpctrackError(Exception):
    """Base of all errors that hpctrack raises on purpose.

    Parameters
    ----------
    message : str
        One line: what is wrong, and where.
    hint : str, optional
        One line: what to do about it.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "error"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return the message, with the hint on a line of its own."""
        return f"{self.message}\n  hint: {self.hint}" if self.hint else self.message

    def in_a_line(self) -> str:
        """Return the message with the hint behind it, for warnings and records."""
        return f"{self.message}; {self.hint}" if self.hint else self.message


def is_of_a_signal(error: BaseException) -> bool:
    """Tell whether a signal handler of the program has raised this, in the middle of our work.

    Then it is the program's business (a time-out, say) and must pass through, whatever kind it is.
    A handler is known by its argument: the frame that it has interrupted.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        interrupted, trace = trace.tb_frame, trace.tb_next
        if trace.tb_frame.f_code is is_of_a_signal.__code__:
            continue  # it looked at another error, as here, when the stack was used up
        found: list[object] = list(trace.tb_frame.f_locals.values())
        found += [item for one in found if type(one) is tuple for item in one]
        if any(one is interrupted for one in found):
            return True
    return False


class UsageError(HpctrackError, ValueError):
    """An argument, an option or a file that the user gave is wrong."""

    exit_code = 2
    code = "usage"


class InvalidNameError(UsageError):
    """A run id, project or metric name that cannot be used."""

    code = "invalid-name"


class SettingsError(UsageError):
    """An unknown or malformed setting."""

    code = "settings"


class SweepFileError(UsageError):
    """A sweep file that cannot be understood."""

    code = "sweep-file"


class NotInitialisedError(HpctrackError, RuntimeError, AttributeError):
    """A call that needs a run came before ``hpctrack.init``.

    An attribute error too: ``hasattr(hpctrack, "config")`` is then False, as it should be.
    """

    exit_code = 2
    code = "not-initialised"


class NotFoundError(HpctrackError, LookupError):
    """No such store, project, run, metric or sweep."""

    exit_code = 3
    code = "not-found"


class StoreError(HpctrackError):
    """The store cannot be read or written."""

    exit_code = 4
    code = "store"


class StoreFormatError(StoreError):
    """A file that is not ours, is broken, or was written by a newer hpctrack."""

    code = "store-format"


class StoreFullError(StoreError):
    """No space left where the store is, or a quota is used up."""

    code = "store-full"


class BusyError(HpctrackError):
    """Somebody else is doing the same thing right now."""

    exit_code = 5
    code = "busy"


class SyncError(HpctrackError):
    """A transfer did not end well."""

    exit_code = 6
    code = "sync"


class ConnectError(SyncError, ConnectionError):
    """The other side cannot be reached."""

    code = "connect"


class HostKeyError(SyncError):
    """The server's key is unknown, or is not the one it had before."""

    exit_code = 7
    code = "host-key"


class AuthError(SyncError):
    """The server did not accept who we are."""

    exit_code = 8
    code = "auth"


class ProtocolError(SyncError):
    """The two sides do not understand each other."""

    exit_code = 9
    code = "protocol"


class RefusedError(SyncError):
    """The other side refused a run or the whole push."""

    exit_code = 10
    code = "refused"


class SweepError(HpctrackError):
    """A sweep could not be created or submitted."""

    exit_code = 11
    code = "sweep"


class SchedulerError(HpctrackError):
    """A command of the batch scheduler is missing here, or it failed; the message is its own."""

    exit_code = 13
    code = "scheduler"


class MissingPackageError(HpctrackError, ImportError):
    """An optional package is not installed."""

    exit_code = 12
    code = "missing-package"

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"the package {package!r} is not installed",
            hint=f"pip install 'hpctrack[{extra}]'",
        )


class Pruned(SystemExit):
    """The run is to end early; raised by ``log`` if the program has asked for it.

    Parameters
    ----------
    reason : str
        Who wants it, and why.

    Notes
    -----
    It is a `SystemExit` with the code 0, and none of the errors. Training loops are full of
    ``except Exception`` around a batch or an epoch, which must not swallow it, while ``finally``
    and ``with`` do what they always do. Nobody has to catch it: the process then ends with success,
    without a traceback, as do launchers and schedulers above it, and the run is finished. Whoever
    wants to do something first says ``except hpctrack.Pruned``; it is raised once in a run, so that
    logging there, or in a ``finally``, is safe.

    Examples
    --------
    >>> import hpctrack
    >>> try:
    ...     raise hpctrack.Pruned("sweep: worse than the median")
    ... except hpctrack.Pruned as end:
    ...     print(end.code, end)
    0 sweep: worse than the median
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(0)
        self.reason = reason

    def __str__(self) -> str:
        """Return the reason."""
        return self.reason
