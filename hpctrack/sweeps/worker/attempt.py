"""Running one attempt: from the claim to the last word."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hpctrack.core.clock import Clock
from hpctrack.errors import HpctrackError, StoreError
from hpctrack.store.record import State
from hpctrack.sweeps.search.point import Point
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.child import ChildEnd, run_child
from hpctrack.sweeps.worker.chosen import choose_point
from hpctrack.sweeps.worker.claims import Claim
from hpctrack.sweeps.worker.ending import tell_search
from hpctrack.sweeps.worker.function import call_function
from hpctrack.sweeps.worker.heartbeat import WorkerFacts
from hpctrack.sweeps.worker.iterations import IterationCounter
from hpctrack.sweeps.worker.launch import make_launch, signal_ranks
from hpctrack.sweeps.worker.printed import OutputPump, PrintedValues, begin_log, read_tail
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_result, write_result
from hpctrack.sweeps.worker.signals import SignalRelay
from hpctrack.sweeps.worker.trial import (
    CANNOT_START,
    describe_start,
    judge_end,
    make_environment,
    make_work_folder,
    prepare_command,
)
from hpctrack.sweeps.worker.trial_runs import TrialRuns, read_value
from hpctrack.sweeps.worker.watch import TrialWatch

if TYPE_CHECKING:
    # Optuna takes a third of a second, which most commands need not pay.
    from hpctrack.sweeps.search.search import Search

PATIENCE_S = 120.0
"""A full disk or a database that restarts may be well again after so long."""

PAUSE_S, PAUSE_MAX_S = 0.25, 4.0
"""Between two tries; each time twice as long."""

REPEAT_PRUNED = "another repeat of its configuration was pruned"

Function = Callable[..., object]
T = TypeVar("T")


def say(text: str) -> None:
    """Tell whoever reads the worker's output."""
    sys.stderr.write(f"hpctrack: {text}\n")
    sys.stderr.flush()


