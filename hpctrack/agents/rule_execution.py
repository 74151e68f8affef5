"""Doing what a rule that has fired asks for: one thing after the other, never waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hpctrack.agents.job_cancel import make_cancel_command
from hpctrack.agents.rule_command import Command, make_shell_command
from hpctrack.agents.rule_secrets import hide_secrets
from hpctrack.agents.rule_signals import SignalTask
from hpctrack.agents.rules import Firing
from hpctrack.agents.stop import write_stop
from hpctrack.core.clock import Clock
from hpctrack.core.rules import CANCEL, COMMAND, MARK, SIGNAL, STOP, split_action
from hpctrack.errors import StoreError

SIGNAL_PATIENCE_S = 60.0
"""How long a rank without a handler is looked at again: it may still be starting."""

CANCEL_GRACE_S = 60.0
"""Between asking the program (by a signal, or to stop) and ending its job: time to save."""

CANCEL_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Where a rule is executed.

    Parameters
    ----------
    clock : Clock
    environ : mapping
        The job's.
    store, folder : Path
        The store's, and the run's in it.
    cwd : str
        Where commands run: the ranks' folder.
    project, run, host : str
    attempt, local_size : int
        The latter is how many ranks this node will have.
    find_ranks : callable
        Returns the process number of each rank that is here now.
    """

    clock: Clock
    environ: Mapping[str, str]
    store: Path
    folder: Path
    cwd: str
    project: str
    run: str
    host: str
    attempt: int
    local_size: int
    find_ranks: Callable[[], Mapping[int, int]]


class Said(NamedTuple):
    """What became of an action."""

    level: str
    text: str


class Execution:
    """The actions of one rule that has fired.

    Parameters
    ----------
    firing : Firing
    do : sequence of str
        What to do here, see `Rule`. The job is cancelled last, whatever the order.
    here : Surroundings
    """

    def __init__(self, firing: Firing, do: Sequence[str], here: Surroundings) -> None:
        self._firing = firing
        self._here = here
        words = [split_action(one) for one in do]
        ordered = [one for one in words if one[0] != CANCEL]
        self._todo = deque(ordered + [one for one in words if one[0] == CANCEL])
        asks = any(word in {SIGNAL, STOP} for word, _needed in words)
        self._cancel_s = here.clock.mono_s() + (CANCEL_GRACE_S if asks else 0.0)
        self._signals: list[SignalTask] = []
        self._command: Command | None = None
        self._command_word = ""

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do, nor to be told."""
        return not (self._todo or self._command or self._signals)

    def act(self, *, is_last: bool = False) -> list[Said]:
        """Do what can be done now; return what has become of it.

        Parameters
        ----------
        is_last : bool
            The run is ending: nothing is put off any more.
        """
        said: list[Said] = []
        while self._command is not None or self._todo:
            if self._command is not None:
                if not self._command.is_done:
                    break
                said.append(self._report(self._command))
                self._command = None
                continue
            word, needed = self._todo[0]
            if word == CANCEL and not is_last and self._here.clock.mono_s() < self._cancel_s:
                break
            self._todo.popleft()
            said += self._start(word, needed)
        return said + self._send_signals(is_last=is_last)

    def wait(self, timeout_s: float) -> None:
        """Wait for a command that is running."""
        if self._command is not None:
            self._command.wait(timeout_s)

    def end(self) -> None:
        """End a command that is running."""
        if self._command is not None:
            self._command.end()

    def _start(self, word: str, needed: str) -> list[Said]:
        here = self._here
        if word == SIGNAL:
            until_s = here.clock.mono_s() + SIGNAL_PATIENCE_S
            task = SignalTask(needed, here.find_ranks, expected=here.local_size, until_s=until_s)
            self._signals.append(task)
        elif word == STOP:
            return [self._ask_to_stop()]
        elif word == COMMAND:
            self._command_word = f"command {hide_secrets(needed, here.environ)!r:.80}"
            argv = make_shell_command(needed, here.cwd)
            self._command = Command(argv, self._make_environment(), clock=here.clock)
        elif word == CANCEL:
            argv = make_cancel_command(here.environ) or []
            if not argv:
                return [Said("warning", "the job cannot be cancelled: no scheduler's command here")]
            self._command_word = " ".join([Path(argv[0]).name, *argv[1:]])
            self._command = Command(
                argv, here.environ, clock=here.clock, timeout_s=CANCEL_TIMEOUT_S
            )
        else:
            assert word == MARK  # noqa: S101 - the event itself marks the run
        return []

    def _send_signals(self, *, is_last: bool) -> list[Said]:
        now_s = self._here.clock.mono_s()
        told = [text for one in self._signals for text in one.try_again(now_s, is_last=is_last)]
        self._signals = [one for one in self._signals if not one.is_done]
        return [Said("warning" if " not sent " in text else "info", text) for text in told]

    def _ask_to_stop(self) -> Said:
        here, firing = self._here, self._firing
        try:
            write_stop(
                here.folder,
                who=f"rule {firing.rule.name}",
                why=firing.text,
                attempt=here.attempt,
                wall_s=here.clock.wall_s(),
            )
        except StoreError as error:
            return Said("warning", f"the run cannot be asked to stop: {error.message}")
        return Said("info", "the run is asked to stop")

    def _make_environment(self) -> dict[str, str]:
        here = self._here
        return {
            **here.environ,
            "HPCTRACK_RULE": self._firing.rule.name,
            "HPCTRACK_RULE_TEXT": self._firing.text,
            "HPCTRACK_RUN_ID": here.run,
            "HPCTRACK_PROJECT": here.project,
            "HPCTRACK_DIR": str(here.store),
        }

    def _report(self, command: Command) -> Said:
        level = "info" if command.is_success else "warning"
        said = hide_secrets(command.said, self._here.environ)
        return Said(level, f"{self._command_word}: {said}")
