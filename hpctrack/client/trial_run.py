"""A run that is a trial of a sweep, or wants to hear of its early end by an exception.

Loaded for these only: the `Run` of everybody else pays nothing for it.
"""

from __future__ import annotations

import json
import os
from _thread import get_native_id
from collections.abc import Iterator, Mapping
from pathlib import Path

from hpctrack.client.agreement import STEP
from hpctrack.client.config import Config, merge
from hpctrack.client.run import Run
from hpctrack.client.run_logging import read_whole
from hpctrack.client.trial_link import TrialLink
from hpctrack.client.values import NotANumberError, iter_flat, to_number
from hpctrack.core.settings import environment
from hpctrack.core.trial_wire import (
    FOLDER_VARIABLE,
    METRICS_VARIABLE,
    SOCKET_VARIABLE,
    Hello,
    read_metrics,
)
from hpctrack.core.wire import Kind
from hpctrack.errors import Pruned, UsageError, is_of_a_signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def take_parameters(config: Config, text: str) -> None:
    """Put a sweep's parameters over what the program has chosen, as in W&B.

    Parameters
    ----------
    config : Config
        The run's.
    text : str
        ``HPCTRACK_SWEEP_CONFIG``.

    Raises
    ------
    UsageError
        It is not JSON.
    """
    try:
        chosen = json.loads(text)
    except ValueError as error:
        raise UsageError(f"HPCTRACK_SWEEP_CONFIG is not JSON: {error}") from None
    if not isinstance(chosen, dict):
        raise UsageError("HPCTRACK_SWEEP_CONFIG is not a JSON object")
    config.update(merge(config.as_dict(), chosen), allow_val_change=True)