def be_patient(action: Callable[[], T], relay: SignalRelay, clock: Clock) -> T:
    """Try something again while the store or the study cannot be written.

    Raises
    ------
    StoreError
        It could not be for `PATIENCE_S`, or there is no time to wait.
    """
    began_s = clock.mono_s()
    pause_s = PAUSE_S
    while True:
        try:
            return action()
        except StoreError as error:
            if relay.was_stopped or clock.mono_s() - began_s > PATIENCE_S:
                raise
            say(f"{error.message}; trying again")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Runs the attempts of one worker.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    search : Search
        Chooses and judges.
    me : WorkerFacts
        The worker.
    relay : SignalRelay
        Its signals.
    environ : mapping
        What a program's environment is made from.
    clock : Clock
    function : callable, optional
        Called in place of the file's command.
    has_logs : bool
        The output of each trial goes to a file of its own, else to ours.
    timeout_s : float, optional
        Longest time of a trial.
    size : int, optional
        Ranks that a launcher above us starts.
    max_retries : int, optional
        In place of the file's.
    keeps_tail : bool, optional
        Output that goes to ours passes through a pipe, so that its last lines are known.
    launch : str, optional
        Which launch of it.
    """

    sweep: Sweep
    search: Search
    me: WorkerFacts
    relay: SignalRelay
    environ: Mapping[str, str]
    clock: Clock
    function: Function | None = None
    has_logs: bool = True
    timeout_s: float | None = None
    size: int = 1
    max_retries: int | None = None
    keeps_tail: bool = True
    launch: str = ""

    def run(self, claim: Claim) -> TrialResult:
        """Run an attempt, and leave word of how it ended with the sweep and the search.

        Raises
        ------
        StoreError
            No word could be left: another worker will run the trial again.
        """
        configuration, repeat = self.sweep.split(claim.trial)
        running = replace(self._describe(claim), launch=self.launch)
        began_s = self.clock.mono_s()
        if self._is_configuration_pruned(claim.trial):
            result = replace(running, state=TrialState.PRUNED, why=REPEAT_PRUNED)
        else:
            try:
                point = self._be_patient(
                    lambda: choose_point(
                        self.sweep,
                        self.search,
                        configuration,
                        is_new=claim.attempt == 1 and self.sweep.file.seeds == 1,
                    )
                )
                result = self._run_point(claim, running, point, judged=repeat == 0)
            except StoreError:
                raise
            except HpctrackError as error:
                end = ChildEnd(CANNOT_START, message=error.message)
                result = self._judge(running, end, None, error.message)
        result = replace(
            result,
            ended_wall_s=self.clock.wall_s(),
            duration_s=self.clock.mono_s() - began_s,
        )
        return self._leave_word(claim, self._judge_repeat(configuration, repeat, result))

    def give_back(self, claim: Claim) -> TrialResult:
        """Leave word that an attempt was not begun: its trial is free.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        result = replace(
            self._describe(claim),
            state=TrialState.WAITING,
            message="its worker was asked to leave",
            ended_wall_s=self.clock.wall_s(),
            duration_s=0.0,
        )
        write_result(self.sweep.folder, result)
        return result

    def _describe(self, claim: Claim) -> TrialResult:
        """Return what an attempt says when it begins, before its word replaces the last one's."""
        begun = describe_start(claim, self.me, self.environ, self.clock, size=self.size)
        last = read_result(self.sweep.folder, claim.trial) if claim.attempt > 1 else None
        if last is None:
            return begun
        return replace(begun, earlier_s=last.earlier_s + (last.duration_s or 0.0))

    def _run_point(
        self, claim: Claim, running: TrialResult, point: Point, *, judged: bool
    ) -> TrialResult:
        sweep, number = self.sweep, claim.trial
        parameters = sweep.add_repeat(point.parameters, number)
        self._be_patient(lambda: make_work_folder(sweep, number))
        has_log = self.has_logs and self.function is None
        log = sweep.folder.log(number) if has_log else None
        if log is not None:
            self._be_patient(lambda: begin_log(log))
        size = log.stat().st_size if log is not None and log.exists() else 0
        watch = self._be_patient(lambda: self._make_watch(claim, point, log, judged=judged))
        try:
            environ = make_environment(
                sweep,
                number,
                parameters,
                self.environ,
                attempt=claim.attempt,
                link=watch.link.path,
            )
            end, tail, command = self._execute(
                running, parameters=parameters, environ=environ, log=log, watch=watch
            )
        finally:
            watch.finish()
        end = self._believe_run(number, end)
        tail = tail or watch.tail or (read_tail(log, size) if log is not None else "")
        result = self._judge(running, end, watch, tail)
        return self._add_values(replace(result, command=command), watch)

    def _execute(
        self,
        running: TrialResult,
        *,
        parameters: Mapping[str, Any],
        environ: Mapping[str, str],
        log: Path | None,
        watch: TrialWatch,
    ) -> tuple[ChildEnd, str, tuple[str, ...]]:
        """Run the program; return how it ended, a function's last words, and its command."""
        if self.function is not None:
            self._begin(running)
            end, tail = call_function(self.function, parameters, environ, watch, relay=self.relay)
            if tail:
                self._keep_traceback(running.trial, tail)
            # Whoever interrupts a trial does not want the next one.
            self.relay.was_stopped |= end.was_stopped
            return end, tail, ()
        words = self._be_patient(
            lambda: prepare_command(self.sweep, running.trial, parameters, environ)
        )
        launch = make_launch(self.sweep, environ)
        command = (*launch, *words)
        self._begin(replace(running, command=command))
        end = run_child(
            command,
            environ=environ,
            directory=self.sweep.directory,
            output=watch.writer or log,
            timeout_s=self.timeout_s,
            relay=self.relay,
            watch=watch,
            signal_ranks=partial(signal_ranks, environ) if launch else None,
        )
        return end, "", command

    def _believe_run(self, number: int, end: ChildEnd) -> ChildEnd:
        """Return a failure if the program ended well but its run did not: a rank has died."""
        if end.exit_code or end.gave_up:
            return end
        record = TrialRuns(self.sweep).read(number)
        if record is None or record.state != State.FAILED:
            return end
        return replace(end, exit_code=1, message="its run has failed")

    def _keep_traceback(self, number: int, tail: str) -> None:
        """Show what a function raised, where a program would have shown it."""
        sys.stderr.write(f"{tail}\n")
        log = self.sweep.folder.log(number)
        with suppress(HpctrackError, OSError):
            begin_log(log)
            with log.open("a") as file:
                file.write(f"{tail}\n")

    def _begin(self, running: TrialResult) -> None:
        self._be_patient(lambda: write_result(self.sweep.folder, running))

    def _judge(
        self, running: TrialResult, end: ChildEnd, watch: TrialWatch | None, tail: str
    ) -> TrialResult:
        return judge_end(
            running,
            end,
            why=watch.why if watch else "",
            is_cancelled=bool(watch and watch.is_cancelled),
            is_interrupted=end.was_stopped or self._is_interrupted(watch),
            max_retries=(
                self.sweep.file.max_retries if self.max_retries is None else self.max_retries
            ),
            log_tail=tail,
        )

    def _is_interrupted(self, watch: TrialWatch | None) -> bool:
        """Tell whether the end of the program may be our leaving's doing.

        One that nobody could warn, and that nothing has ended, has ended by itself.
        """
        if self.relay.was_stopped or not self.relay.was_warned:
            return self.relay.was_stopped
        return watch is None or watch.may_have_obeyed or self.relay.passes_warning

    def _add_values(self, result: TrialResult, watch: TrialWatch) -> TrialResult:
        """Add the metrics: from the run's summary, else what the worker has heard."""
        names = self.sweep.file.metric_names()
        values = {name: watch.values[name] for name in names if name in watch.values}
        if names and result.state in {TrialState.FINISHED, TrialState.PRUNED}:
            record = TrialRuns(self.sweep).read(result.trial)
            told = {name: read_value(record.summary, name) for name in names} if record else {}
            values |= {name: value for name, value in told.items() if value is not None}
        if names and result.state == TrialState.FINISHED and not values:
            say(f"trial {result.trial} never logged {names[0]!r}: the search learns nothing of it")
        return replace(
            result,
            iterations=watch.iterations,
            pace_s=watch.pace_s,
            values=values,
            value=values.get(names[0]) if self.sweep.file.metrics else None,
        )

    def _leave_word(self, claim: Claim, result: TrialResult) -> TrialResult:
        folder = self.sweep.folder
        if folder.claim(claim.trial, claim.attempt + 1).exists():
            say(f"trial {claim.trial} was given to somebody else while it ran here")
            return read_result(folder, claim.trial) or result
        self._be_patient(lambda: write_result(folder, result))
        if result.state.is_over:
            self._tell(claim.trial)
        return result

    def _tell(self, number: int) -> None:
        configuration, _repeat = self.sweep.split(number)
        try:
            self._be_patient(lambda: tell_search(self.sweep, self.search, configuration))
        except HpctrackError as error:
            # The files have it: the next worker that starts tells the search.
            say(f"trial {number}: {error.message}")

    def _is_judged(self) -> bool:
        file = self.sweep.file
        return len(file.metrics) == 1 and not self.search.judges_repeats

    def _judge_repeat(self, configuration: int, repeat: int, result: TrialResult) -> TrialResult:
        """Let a rule that goes by whole repeats look at one; the next ones need not run then."""
        value = result.value
        if not self.search.judges_repeats or result.state != TrialState.FINISHED or value is None:
            return result
        try:
            point = choose_point(self.sweep, self.search, configuration)
            why = self._be_patient(lambda: self.search.report(point.number, repeat + 1, value))
        except HpctrackError as error:
            say(f"trial {result.trial} goes on unjudged: {error.message}")
            return result
        return replace(result, state=TrialState.PRUNED, why=why) if why else result

    def _is_configuration_pruned(self, number: int) -> bool:
        """Tell whether another repeat of a trial's configuration was pruned."""
        first = number - self.sweep.split(number)[1]
        others = (one for one in range(first, first + self.sweep.file.seeds) if one != number)
        words = (read_result(self.sweep.folder, one) for one in others)
        return any(one is not None and one.state == TrialState.PRUNED for one in words)

    def _count_earlier(self, claim: Claim) -> IterationCounter:
        metric = self.sweep.file.metric
        if claim.attempt == 1 or metric is None:
            return IterationCounter()
        return IterationCounter(TrialRuns(self.sweep).read_steps(claim.trial, metric.name))

    def _make_watch(
        self, claim: Claim, point: Point, log: Path | None, *, judged: bool
    ) -> TrialWatch:
        pump: OutputPump | None = None
        try:
            pump = self._make_pump(log)
            return TrialWatch(
                self.sweep,
                claim.trial,
                point=point.number,
                search=self.search if judged and self._is_judged() else None,
                counter=self._count_earlier(claim),
                attempt=claim.attempt,
                clock=self.clock,
                pump=pump,
                relay=self.relay,
                say=say,
            )
        except OSError as error:
            if pump is not None:
                pump.finish()
            raise StoreError(f"cannot make a trial's socket: {error}") from None

    def _make_pump(self, log: Path | None) -> OutputPump | None:
        values = PrintedValues(self.sweep.file.metrics)
        is_needed = self.function is None and (bool(values) or (log is None and self.keeps_tail))
        return OutputPump(log, values) if is_needed else None

    def _be_patient(self, action: Callable[[], T]) -> T:
        return be_patient(action, self.relay, self.clock)
