"""Waiting for trials: by what they write, and by asking who is left to write."""

from __future__ import annotations

import time
from collections.abc import Callable

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sweeps.results.status import read_states
from hpctrack.sweeps.submission_record import Submission
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.result import TrialState

Progress = Callable[[dict[int, TrialState]], None]

POLL_S = 0.5
BUSY_SHARE = 10.0
"""Looking may take a tenth of the time: ten thousand files on a shared disk are not free."""

QUEUE_INTERVAL_S = 15.0
"""Time between two questions to Slurm. A trial is given up after two answers that its job is gone,
because NFS shows a file late that a node has written."""


def wait_for_trials(
    sweep: Sweep,
    submission: Submission,
    *,
    on_progress: Progress | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> dict[int, TrialState]:
    """Return when every trial of a submission has ended, with how.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    submission : Submission
        Which trials.
    on_progress : callable, optional
        Called with the state of each of them, about twice a second.
    clock : Clock, optional
        For tests.
    """
    interval_s = QUEUE_INTERVAL_S if submission.executor == "slurm" else POLL_S
    next_ask_s = clock.mono_s()
    suspected: set[int] = set()
    given_up: set[int] = set()
    while True:
        began_s = clock.mono_s()
        asks_queue = began_s >= next_ask_s
        found = read_states(sweep, asks_queue=asks_queue)
        states = {number: found.get(number, TrialState.WAITING) for number in submission.trials}
        if asks_queue:
            gone = {number for number, state in states.items() if state == TrialState.CRASHED}
            given_up, suspected = gone & suspected, gone
            next_ask_s = began_s + interval_s
        states |= dict.fromkeys(given_up, TrialState.CRASHED)
        if on_progress is not None:
            on_progress(states)
        if all(number in given_up or _has_ended(state) for number, state in states.items()):
            return states
        time.sleep(max(POLL_S, BUSY_SHARE * (clock.mono_s() - began_s)))


def _has_ended(state: TrialState) -> bool:
    return state in {TrialState.FINISHED, TrialState.FAILED}
