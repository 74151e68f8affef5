"""Asking another program, such as git: bounded in time and size, and never for input."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.telemetry.provenance.files import decode

LOOK_S = 0.1
"""How long a cancelled question may still wait."""

PIECE_BYTES = 64 * 1024
ERROR_MAX_CHARS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """What a program said.

    Parameters
    ----------
    output : bytes
        Its standard output, perhaps not all of it.
    problem : str
        Why there is no answer, for people; empty if it ended with success, or was cut.
    is_cut : bool
        There was more than was asked for.
    """

    output: bytes = b""
    problem: str = ""
    is_cut: bool = False

    @property
    def text(self) -> str:
        """The output; what is no UTF-8 is kept."""
        return decode(self.output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Starts programs.

    Parameters
    ----------
    environ : mapping
        What they are started with.
    is_cancelled : callable
        Asked ten times a second; then the program is ended.
    may_start : bool
        False where nobody may be started: in a rank, whose MPI may not survive a fork.
    """

    environ: Mapping[str, str]
    is_cancelled: Callable[[], bool] = lambda: False
    may_start: bool = True
    clock: Clock = SYSTEM_CLOCK

    def ask(
        self,
        command: Sequence[str],
        *,
        timeout_s: float,
        max_bytes: int,
        more: Mapping[str, str] | None = None,
    ) -> Answer:
        """Run a program and return what it printed; never raises.

        Parameters
        ----------
        command : sequence of str
        timeout_s : float
            Then it is killed, with what it has started.
        max_bytes : int
            After so much output it is killed, too.
        more : mapping, optional
            Environment variables to set besides.
        """
        name = Path(command[0]).name
        if not self.may_start:
            return Answer(problem=f"{name} is not started from within a rank")
        try:
            child = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**self.environ, **(more or {})},
                cwd="/",
                start_new_session=True,
            )
        except FileNotFoundError:
            return Answer(problem=f"{name} is not installed")
        except OSError as error:
            return Answer(problem=f"{name} cannot be started: {error.strerror}")
        with child:
            try:
                return self._listen(child, name, timeout_s, max_bytes)
            finally:
                _kill(child)

    def _listen(
        self, child: subprocess.Popen[bytes], name: str, timeout_s: float, max_bytes: int
    ) -> Answer:
        assert child.stdout is not None  # noqa: S101 - asked for above
        assert child.stderr is not None  # noqa: S101 - the same
        deadline_s = self.clock.mono_s() + timeout_s
        output, said = bytearray(), bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ, output)
            selector.register(child.stderr, selectors.EVENT_READ, said)
            while selector.get_map():
                if self.is_cancelled() or self.clock.mono_s() >= deadline_s:
                    return Answer(problem=f"{name} did not answer within {timeout_s:g} s")
                for key, _events in selector.select(LOOK_S):
                    piece = os.read(key.fd, PIECE_BYTES)
                    if not piece:
                        selector.unregister(key.fileobj)
                    if key.data is output or len(said) < PIECE_BYTES:
                        key.data.extend(piece)
                if len(output) > max_bytes:
                    return Answer(bytes(output[:max_bytes]), is_cut=True)
        try:
            code = child.wait(max(LOOK_S, deadline_s - self.clock.mono_s()))
        except subprocess.TimeoutExpired:
            return Answer(problem=f"{name} did not end within {timeout_s:g} s")
        if code:
            lines = decode(bytes(said)).strip().splitlines()
            why = f": {lines[0][:ERROR_MAX_CHARS]}" if lines else ""
            return Answer(problem=f"{name} failed with code {code}{why}")
        return Answer(bytes(output))


def _kill(child: subprocess.Popen[bytes]) -> None:
    """End a program and whatever it has started; one that has ended already is no matter."""
    if child.poll() is None:
        with contextlib.suppress(OSError):
            os.killpg(child.pid, signal.SIGKILL)