class TrialRun(Run):
    """A `Run` whose rank 0 reports to the sweep's worker; see ``docs/how-to/stop-trials-early.md``.

    `should_stop` gives all ranks the same answer at the same call. With the setting
    ``raise_pruned``, ``log`` raises `Pruned` instead. Per-rank.
    """

    _agrees = True
    _worker: str = ""
    _link: TrialLink | None = None
    _wanted: Wanted | None = None
    _top_step: int | None = None
    _has_raised = False

    def open(self) -> None:
        """Find the agent, and on rank 0 read where the worker is."""
        super().open()
        if self.rank == 0 and self._channel is not None:
            self._worker = environment().get(SOCKET_VARIABLE, "")
        if self._worker:
            self._wanted = Wanted(read_metrics(environment().get(METRICS_VARIABLE, "")))

    @property
    def checkpoint_dir(self) -> Path | None:
        """A sweep's folder for this trial's checkpoints, the same in all attempts; None elsewhere.

        Per-rank, and the same on all.
        """
        folder = environment().get(FOLDER_VARIABLE, "")
        return Path(folder) if folder else None

    # -- logging ---------------------------------------------------------------------------------

    def log(
        self,
        data: Mapping[str, Any],
        step: int | None = None,
        commit: bool = True,  # noqa: FBT001, FBT002 - W&B's signature
        sync: bool | None = None,  # noqa: FBT001 - as above
    ) -> None:
        """Record numbers, media and tables at a step, see `Run.log`. Per-rank.

        Raises
        ------
        Pruned
            Only with the setting ``raise_pruned``: the run is to end, and this call would have
            begun a new step. Raised once, in the main thread, on all ranks at the same step.
        """
        at = self._find_step(step)
        if self._settings.raise_pruned:
            self._begin_step(at)
        super().log(data, step, commit, sync)
        self._report(data, at)

    def _log_at(self, data: Mapping[str, Any], step: int, wall_s: float) -> None:
        super()._log_at(data, step, wall_s)
        self._report(data, step)

    def _log_the_late(self) -> None:
        # Not by our own `log`, which has reported them, and may have something to raise.
        while self._late:
            try:
                late = self._late.popleft()
            except IndexError:
                return
            super().log(*late)

    def _find_step(self, step: object) -> int:
        """Return the step that ``log`` will take, without a word about a wrong one."""
        if type(step) is int:
            return step
        try:
            return self.step if step is None else read_whole(step)
        except Exception as error:
            if is_of_a_signal(error):
                raise
            return self.step

    def _report(self, data: Mapping[str, Any], step: int) -> None:
        """Tell the worker what it wants to hear of."""
        wanted, channel = self._wanted, self._channel
        if wanted is None or channel is None or self._is_finished or not hasattr(data, "items"):
            return
        try:
            values = wanted.choose(data)
            link = self._open_link() if values else None
            if link is not None:
                # What the worker has no room for is in the run all the same: no loss of the run's.
                link.report(step, values)
        except Exception as error:  # noqa: BLE001 - nothing may reach the training
            self._faults.trouble("log", error)

    # -- its end, when it is asked for -----------------------------------------------------------

    def _begin_step(self, step: int) -> None:
        """Raise `Pruned` if the run is to end before a step that no call has had yet."""
        if self._has_raised or self._is_finished or self._channel is None:
            return
        if self._end is not None:
            return  # `should_stop` has told the program, which does what it will
        if self._top_step is not None and step <= self._top_step:
            return
        if get_native_id() != os.getpid():
            return  # it would end a thread, and not the program
        try:
            is_agreed = self.place.size > 1
            found = self._agree().ask(STEP, step) if is_agreed else self._find_wish()
        except Exception as error:  # noqa: BLE001 - as above
            self._faults.trouble("log", error)
            return
        self._top_step = step
        if found is not None:
            self._has_raised = True
            if self._end is None:
                self._begin_end(found)
            raise Pruned(self.stop_reason)

    def _find_wish(self) -> dict[str, Any] | None:
        """Return who wants this trial to end: its sweep, or whoever asks any run."""
        link = self._open_link()
        return (link.ask() if link is not None else None) or super()._find_wish()

    def _open_link(self) -> TrialLink | None:
        """Return the line to the worker, if there is one.

        Opened when it is first needed: a wrapper around the program is rank 0, too, and has
        nothing to say.
        """
        if self._link is None and self._worker:
            wait_s = self._settings.stop_answer_timeout_s
            self._link = TrialLink(self._worker, clock=self._clock, wait_s=wait_s)
            attempt = (self._welcome or {}).get("attempt", self.place.attempt)
            self._greet_worker(int(attempt))
        return self._link

    def _greet_worker(self, attempt: int) -> None:
        if self._link is not None:
            raises = self._settings.raise_pruned
            self._link.greet(Hello(self.id, attempt, os.getpid(), raises))

    def on_message(self, kind: int, message: dict[str, Any]) -> None:
        """Take what the agent says; called by the channel."""
        super().on_message(kind, message)
        if kind == Kind.WELCOME:
            attempt, run = message.get("attempt"), message.get("run")
            if (attempt, run) != (self.place.attempt, self._hello.get("run")):
                self._greet_worker(int(attempt or self.place.attempt))

    def finish(
        self, exit_code: int | None = None, *, quiet: bool | None = None, waited_s: float = 0.0
    ) -> bool:
        """End this rank's part of the run, see `Run.finish`."""
        is_safe = super().finish(exit_code, quiet=quiet, waited_s=waited_s)
        self._hang_up()
        return is_safe

    def detach(self) -> None:
        """In a forked child: record nothing, and leave the parent's run alone."""
        super().detach()
        self._hang_up()

    def _hang_up(self) -> None:
        link, self._link, self._worker = self._link, None, ""
        if link is not None:
            link.close()


class Wanted:
    """The metrics that a sweep wants to hear of.

    Parameters
    ----------
    names : sequence of str
        The sweep's; ``val.loss`` also means what the run calls ``val/loss``, as nested mappings
        are logged.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {name.replace(".", "/"): name for name in names}
        self._names |= {name: name for name in names}
        self._tops = {name.partition("/")[0] for name in self._names if "/" in name}

    def choose(self, data: Mapping[str, Any]) -> dict[str, float]:
        """Return the values of a ``log`` call that are wanted, by the sweep's names.

        Parameters
        ----------
        data : mapping
            As ``log`` was given it; what is no number is left out.
        """
        found: dict[str, float] = {}
        for name, value in self._iter_wanted(data):
            try:
                found[self._names[name]] = to_number(value)
            except NotANumberError:
                continue  # `log` has told it
        return found

    def _iter_wanted(self, data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        for key, value in data.items():
            name = str(key)
            if isinstance(value, Mapping):
                if name.partition("/")[0] in self._tops:
                    inner = iter_flat(value, f"{name}/")
                    yield from (pair for pair in inner if pair[0] in self._names)
            elif name in self._names:
                yield name, value
