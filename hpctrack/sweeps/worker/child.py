"""Starting a trial's program, passing signals on to it, and seeing how it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

FORWARDED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGCONT,
)  # fmt: skip
"""The program has a process group of its own, so what is sent to ours does not reach it."""

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})

KILL_AFTER_S = 30.0
"""From SIGTERM to SIGKILL when the time is up: Slurm's default KillWait."""

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell that could not start a program."""


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a program ended.

    Parameters
    ----------
    exit_code : int
        As a shell counts it.
    signal : str
        What ended it, such as ``SIGTERM``; empty if it ended by itself.
    message : str
        Why it could not be started, or was ended; else empty.
    was_stopped : bool
        Whether somebody asked this process to stop meanwhile.
    """

    exit_code: int
    signal: str = ""
    message: str = ""
    was_stopped: bool = False


@dataclass(slots=True)
class _Relay:
    """Passes signals on; those that come before the program has started are kept for it."""

    child: subprocess.Popen[bytes] | None = None
    kept: list[int] = field(default_factory=list)
    was_stopped: bool = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.was_stopped |= number in STOPPING
        if self.child is None:
            self.kept.append(number)
        else:
            self.pass_on(self.child, number)

    def attach(self, child: subprocess.Popen[bytes]) -> None:
        self.child = child
        while self.kept:
            self.pass_on(child, self.kept.pop(0))

    @staticmethod
    def pass_on(child: subprocess.Popen[bytes], number: int) -> None:
        if child.returncode is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.killpg(child.pid, number)


def run_child(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    directory: Path,
    output: Path | None = None,
    timeout_s: float | None = None,
) -> ChildEnd:
    """Run a program to its end.

    Parameters
    ----------
    command : sequence of str
        Program and arguments.
    environ : mapping
        Its whole environment.
    directory : Path
        Where it starts.
    output : Path, optional
        Where its stdout and stderr are appended. Default: ours.
    timeout_s : float, optional
        When to end it: by SIGTERM, and by SIGKILL 30 seconds later.

    Returns
    -------
    ChildEnd
        Also for a program that could not be started; nothing is raised for it.
    """
    relay = _Relay()
    with _signals(relay):
        try:
            child = _start(command, environ, directory, output)
        except FileNotFoundError as error:
            return ChildEnd(_NOT_FOUND, message=f"{error.filename or command[0]}: {error.strerror}")
        except (OSError, ValueError) as error:
            return ChildEnd(_NOT_EXECUTABLE, message=f"{command[0]}: {error}")
        relay.attach(child)
        message = _wait(child, timeout_s)
    code = child.returncode
    return ChildEnd(
        code if code >= 0 else 128 - code,
        signal=_name(-code) if code < 0 else "",
        message=message,
        was_stopped=relay.was_stopped,
    )


def _wait(child: subprocess.Popen[bytes], timeout_s: float | None) -> str:
    """Wait for the end; say so if it had to be brought about."""
    try:
        child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        _Relay.pass_on(child, signal.SIGTERM)
        try:
            child.wait(KILL_AFTER_S)
        except subprocess.TimeoutExpired:
            _Relay.pass_on(child, signal.SIGKILL)
            child.wait()
        return f"its time limit of {timeout_s:g} s was reached"
    return ""


def _start(
    command: Sequence[str], environ: Mapping[str, str], directory: Path, output: Path | None
) -> subprocess.Popen[bytes]:
    """Start the program; it has no stdin, because its group could not read a terminal."""
    if output is None:
        return subprocess.Popen(
            command, env=environ, cwd=directory, stdin=subprocess.DEVNULL, process_group=0
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    with output.open("ab") as file:
        return subprocess.Popen(
            command,
            env=environ,
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


@contextmanager
def _signals(relay: _Relay) -> Iterator[None]:
    """Hand signals to the relay for a while; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for number in FORWARDED:
        # What we ignore (nohup), the program ignores too.
        if signal.getsignal(number) is not signal.SIG_IGN:
            before[number] = signal.signal(number, relay)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
