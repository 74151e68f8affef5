"""A program in our place: it gets our descriptors, our signals and our end."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from hpctrack.core.settings import environment

FORWARDED = frozenset({
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM, signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP,
})  # fmt: skip
"""What a scheduler or a user sends to the wrapper is meant for the program."""

FROM_THE_KERNEL = 128
"""``si_code`` of what a terminal sends: all processes in its foreground get that, the program
too, which must not get it twice."""

SLURM_DAEMON = "slurmstepd"
"""It sends a signal to every process of a step."""

SHELL_SIGNAL_BASE = 128
"""A program ended by signal n has exit code 128 + n in every shell."""

LOOK_S = 1.0
"""How often the agent is listened to. One that has died is replaced then."""


class HeldSignals:
    """Holds back what is to be passed on, for `wait`; on the main thread, before any other begins.

    Attributes
    ----------
    before : set
        The signals that were held back already; so the program is to have it.
    """

    def __init__(self) -> None:
        self.before: set[int] = set()
        # What is ignored (by nohup, say) is nobody's business, and the program inherits that.
        ignored = {one for one in FORWARDED if signal.getsignal(one) is signal.SIG_IGN}
        self._held = (FORWARDED - ignored) | {signal.SIGCHLD}
        # Ignored, as some daemons leave it, the program's exit code would vanish.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def __enter__(self) -> Self:
        """Begin to hold them back."""
        self.before = set(signal.pthread_sigmask(signal.SIG_BLOCK, self._held))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Forget those that have come, and hold back no more."""
        while signal.sigtimedwait(self._held, 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, self.before)

    def wait(self, timeout_s: float) -> signal.struct_siginfo | None:
        """Return the next one, or None when the time is up."""
        return signal.sigtimedwait(self._held, timeout_s)


def start_program(command: Sequence[str], environ: Mapping[str, str], signals: HeldSignals) -> int:
    """Start a program with all our descriptors; return its process id.

    Parameters
    ----------
    command : sequence of str
        The program, looked for on PATH, and its arguments.
    environ : mapping
    signals : HeldSignals

    Raises
    ------
    OSError
        It cannot be started.
    """
    # Python ignores these; a program expects to end when its reader does.
    defaults = (signal.SIGPIPE, signal.SIGXFSZ)

    def start(path: str, arguments: list[str]) -> int:
        return os.posix_spawnp(
            path, arguments, environ, setsigmask=signals.before, setsigdef=defaults
        )

    try:
        return start(command[0], list(command))
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
    # A script without a first line that says whose it is: the shell's, as everywhere.
    return start("/bin/sh", ["sh", *command])


def wait_for_program(program: int, signals: HeldSignals, *, look: Callable[[], None]) -> int:
    """Pass signals on until the program has ended; return its exit code.

    Parameters
    ----------
    program : int
        Its process id.
    signals : HeldSignals
    look : callable
        Called every second.
    """
    while True:
        ended, status = os.waitpid(program, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SHELL_SIGNAL_BASE - code
        told = signals.wait(LOOK_S)
        if told is None:
            look()
        elif told.si_signo != signal.SIGCHLD:
            _pass_on(program, told)


def _pass_on(program: int, told: signal.struct_siginfo) -> None:
    if not _has_got_it(program, told):
        os.kill(program, told.si_signo)
    if told.si_signo == signal.SIGTSTP:
        os.kill(os.getpid(), signal.SIGSTOP)


def _has_got_it(program: int, told: signal.struct_siginfo) -> bool:
    """Tell whether the sender has sent the same to the program itself."""
    if told.si_code == FROM_THE_KERNEL:
        return os.getpgid(program) == os.getpgrp()
    try:
        name = Path(f"/proc/{told.si_pid}/comm").read_text().strip()
    except OSError:
        # Others' processes may be hidden; in a job, what root sends comes from that daemon.
        is_root = told.si_uid == 0 != os.getuid()
        return is_root and "SLURM_JOB_ID" in environment()
    return name == SLURM_DAEMON
