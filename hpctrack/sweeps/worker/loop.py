"""A worker: takes trials, one after the other, until something ends it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.function_trial import run_function
from hpctrack.sweeps.worker.result import TrialState
from hpctrack.sweeps.worker.trial import run_trial

PAUSE_POLL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a worker is told.

    Parameters
    ----------
    max_trials : int or None
        This worker takes at most so many.
    share : int or None
        Number of the submission that it belongs to; None by hand.
    limit : int or None
        The submission as a whole takes at most so many.
    time_limit_s : float or None
        When there is no scheduler to ask.
    has_logs : bool
        The output of each trial goes to a file of its own instead of ours.
    restored : mapping
        Variables that submitit's local executor overwrites, and what they were; None for unset.
    """

    max_trials: int | None = None
    share: int | None = None
    limit: int | None = None
    time_limit_s: float | None = None
    has_logs: bool = False
    restored: Mapping[str, str | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerEnd:
    """How a worker left.

    Parameters
    ----------
    taken, finished, failed : int
        Trials.
    why : str
        Why it left.
    should_requeue : bool
        Whether its job should be put back in the queue.
    """

    taken: int
    finished: int
    failed: int
    why: str
    should_requeue: bool = False


def run_worker(
    sweep: Sweep,
    options: WorkerOptions,
    *,
    function: Callable[..., object] | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> WorkerEnd:
    """Take trials until none is left, or somebody says stop."""
    environ = _restore(environment() if environ is None else environ, options.restored)
    taken = finished = failed = 0
    why = "no trials left"
    for number in _iter_numbers(sweep):
        wish = _wait_for_wish(sweep)
        if wish in {Wish.STOP, Wish.CANCEL}:
            why = "asked to stop"
            break
        if taken == options.max_trials or not _has_room(sweep, options):
            why = "has taken its share"
            break
        if not _create(sweep.folder.taken(number)):
            continue
        _fill_room(sweep, options)
        taken += 1
        output = sweep.folder.log(number) if options.has_logs else None
        if function is None:
            end = run_trial(sweep, number, environ=environ, output=output, clock=clock)
        else:
            end = run_function(sweep, number, function, environ=environ, clock=clock)
        is_good = end.result.state in {TrialState.FINISHED, TrialState.PRUNED}
        finished, failed = finished + is_good, failed + (not is_good)
        if end.was_stopped:
            why = "asked to stop"
            break
    return WorkerEnd(taken, finished, failed, why)


def _iter_numbers(sweep: Sweep) -> Iterator[int]:
    total = sweep.file.trial_count()
    number = 0
    while total is None or number < total:
        yield number
        number += 1


def _wait_for_wish(sweep: Sweep) -> Wish:
    while (wish := read_control(sweep.folder).wish) == Wish.PAUSE:
        time.sleep(PAUSE_POLL_S)
    return wish


def _room(sweep: Sweep, options: WorkerOptions, number: int) -> Path:
    return sweep.folder.submission(options.share or 0).with_suffix(f".{number}.taken")


def _has_room(sweep: Sweep, options: WorkerOptions) -> bool:
    return options.limit is None or not _room(sweep, options, options.limit - 1).exists()


def _fill_room(sweep: Sweep, options: WorkerOptions) -> None:
    for number in range(options.limit or 0):
        if _create(_room(sweep, options, number)):
            return


def _create(path: Path) -> bool:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return True


def _restore(environ: Mapping[str, str], earlier: Mapping[str, str | None]) -> dict[str, str]:
    restored = {key: value for key, value in environ.items() if key not in earlier}
    return restored | {key: value for key, value in earlier.items() if value is not None}
