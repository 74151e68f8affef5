"""Running a command for a rule: beside the loop, bounded in time and in what it may say."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from hpctrack.core.clock import Clock
from hpctrack.core.names import clean

TIMEOUT_S = 60.0
KILL_AFTER_S = 2.0
"""Between the SIGTERM and the SIGKILL for a command whose time is up."""

OUTPUT_MAX_BYTES = 4096

FORGOTTEN_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGXCPU")
)
"""The agent ignores these, which a child would inherit, and a shell cannot undo."""

_SHELL: Final = ("/bin/sh", "-c", 'cd "$1" && eval "$2"', "sh")

_POLL_S = 0.05


class Command:
    """A running command, and then what became of it.

    Parameters
    ----------
    argv : sequence of str
        The program's path first.
    environ : mapping
        All of its environment.
    clock : Clock
    timeout_s : float
        Then its process group is ended.

    Attributes
    ----------
    said : str
        When it is done: how it ended, and the beginning of what it printed.
    is_success : bool
        It has ended by itself, with exit code 0.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environ: Mapping[str, str],
        *,
        clock: Clock,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._clock = clock
        self._start_s = clock.mono_s()
        self._deadline_s = self._start_s + timeout_s
        self._is_over = threading.Event()
        self.said = ""
        self.is_success = False
        try:
            self._pid, self._output = _spawn(argv, environ)
        except OSError as error:
            self.said = f"cannot be started: {error.strerror or error}"
            self._is_over.set()
            return
        threading.Thread(target=self._follow, name="hpctrack-command", daemon=True).start()

    @property
    def is_done(self) -> bool:
        """Whether it has ended."""
        return self._is_over.is_set()

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; return whether it has come."""
        return self._is_over.wait(timeout_s)

    def end(self) -> None:
        """Give it no more time."""
        self._deadline_s = self._clock.mono_s()

    def _follow(self) -> None:
        try:
            self.said = self._run()
        except OSError as error:
            self.said = f"cannot be followed: {error.strerror or error}"
        finally:
            self._is_over.set()

    def _run(self) -> str:
        """Read what it prints until it ends; return what became of it."""
        kept = b""
        code: int | None = None
        sent = 0
        is_open = True
        while code is None:
            code = _reap(self._pid)
            is_open, kept = self._read(kept, is_open=is_open)
            late_s = self._clock.mono_s() - self._deadline_s
            wanted = (late_s >= 0) + (late_s >= KILL_AFTER_S)
            if code is None and wanted > sent:
                sent = wanted
                _kill(self._pid, signal.SIGTERM if sent == 1 else signal.SIGKILL)
        if is_open:
            _open, kept = self._read(kept, is_open=True, wait_s=0.0)
        os.close(self._output)
        took_s = self._clock.mono_s() - self._start_s
        how = f"killed after {took_s:.0f} s" if sent else f"exit code {code}"
        self.is_success = code == 0 and not sent
        text = clean(kept.decode("utf-8", "replace").strip().replace("\n", " | "))
        return f"{how}: {text}" if text else how

    def _read(self, kept: bytes, *, is_open: bool, wait_s: float = _POLL_S) -> tuple[bool, bytes]:
        """Take what it has printed, as much as is kept; return whether there may be more."""
        if not is_open:
            self._is_over.wait(wait_s)
            return False, kept
        if not select.select([self._output], [], [], wait_s)[0]:
            return True, kept
        data = os.read(self._output, 65536)
        return bool(data), kept + data[: OUTPUT_MAX_BYTES - len(kept)]


def make_shell_command(text: str, folder: str) -> list[str]:
    """Return the command line that has ``/bin/sh`` run a text in a folder."""
    return [*_SHELL, folder, text]


def _spawn(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[int, int]:
    """Start a program, a process group of its own; return its number, and its output's file."""
    ours, theirs = os.pipe()
    try:
        pid = os.posix_spawn(
            argv[0],
            list(argv),
            dict(environ),
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, theirs, 1),
                (os.POSIX_SPAWN_DUP2, theirs, 2),
                *((os.POSIX_SPAWN_CLOSE, fd) for fd in _list_inherited()),
            ],
            setpgroup=0,
            setsigdef=FORGOTTEN_SIGNALS,
        )
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    return pid, ours


def _list_inherited() -> list[int]:
    """Return the files that a child would have open too, such as the socket that ranks come to."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):  # noqa: PLR2004 - 0, 1, 2 are its own
                found.append(int(name))
    return found


def _reap(pid: int) -> int | None:
    """Return the exit code once it has ended, 128 and the number of the signal that ended it."""
    try:
        found, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return 0  # somebody else in this process has waited for all children
    if not found:
        return None
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(OSError):
        os.killpg(pid, number)
