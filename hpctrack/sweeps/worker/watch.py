"""Watching a trial: what its metric is, whether the search would stop it, and telling it so."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from hpctrack.agents.stop import write_stop
from hpctrack.core.clock import Clock
from hpctrack.core.layout import run_folder
from hpctrack.errors import HpctrackError
from hpctrack.store.run_tail import RunTail
from hpctrack.sweeps.control import TARGET, Wish, read_control, write_control
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.iterations import IterationCounter
from hpctrack.sweeps.worker.link import Heard, TrialLink
from hpctrack.sweeps.worker.printed import OutputPump
from hpctrack.sweeps.worker.signals import SignalRelay

if TYPE_CHECKING:
    # Optuna takes a third of a second, which most commands need not pay.
    from hpctrack.sweeps.search.search import Search

LEAVING = "its allocation is about to end"
CANCELLED = "the sweep was cancelled"
LOST = "it was given to somebody else"


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a trial is waited for.

    Parameters
    ----------
    look_s : float
        Between two looks at the run's files, where rank 0 cannot reach us, and at what people
        want.
    silent_s : float
        A program that has not called within this time may be on another node, or written in C.
    obey_s : float
        A program that asks whether to stop gets so long to do it: it may have a checkpoint to
        write.
    notice_s : float
        One that reports but never asks gets this, or twice the time between two reports.
    file_obey_s : float
        One that can only be told by its stop file.
    """

    look_s: float = 2.0
    silent_s: float = 3.0
    obey_s: float = 300.0
    notice_s: float = 10.0
    file_obey_s: float = 60.0


PATIENCE = Patience()


