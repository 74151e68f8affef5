"""A worker: takes trials and runs them until its time is up, or there are none left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.errors import HpctrackError
from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.search.packages import demand_packages
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.attempt import Function, Runner, be_patient, say
from hpctrack.sweeps.worker.claims import Claim
from hpctrack.sweeps.worker.ending import catch_up, tell_search
from hpctrack.sweeps.worker.heartbeat import (
    BROKEN,
    INTERVAL_S,
    STALE_S,
    Heartbeat,
    Liveness,
    describe_allocation,
    describe_worker,
)
from hpctrack.sweeps.worker.pool import TrialPool
from hpctrack.sweeps.worker.result import TrialResult, TrialState
from hpctrack.sweeps.worker.signals import SignalRelay
from hpctrack.sweeps.worker.time_left import NEARLY_UP_S, TimeLeft, estimate_s

PAUSED_MAX_S = 600.0
"""A paused sweep keeps its allocations for so long; then they are given back."""

WAIT_S = 1.0

FAILURES_AT_FIRST = 5
"""If the first trials of a worker all fail, the program is broken, and the rest would fail too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a worker may do.

    Parameters
    ----------
    max_trials : int or None
        It takes at most so many.
    share : int or None
        The submission that it belongs to; None for one that was started by hand.
    limit : int or None
        The submission as a whole takes at most so many new trials.
    time_limit_s : float or None
        Where no scheduler bounds it.
    trial_timeout_s : float or None
        Longest time of each trial.
    has_logs : bool
        The output of each trial goes to a file of its own, else to the worker's.
    restored : mapping
        Variables that submitit's local executor overwrites, and what they were; None for unset.
    stale_s, interval_s : float
        See `hpctrack.sweeps.worker.heartbeat`.
    """

    max_trials: int | None = None
    share: int | None = None
    limit: int | None = None
    time_limit_s: float | None = None
    trial_timeout_s: float | None = None
    has_logs: bool = True
    restored: Mapping[str, str | None] = field(default_factory=dict)
    stale_s: float = STALE_S
    interval_s: float = INTERVAL_S


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """What a worker has done.

    Parameters
    ----------
    taken, finished, pruned, failed : int
        Trials; one that failed here may be tried again elsewhere.
    why : str
        Why it has left.
    should_requeue : bool
        A trial of its was cut short by the end of its time: the same job may go on with it.
    """

    taken: int
    finished: int
    pruned: int
    failed: int
    why: str
    should_requeue: bool = False


def run_worker(
    sweep: Sweep,
    options: WorkerOptions | None = None,
    *,
    function: Function | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> WorkerEnd:
    """Take trials of a sweep, one after the other, in this process's allocation.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    options : WorkerOptions, optional
        What it may do.
    function : callable, optional
        Is called for each trial, in this process, in place of the file's command.
    environ : mapping, optional
        What the programs' environment is made from. Default: ours.
    clock : Clock, optional
        For tests.

    Returns
    -------
    WorkerEnd
        Trials that failed are no error of the worker's.

    Raises
    ------
    StoreError
        The sweep's folder, or its study, cannot be written for minutes.
    """
    demand_packages(sweep.file.method)
    from hpctrack.sweeps.search.search import Search  # noqa: PLC0415 - Optuna takes 0.3 s

    options = options or WorkerOptions()
    environ = _restore(environment() if environ is None else environ, options.restored)
    cpus, gpus = describe_allocation(sweep.file.slurm, environ)
    me = describe_worker(environ, clock, share=options.share, cpus=cpus, gpus=gpus)
    heartbeat = Heartbeat(sweep.folder, me, clock=clock, interval_s=options.interval_s)
    with SignalRelay(passes_warning="signal_delay_s" in sweep.file.slurm) as relay:
        be_patient(heartbeat.begin, relay, clock)
        why = BROKEN
        try:
            search = be_patient(lambda: Search.open(sweep), relay, clock)
            try:
                runner = Runner(
                    sweep=sweep,
                    search=search,
                    me=me,
                    relay=relay,
                    environ=environ,
                    clock=clock,
                    function=function,
                    has_logs=options.has_logs,
                    timeout_s=options.trial_timeout_s,
                )
                liveness = Liveness(
                    sweep.folder,
                    me,
                    clock=clock,
                    stale_s=options.stale_s,
                    interval_s=options.interval_s,
                )
                end = _Worker(runner, options, liveness).run()
            finally:
                search.close()
            why = end.why
        except HpctrackError as error:
            why = f"{BROKEN}: {error.message}"
            raise
        finally:
            heartbeat.end(why)
    return end


class _Worker:
    """The loop of one worker."""

    def __init__(self, runner: Runner, options: WorkerOptions, liveness: Liveness) -> None:
        self._runner = runner
        self._sweep = runner.sweep
        self._relay = runner.relay
        self._clock = runner.clock
        self._options = options
        self._time = TimeLeft(runner.environ, clock=runner.clock, limit_s=options.time_limit_s)
        self._results: list[TrialResult] = []
        self._failed: dict[int, bool] = {}
        self._paused_s: float | None = None
        self._hoped_s: float | None = None
        self._pool = be_patient(lambda: self._make_pool(liveness), runner.relay, runner.clock)

    def run(self) -> WorkerEnd:
        """Work."""
        why = ""
        while not why:
            why = self._find_reason()
            if why:
                break
            if self._paused_s is not None:
                time.sleep(WAIT_S)
                continue
            claim = be_patient(self._take, self._relay, self._clock)
            if claim is None:
                why = self._wait_for_others()
                continue
            self._hoped_s = None
            if self._relay.must_leave:
                self._give_back(claim)
            else:
                self._run(claim)
        last = {one.trial: one for one in self._results}
        states = [one.state for one in last.values()]
        return WorkerEnd(
            taken=len(states),
            finished=states.count(TrialState.FINISHED),
            pruned=states.count(TrialState.PRUNED),
            failed=sum(self._failed.values()),
            why=why,
            should_requeue=self._should_requeue,
        )

    def _take(self) -> Claim | None:
        """Take a trial: the one that has just failed here, if it may be tried again, else any."""
        if self._is_to_be_tried_again:
            claim = self._pool.retake(self._results[-1].trial)
            if claim is not None or self._has_enough:
                return claim
        return self._pool.take()

    @property
    def _has_enough(self) -> bool:
        most = self._options.max_trials
        return most is not None and len({one.trial for one in self._results}) >= most

    @property
    def _should_requeue(self) -> bool:
        """Whether the time was up in the middle of a trial.

        A job that is cancelled is to stay away, and Slurm puts one back itself that it preempts.
        """
        if not self._relay.was_warned or not self._is_to_be_tried_again:
            return False
        return not self._relay.was_stopped or self._time.left_s(asks=False) <= NEARLY_UP_S

    @property
    def _is_to_be_tried_again(self) -> bool:
        return self._results[-1:] != [] and self._results[-1].state == TrialState.WAITING

    def _run(self, claim: Claim) -> None:
        again = f", attempt {claim.attempt}" if claim.attempt > 1 else ""
        say(f"trial {claim.trial} of sweep {self._sweep.id}{again}")
        result = self._runner.run(claim)
        self._results.append(result)
        # A trial that somebody else's attempt has failed, and ours not, is no failure of ours.
        self._failed[claim.trial] = (
            result.state == TrialState.FAILED or result.failures > claim.failures
        )
        if result.state.is_over:
            self._pool.settle(claim.trial)
        if result.state == TrialState.FINISHED and result.duration_s is not None:
            self._pool.durations_s.append(result.duration_s)
        said = result.message or result.why
        is_retry = result.state == TrialState.WAITING and result.failures > claim.failures
        how = "failed, to be tried again" if is_retry else result.state.value
        say(f"trial {claim.trial}: {how}{f', {said}' if said else ''}")

    def _give_back(self, claim: Claim) -> None:
        """Say that a trial is free, because we were asked to leave just when we had taken it."""
        with suppress(HpctrackError):  # the end of our heartbeat says the same
            self._results.append(self._runner.give_back(claim))

    def _find_reason(self) -> str:
        """Return why no other trial may begin; empty if one may."""
        if self._relay.must_leave:
            return "it was asked to leave"
        control = read_control(self._sweep.folder)
        if control.wish in {Wish.STOP, Wish.CANCEL}:
            who = f" by {control.who}" if control.who else ""
            return f"the sweep was {'stopped' if control.wish == Wish.STOP else 'cancelled'}{who}"
        if self._is_paused_for_long(control.wish):
            return "the sweep is paused"
        return self._find_own_reason()

    def _find_own_reason(self) -> str:
        """Return why this worker, of all, should take no other trial."""
        if self._has_enough and not self._is_to_be_tried_again:
            return f"it has taken {self._options.max_trials} trials"
        first = list(self._failed.values())[:FAILURES_AT_FIRST]
        if len(first) == FAILURES_AT_FIRST and all(first) and not self._is_to_be_tried_again:
            return f"its first {FAILURES_AT_FIRST} trials all failed"
        durations_s = self._pool.durations_s
        if self._time.has_room(durations_s):
            return ""
        needed_s = estimate_s(durations_s)
        needs = f", a trial needs about {needed_s:.0f} s" if needed_s else ""
        return f"its time is up: {max(self._time.left_s(), 0):.0f} s left{needs}"

    def _is_paused_for_long(self, wish: Wish) -> bool:
        """Note whether the sweep is paused, and tell whether waiting costs too much by now."""
        if wish != Wish.PAUSE:
            self._paused_s = None
            return False
        now_s = self._clock.mono_s()
        if self._paused_s is None:
            self._paused_s = now_s
            say(f"sweep {self._sweep.id} is paused")
        return now_s - self._paused_s > PAUSED_MAX_S

    def _wait_for_others(self) -> str:
        """Wait while a trial may soon be free; return why it is not worth it."""
        now_s = self._clock.mono_s()
        if not self._pool.is_hopeful():
            return "no trials are left" + (
                f" ({self._pool.running_count} run elsewhere)" if self._pool.running_count else ""
            )
        if self._hoped_s is None:
            self._hoped_s = now_s
        if now_s - self._hoped_s > 2 * self._options.stale_s:
            return "no trials are left"
        time.sleep(WAIT_S)
        return ""

    def _tell_of_warm_start(self) -> None:
        if self._runner.search.warm_points == 0:
            names = ", ".join(self._sweep.file.warm_start)
            say(
                f"warm_start: no finished trial of {names} fits this sweep: it takes the same "
                "metric and goal, and values within the parameters"
            )

    def _make_pool(self, liveness: Liveness) -> TrialPool:
        self._tell_of_warm_start()
        settled = catch_up(self._sweep, self._runner.search)
        return TrialPool(
            self._sweep,
            self._runner.me,
            liveness,
            clock=self._clock,
            limit=self._options.limit,
            settled=settled,
            on_loss=self._tell_loss,
        )

    def _tell_loss(self, result: TrialResult) -> None:
        say(f"trial {result.trial}: {result.message}")
        try:
            tell_search(self._sweep, self._runner.search, self._sweep.split(result.trial)[0])
        except HpctrackError as error:
            say(error.message)


def _restore(environ: Mapping[str, str], earlier: Mapping[str, str | None]) -> dict[str, str]:
    restored = {key: value for key, value in environ.items() if key not in earlier}
    return restored | {key: value for key, value in earlier.items() if value is not None}
