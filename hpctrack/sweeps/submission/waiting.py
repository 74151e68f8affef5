"""Waiting for a submission: until its workers have left, or the sweep has nothing more to do."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sweeps.results.status import SweepReader
from hpctrack.sweeps.slurm_queue import read_queue
from hpctrack.sweeps.submission_record import Submission
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.process import is_alive, is_seen
from hpctrack.sweeps.worker.result import TrialState

Progress = Callable[[dict[int, TrialState]], None]

POLL_S = 0.5
BUSY_SHARE = 10.0
"""Looking may take a tenth of the time: ten thousand files on a shared disk are not free."""

QUEUE_INTERVAL_S = 15.0
"""Time between two questions to Slurm. A worker counts as gone after two answers that its job is
gone, because NFS shows a file late that a node has written."""


def wait_for_submission(
    sweep: Sweep,
    submission: Submission,
    *,
    on_progress: Progress | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> dict[int, TrialState]:
    """Return when the workers of a submission have left, with how the sweep's trials stand.

    Workers of Slurm are not waited for once every trial of the sweep has ended.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    submission : Submission
        Whose workers.
    on_progress : callable, optional
        Called with the state of each trial that anybody has begun, about twice a second.
    clock : Clock, optional
        For tests.
    """
    reader = SweepReader(sweep)
    is_slurm = submission.executor == "slurm"
    interval_s = QUEUE_INTERVAL_S if is_slurm else POLL_S
    next_ask_s = clock.mono_s()
    missed = 0
    while True:
        began_s = clock.mono_s()
        asks = began_s >= next_ask_s
        if asks:
            # Asked before the trials are looked at: the living write meanwhile.
            missed = 0 if has_workers(submission) else missed + 1
            next_ask_s = began_s + interval_s
        words = reader.read_words(asks_queue=asks)
        states = {number: state for number, (state, _) in sorted(words.items())}
        if on_progress is not None:
            on_progress(states)
        if missed >= (2 if is_slurm else 1) or (is_slurm and _is_done(sweep, states)):
            return states
        time.sleep(max(POLL_S, BUSY_SHARE * (clock.mono_s() - began_s)))


def has_workers(submission: Submission) -> bool:
    """Tell whether a worker of a submission waits or runs, as far as can be seen from here."""
    if submission.executor == "slurm":
        queue = read_queue(worker.job for worker in submission.workers)
        return queue is None or bool(queue)
    if submission.host != socket.gethostname():
        return True
    return any(
        not is_seen(worker.stamp) or is_alive(worker.pid, worker.stamp)
        for worker in submission.workers
    )


def _is_done(sweep: Sweep, states: dict[int, TrialState]) -> bool:
    """Tell whether every trial of a sweep has ended well; one that failed may be tried again."""
    total = sweep.file.trial_count()
    return total == len(states) and all(state.is_final for state in states.values())