class TrialWatch:
    """Looks after one attempt of a trial while its program runs.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    number : int
        Which trial.
    point : int
        Of the search.
    search : Search or None
        None: the trial's course is not judged (a repeat other than the first, several metrics).
    counter : IterationCounter
        Knows the steps of earlier attempts.
    attempt : int
        Of the run, for its stop file.
    clock : Clock
    pump : OutputPump, optional
        The program's output, if values are looked for in it.
    relay : SignalRelay, optional
        Hears that the allocation is about to end, which the program is told.
    say : callable
        Takes what whoever reads the worker's output should know.
    patience : Patience, optional
        With the program.

    Attributes
    ----------
    why : str
        Why the search would stop the trial; empty if it would not.
    is_cancelled : bool
        Somebody wants it to end.
    is_lost : bool
        Somebody else has the next attempt of the trial: this worker was silent for too long.
    values : dict
        The latest of each metric.
    """

    def __init__(
        self,
        sweep: Sweep,
        number: int,
        *,
        point: int,
        search: Search | None,
        counter: IterationCounter,
        attempt: int,
        clock: Clock,
        pump: OutputPump | None = None,
        relay: SignalRelay | None = None,
        say: Callable[[str], None] = lambda _text: None,
        patience: Patience = PATIENCE,
    ) -> None:
        self.why = ""
        self.is_cancelled = self.is_lost = False
        self.values: dict[str, float] = {}
        self.link = TrialLink()
        self._sweep = sweep
        self._number = number
        self._point = point
        self._search = search
        self._counter = counter
        self._attempt = attempt
        self._clock = clock
        self._pump = pump
        self._relay = relay
        self._say = say
        self._patience = patience
        if pump is not None:
            self.link.selector.register(pump.fd, 1, "output")
        self._began_s = self._looked_s = clock.mono_s()
        self._last_report_s = self._began_s
        self._report_gap_s = 0.0
        self._first_report: tuple[int, float] | None = None
        self._has_begun = self._asks = self._raises = False
        self._decided_s = math.inf
        self._told = self._leaving = ""
        self._best: float | None = None
        self._tail: RunTail | None = None
        self._complained = False

    @property
    def writer(self) -> IO[bytes] | None:
        """Where the program writes its output; None if nobody looks at it."""
        return None if self._pump is None else self._pump.writer

    @property
    def tail(self) -> str:
        """The last lines of the program's output; empty if they did not pass through here."""
        return "" if self._pump is None else self._pump.tail

    @property
    def iterations(self) -> int:
        """How many steps have had the first metric."""
        return len(self._counter)

    @property
    def pace_s(self) -> float | None:
        """Time from one iteration to the next; None before there were two."""
        if self._first_report is None or len(self._counter) <= self._first_report[0]:
            return None
        count, began_s = self._first_report
        return (self._last_report_s - began_s) / (len(self._counter) - count)

    @property
    def may_have_obeyed(self) -> bool:
        """Whether the program may have ended because it was told that its time is up."""
        return bool(self._leaving) and (self._asks or self._raises or self._tail is not None)

    def turn(self, timeout_s: float) -> str:
        """Listen for a while; return why the program has to be ended now, if it has to."""
        self._take(self.link.listen(timeout_s))
        if self._pump is not None:
            self._take_printed(self._pump.read())
        now_s = self._clock.mono_s()
        if now_s - self._looked_s >= self._patience.look_s:
            self._looked_s = now_s
            self._look_around(now_s)
        leaving = self._find_leaving()
        self.link.answer(self.why or leaving)
        if leaving and not self._leaving:
            # It may write a checkpoint; whether it ends by itself or later by SIGTERM is its own
            # affair. A function cannot be ended otherwise.
            self._leaving = leaving
            self._tell(leaving)
        if self.is_cancelled or self.is_lost:
            return leaving
        return self._enforce(now_s) if self.why else ""

    def _find_leaving(self) -> str:
        """Return why the program should end, whatever the search thinks of it."""
        if self.is_cancelled:
            return CANCELLED
        if self.is_lost:
            return LOST
        return LEAVING if self._relay is not None and self._relay.must_leave else ""

    def finish(self) -> None:
        """Take what was said last, and close; the program has ended."""
        if self._pump is not None:
            self.link.selector.unregister(self._pump.fd)
        for heard in self.link.listen_to_rest():
            self._take(heard)
        if self._pump is not None:
            self._take_printed(self._pump.finish())
        self.link.close()
        if self._tail is not None:
            self._tail.close()

    def _take(self, heard: Heard) -> None:
        self._has_begun |= heard.has_begun
        self._raises |= heard.raises
        self._asks |= heard.asks > 0
        for step, values in heard.reports:
            self._report(step, values)

    def _take_printed(self, found: list[tuple[str, int, float]]) -> None:
        for name, step, value in found:
            self._report(step, {name: value})

    def _report(self, step: int, values: dict[str, float]) -> None:
        self.values |= values
        first = self._sweep.file.metric
        if first is None or first.name not in values:
            return
        now_s = self._clock.mono_s()
        self._report_gap_s, self._last_report_s = now_s - self._last_report_s, now_s
        value = values[first.name]
        self._check_target(value)
        if not math.isnan(value):
            better = min if first.goal == "minimize" else max
            self._best = value if self._best is None else better(self._best, value)
        iteration = self._counter.count(step)
        if self._first_report is None:
            self._first_report = len(self._counter), now_s
        if self._search is None or self.why or not self._search.wants(iteration):
            return
        try:
            why = self._search.report(self._point, iteration, value, best=self._best)
        except HpctrackError as error:
            if not self._complained:
                self._complained = True
                self._say(f"trial {self._number} goes on unjudged: {error.message}")
            return
        if why:
            self.why, self._decided_s = why, self._clock.mono_s()

    def _check_target(self, value: float) -> None:
        """End the sweep when a trial has reached what it was to find, as W&B does."""
        metric = self._sweep.file.metric
        if metric is None or metric.target is None or math.isnan(value):
            return
        sign = 1.0 if metric.goal == "minimize" else -1.0
        is_reached = sign * value <= sign * metric.target
        if is_reached and read_control(self._sweep.folder).wish == Wish.RUN:
            write_control(self._sweep.folder, Wish.STOP, who=TARGET, clock=self._clock)
            self._say(f"trial {self._number} has reached the target: no new trials")

    def _look_around(self, now_s: float) -> None:
        # A file that cannot be read for once does not take a wish back that was followed already.
        self.is_cancelled |= read_control(self._sweep.folder).wish == Wish.CANCEL
        # Two programs would write one run.
        with suppress(OSError):
            self.is_lost |= self._sweep.folder.claim(self._number, self._attempt + 1).exists()
        is_silent = now_s - self._began_s >= self._patience.silent_s
        is_printed = self._pump is not None and self._pump.is_searched
        if self._has_begun or is_printed or not is_silent:
            return
        try:
            self._read_files()
        except (HpctrackError, OSError):
            return  # it is not there yet, or just being sealed; we look again

    def _read_files(self) -> None:
        metrics = set(self._sweep.file.metric_names())
        if self._tail is None:
            folder = run_folder(
                self._sweep.store, self._sweep.project, self._sweep.run_id(self._number)
            )
            if not metrics or not folder.is_dir():
                return
            self._tail = RunTail(folder, clock=self._clock)
        for node in self._tail.visit():
            for point in self._tail.iter_new_points(node):
                if point.rank == 0 and point.metric in metrics:
                    self._report(point.step, {point.metric: point.value})

    def _enforce(self, now_s: float) -> str:
        """Tell the program to stop; end it if it has had its time, or cannot be told."""
        if not self._has_begun and self._tail is None:
            return self.why
        if not self._told:
            self._told = self.why
            self._tell(self.why)
        if not self._has_begun:
            grace_s = self._patience.file_obey_s
        elif self._asks or self._raises:
            grace_s = self._patience.obey_s
        else:
            grace_s = max(self._patience.notice_s, 2 * self._report_gap_s)
        return self.why if now_s - self._decided_s > grace_s else ""

    def _tell(self, why: str) -> None:
        self.link.tell(why)
        if self._tail is None:
            return
        try:
            write_stop(
                self._tail.folder,
                who="sweep",
                why=why,
                attempt=self._attempt,
                wall_s=self._clock.wall_s(),
            )
        except HpctrackError as error:
            self._say(error.message)
