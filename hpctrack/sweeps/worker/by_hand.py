"""One trial, named by its number, in the allocation of this process: for batch scripts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

from hpctrack.client.ranks import RankInfo, detect_rank
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.errors import HpctrackError, SweepError
from hpctrack.sweeps.search.packages import demand_packages
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.attempt import Runner, say
from hpctrack.sweeps.worker.child import ChildEnd, run_child
from hpctrack.sweeps.worker.claims import Claim, find_last_claim, make_claim
from hpctrack.sweeps.worker.heartbeat import (
    Heartbeat,
    Liveness,
    WorkerFacts,
    describe_allocation,
    describe_worker,
)
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_result, write_result
from hpctrack.sweeps.worker.signals import SignalRelay
from hpctrack.sweeps.worker.trial import (
    CANNOT_START,
    describe_start,
    make_environment,
    prepare_command,
)

CHOICE_WAIT_S = 300.0
"""How long the other ranks wait for rank 0 to have taken the trial."""


def run_trial(
    sweep: Sweep,
    number: int,
    *,
    environ: Mapping[str, str] | None = None,
    timeout_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> TrialResult:
    """Run one attempt of one trial, whether or not it has run before. Per-rank.

    Where a launcher starts this once for each rank of a trial, every rank starts the program, rank
    0 speaks for the trial, and the others speak only if they fail.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    number : int
        Which.
    environ : mapping, optional
        What the program's environment is made from. Default: ours.
    timeout_s : float, optional
        See `run_child`.
    clock : Clock, optional
        For tests.

    Returns
    -------
    TrialResult
        Also for a program that could not be started.

    Raises
    ------
    SweepError
        The sweep has no such trial, or a worker that is alive has it.
    StoreError
        The sweep's folder cannot be written.
    """
    demand_packages(sweep.file.method)
    from hpctrack.sweeps.search.search import Search  # noqa: PLC0415 - Optuna takes 0.3 s

    sweep.check_number(number)
    environ = environment() if environ is None else environ
    rank = detect_rank(environ)
    with SignalRelay() as relay:
        if rank.rank:
            return _run_rank(sweep, number, environ, relay, timeout_s=timeout_s, clock=clock)
        cpus, gpus = describe_allocation(sweep.file.slurm, environ)
        me = describe_worker(environ, clock, share=None, cpus=cpus, gpus=gpus)
        heartbeat = Heartbeat(sweep.folder, me, clock=clock)
        heartbeat.begin()
        try:
            claim = _take(sweep, number, me, clock)
            search = Search.open(sweep)
            try:
                runner = Runner(
                    sweep=sweep,
                    search=search,
                    me=me,
                    relay=relay,
                    environ=environ,
                    clock=clock,
                    has_logs=False,
                    timeout_s=timeout_s,
                    size=rank.size,
                    keeps_tail=False,
                    max_retries=0,  # whoever runs a trial by hand decides whether to do it again
                    launch=_name_launch(rank),
                )
                return runner.run(claim)
            finally:
                search.close()
        finally:
            heartbeat.end("it ran one trial")


def _take(sweep: Sweep, number: int, me: WorkerFacts, clock: Clock) -> Claim:
    """Take the next attempt; somebody asks for this trial, so it may have ended before."""
    liveness = Liveness(sweep.folder, me, clock=clock)
    last = find_last_claim(sweep.folder, number)
    word = read_result(sweep.folder, number)
    if last is not None and not (word and word.attempt == last.attempt and word.state.is_over):
        is_free = word is not None and word.state == TrialState.WAITING
        if not is_free and not liveness.is_dead(last):
            raise SweepError(
                f"trial {number} of sweep {sweep.id} is running on {last.host}",
                hint=f"`hpctrack sweep status {sweep.id}` shows it",
            )
    attempt = last.attempt + 1 if last else 1
    failures = word.failures if word else 0
    claim = me.claim(number, attempt, failures=failures, wall_s=clock.wall_s())
    if not make_claim(sweep.folder, claim):
        raise SweepError(f"trial {number} of sweep {sweep.id} was taken just now")
    return claim


def _run_rank(
    sweep: Sweep,
    number: int,
    environ: Mapping[str, str],
    relay: SignalRelay,
    *,
    timeout_s: float | None,
    clock: Clock,
) -> TrialResult:
    """Run the program of another rank than 0."""
    rank = detect_rank(environ)
    claim = Claim(trial=number, attempt=rank.attempt, worker="")
    running = replace(describe_start(claim, None, environ, clock), rank=rank.rank, size=rank.size)
    began_s = clock.mono_s()
    try:
        attempt = _wait_for_attempt(sweep, number, rank, relay, clock)
        running = replace(running, attempt=attempt, launch=_name_launch(rank))
        parameters = sweep.parameters(number)
        child_environ = make_environment(sweep, number, parameters, environ, attempt=attempt)
        command = prepare_command(sweep, number, parameters, child_environ)
    except HpctrackError as error:
        end = ChildEnd(CANNOT_START, message=error.message)
    else:
        running = replace(running, command=tuple(command))
        end = run_child(
            command,
            environ=child_environ,
            directory=sweep.directory,
            timeout_s=timeout_s,
            relay=relay,
        )
    result = replace(
        running,
        state=TrialState.FAILED if end.exit_code else TrialState.FINISHED,
        exit_code=end.exit_code,
        signal=end.signal,
        message=end.message,
        ended_wall_s=clock.wall_s(),
        duration_s=clock.mono_s() - began_s,
    )
    if end.exit_code:
        try:
            write_result(sweep.folder, result)
        except HpctrackError as error:
            say(error.message)
    return result


def _name_launch(rank: RankInfo) -> str:
    """Return what the ranks of one launch have in common; nothing if nobody knows."""
    return f"{rank.launch} {rank.attempt}" if rank.launch else ""


def _wait_for_attempt(
    sweep: Sweep, number: int, rank: RankInfo, relay: SignalRelay, clock: Clock
) -> int:
    """Return which attempt rank 0 of our launch has taken, once it has; by then it has parameters.

    Raises
    ------
    SweepError
        It has taken none.
    """
    launch = _name_launch(rank)
    began_s = clock.mono_s()
    while True:
        word = read_result(sweep.folder, number)
        if word is not None and word.launch == launch:
            return word.attempt
        if relay.must_leave or clock.mono_s() - began_s > CHOICE_WAIT_S:
            raise SweepError(f"rank 0 has not begun trial {number} of sweep {sweep.id}")
        time.sleep(0.2)
