"""Signals of a worker: passed on to the program that it runs, and remembered."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType
from typing import Any, Self

FORWARDED = (
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGCONT,
)  # fmt: skip
"""The program has a process group of its own, so what is sent to ours does not reach it."""

STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})

WARNING = signal.SIGUSR2
"""Slurm sends it to the worker alone before the time limit, and where it is set up so before it
preempts a job. It is the worker's: most programs would die of it."""


class SignalRelay:
    """Passes signals on to the program of the trial; those that come between two are remembered.

    Only the main thread may handle signals; elsewhere this does nothing.

    Parameters
    ----------
    passes_warning : bool, optional
        The program wants SIGUSR2 as well.

    Attributes
    ----------
    was_stopped : bool
        Somebody has asked this process to end.
    was_warned : bool
        Somebody has said that its time is nearly up.
    """

    def __init__(self, *, passes_warning: bool = False) -> None:
        self.passes_warning = passes_warning
        self._own = frozenset() if passes_warning else frozenset({WARNING})
        self.was_stopped = False
        self.was_warned = False
        self._child: subprocess.Popen[bytes] | None = None
        self._held: frozenset[int] = frozenset()
        self._kept: list[int] = []
        self._interrupts = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Begin to handle signals."""
        if threading.current_thread() is threading.main_thread():
            for number in FORWARDED:
                # What we ignore (nohup), the program ignores too; but the batch script ignores the
                # warning only so that nobody dies of it before we are here.
                if number == WARNING or signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the handlers of before back."""
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self._before.clear()

    @property
    def must_leave(self) -> bool:
        """Whether no other trial may begin."""
        return self.was_stopped or self.was_warned

    def attach(self, child: subprocess.Popen[bytes], held: frozenset[int] = frozenset()) -> None:
        """Pass signals on to a program from now on, and those that came while it was started.

        Parameters
        ----------
        child : Popen
            The program.
        held : frozenset of int, optional
            Signals that it is not to get.
        """
        self._child, self._held = child, held
        while self._kept:
            self._pass_on(child, self._kept.pop(0))

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Raise KeyboardInterrupt at Ctrl-C in this block: there is no program to pass it on to."""
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False
            self._kept.clear()

    def detach(self) -> None:
        """Forget the program, which has ended."""
        self._child = None
        self._kept.clear()

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del frame
        self.was_stopped |= number in STOPPING
        self.was_warned |= number == WARNING
        if self._interrupts and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self._child is None:
            # What only says something is not for a program that has yet to begin, and would die
            # of it.
            if number in STOPPING or number == WARNING:
                self._kept.append(number)
        else:
            self._pass_on(self._child, number)

    def _pass_on(self, child: subprocess.Popen[bytes], number: int) -> None:
        if number not in self._own and number not in self._held:
            pass_on(child, number)


def pass_on(child: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a program and what it has started, if it still runs."""
    if child.returncode is None:
        # It has just ended, or runs as somebody else now.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(os.getpgid(child.pid), number)
