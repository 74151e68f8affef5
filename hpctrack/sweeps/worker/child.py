"""Starting a trial's program, watching it, and seeing how it ends."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

from hpctrack.sweeps.worker.guard import Guard
from hpctrack.sweeps.worker.signals import STOPPING, SignalRelay, pass_on

KILL_AFTER_S = 30.0
"""From SIGTERM to SIGKILL when the time is up: Slurm's default KillWait."""

ORPHAN_S = 10.0
"""The same for a program whose worker was killed: another worker may have its trial already."""

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
"""Exit codes of a shell that could not start a program."""

_POLL_S = 0.02
_POLL_MAX_S = 0.25


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
    gave_up : str
        Why it ended the trial early itself, if it said so by raising `hpctrack.Pruned`.
    """

    exit_code: int
    signal: str = ""
    message: str = ""
    was_stopped: bool = False
    gave_up: str = ""


class Watch(Protocol):
    """What looks after a program while it runs."""

    def turn(self, timeout_s: float) -> str:
        """Listen for a while; return why the program has to be ended now, if it has to."""


def run_child(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    directory: Path,
    output: Path | IO[bytes] | None = None,
    timeout_s: float | None = None,
    relay: SignalRelay | None = None,
    watch: Watch | None = None,
    signal_ranks: Callable[[int], object] | None = None,
    kill_after_s: float = KILL_AFTER_S,
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
    output : Path or file, optional
        Where its stdout and stderr are appended. Default: ours.
    timeout_s : float, optional
        When to end it: by SIGTERM, and by SIGKILL if that does not help.
    relay : SignalRelay, optional
        Passes signals on. Default: one for this program only.
    watch : Watch, optional
        Looks after it.
    signal_ranks : callable, optional
        The program is ``srun``, which kills its ranks at once when it gets SIGTERM, and whose
        death leaves them running: this sends a signal to the ranks themselves.
    kill_after_s : float, optional
        From SIGTERM to SIGKILL.

    Returns
    -------
    ChildEnd
        Also for a program that could not be started; nothing is raised for it.

    Notes
    -----
    The program, and what it has started in its process group, gets SIGTERM when this process dies,
    whatever it dies of, and SIGKILL later: another worker will continue the trial, and two of them
    would do it twice.
    """
    if relay is None:
        with SignalRelay() as own:
            return run_child(
                command,
                environ=environ,
                directory=directory,
                output=output,
                timeout_s=timeout_s,
                relay=own,
                watch=watch,
                signal_ranks=signal_ranks,
                kill_after_s=kill_after_s,
            )
    with Guard(min(kill_after_s, ORPHAN_S)) as guard:
        try:
            child = _start(command, environ, directory, output, group=guard.group)
        except FileNotFoundError as error:
            return ChildEnd(_NOT_FOUND, message=f"{error.filename or command[0]}: {error.strerror}")
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return ChildEnd(_NOT_EXECUTABLE, message=f"{command[0]}: {error}")
        relay.attach(child, frozenset() if signal_ranks is None else STOPPING)
        message = _wait(child, relay, watch, signal_ranks, (timeout_s, kill_after_s))
    code = child.returncode
    return ChildEnd(
        code if code >= 0 else 128 - code,
        signal=_name(-code) if code < 0 else "",
        message=message,
        was_stopped=relay.was_stopped,
    )


def _wait(
    child: subprocess.Popen[bytes],
    relay: SignalRelay,
    watch: Watch | None,
    signal_ranks: Callable[[int], object] | None,
    times_s: tuple[float | None, float],
) -> str:
    """Wait for a program; return why its end had to be brought about, if it had."""
    timeout_s, kill_after_s = times_s
    try:
        return _Wait(child, relay, signal_ranks, kill_after_s).wait(timeout_s, watch)
    except BaseException:
        # Whoever gets the trial next must not find its program still at work.
        pass_on(child, signal.SIGKILL if signal_ranks is None else signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(kill_after_s)
        raise
    finally:
        relay.detach()


class _Wait:
    """Waits for a program, and brings its end about if it has to."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        relay: SignalRelay,
        signal_ranks: Callable[[int], object] | None,
        kill_after_s: float,
    ) -> None:
        self._child = child
        self._kill_after_s = kill_after_s
        self._relay = relay
        self._signal_ranks = signal_ranks
        self._is_told = False

    def wait(self, timeout_s: float | None, watch: Watch | None) -> str:
        """Wait for the end; return why it had to be brought about, if it had."""
        began_s = time.monotonic()
        killed_s: float | None = None
        message = ""
        pause_s = _POLL_S
        while self._child.poll() is None:
            why = _listen(self._child, watch, pause_s)
            pause_s = min(pause_s * 1.2, _POLL_MAX_S)
            now_s = time.monotonic()
            if not why and timeout_s is not None and now_s - began_s >= timeout_s:
                why = f"its time limit of {timeout_s:g} s was reached"
            if why and killed_s is None:
                message, killed_s = why, now_s
                self._end_softly()
            elif killed_s is not None and now_s - killed_s >= self._kill_after_s:
                # srun has to see to its ranks itself: killed, it would leave them running.
                number = signal.SIGKILL if self._signal_ranks is None else signal.SIGTERM
                pass_on(self._child, number)
            if self._signal_ranks is not None and self._relay.was_stopped:
                self._end_softly()
        return message

    def _end_softly(self) -> None:
        if self._is_told:
            return
        self._is_told = True
        if self._signal_ranks is None:
            pass_on(self._child, signal.SIGTERM)
        else:
            self._signal_ranks(signal.SIGTERM)


def _listen(child: subprocess.Popen[bytes], watch: Watch | None, pause_s: float) -> str:
    """Give the watch a turn; without one, wait for the program itself."""
    if watch is not None:
        return watch.turn(pause_s)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(pause_s)
    return ""


def _start(
    command: Sequence[str],
    environ: Mapping[str, str],
    directory: Path,
    output: Path | IO[bytes] | None,
    *,
    group: int,
) -> subprocess.Popen[bytes]:
    """Start the program; it has no stdin, because its group could not read a terminal."""
    if isinstance(output, Path):
        output.parent.mkdir(parents=True, exist_ok=True)
        with output.open("ab") as file:
            return _start(command, environ, directory, file, group=group)
    given: dict[str, Any] = {}
    if output is not None:
        given = {"stdout": output, "stderr": subprocess.STDOUT}
    given |= {"env": environ, "cwd": directory, "stdin": subprocess.DEVNULL}
    try:
        return subprocess.Popen(command, process_group=group, **given)
    except (PermissionError, subprocess.SubprocessError):
        if not group:
            raise
        # The guard is gone already, and its group with it; or it is the program that nobody may
        # start, which the second try will say.
        return subprocess.Popen(command, process_group=0, **given)


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
