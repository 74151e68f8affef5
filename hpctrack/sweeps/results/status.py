"""How a sweep stands: what its trials say, what their runs recorded, and who has gone silent."""

from __future__ import annotations

import math
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpctrack.core.layout import has_run_files, run_folder
from hpctrack.errors import HpctrackError
from hpctrack.store.record import RunRecord, State
from hpctrack.store.stored_run import StoredRun
from hpctrack.sweeps.slurm_queue import read_queue
from hpctrack.sweeps.submission_record import Submission, read_submissions
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.process import is_alive
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_results


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStatus:
    """How one trial stands.

    Parameters
    ----------
    number : int
        Which.
    state : TrialState
        How.
    parameters : dict
        Nested.
    run_id : str
        Of its run, if the program makes one.
    run_state : str
        running, finished, failed, crashed; empty if there is no run.
    run_project : str
        Where the run is; a program can choose another project than the sweep's.
    result : TrialResult or None
        What it said itself.
    metric : float or None
        The sweep's metric, from the run's summary.
    log : str
        Where its output is; empty if it is not known.
    """

    number: int
    state: TrialState
    parameters: dict[str, Any]
    run_id: str
    run_state: str = ""
    run_project: str = ""
    result: TrialResult | None = None
    metric: float | None = None
    log: str = ""

    @property
    def exit_code(self) -> int | None:
        """The program's; None while it runs, and if nobody knows."""
        return self.result.exit_code if self.result else None

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        result = self.result
        return {
            "number": self.number,
            "state": self.state.value,
            "parameters": self.parameters,
            "exit_code": self.exit_code,
            "signal": result.signal if result else "",
            "message": result.message if result else "",
            "run": self.run_id,
            "run_state": self.run_state,
            "run_project": self.run_project,
            "metric": self.metric,
            "job": result.job if result else "",
            "host": result.host if result else "",
            "attempt": result.attempt if result else 1,
            "started_wall_s": result.started_wall_s if result else None,
            "ended_wall_s": result.ended_wall_s if result else None,
            "duration_s": result.duration_s if result else None,
            "log": self.log,
        }


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """How a sweep stands.

    Parameters
    ----------
    sweep : Sweep
        Which.
    trials : tuple of TrialStatus
        All that were submitted, or run by hand, by number.
    """

    sweep: Sweep
    trials: tuple[TrialStatus, ...]

    def counts(self) -> dict[str, int]:
        """Return how many trials are in each state."""
        return count_states(one.state for one in self.trials)

    @property
    def open_count(self) -> int | None:
        """How many trials nobody was given yet; None if the sweep has no end."""
        total = self.sweep.file.trial_count()
        return None if total is None else max(total - len(self.trials), 0)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON-able form."""
        metric = self.sweep.file.metric
        return {
            "id": self.sweep.id,
            "name": self.sweep.name,
            "project": self.sweep.project,
            "method": self.sweep.file.method,
            "seed": self.sweep.seed,
            "metric": {"name": metric.name, "goal": metric.goal} if metric else None,
            "trial_count": self.sweep.file.trial_count(),
            "open": self.open_count,
            "counts": self.counts(),
            "trials": [one.to_json() for one in self.trials],
        }


def count_states(states: Iterable[TrialState]) -> dict[str, int]:
    """Count the states, in the order of a trial's life."""
    counted = Counter(states)
    return {state.value: counted[state] for state in TrialState}


def read_states(sweep: Sweep, *, asks_queue: bool = True) -> dict[int, TrialState]:
    """Return how the submitted trials stand by their own word and that of the scheduler.

    Cheaper than `read_status`: no run is opened; and without ``asks_queue`` Slurm is not
    bothered, so that a trial whose job is gone seems to wait or to run.
    """
    words = _read_words(sweep, asks_queue=asks_queue)
    return {number: state for number, (state, _) in words.items()}


def read_status(sweep: Sweep, *, stale_after_s: float = 60.0) -> SweepStatus:
    """Return how a sweep stands.

    Parameters
    ----------
    sweep : Sweep
        Which.
    stale_after_s : float, optional
        How long a live run may be silent before it counts as crashed, seconds.
    """
    words = _read_words(sweep)
    logs = _find_logs(sweep)
    trials = []
    for number, (state, result) in sorted(words.items()):
        record = _read_run(sweep, number, stale_after_s)
        trials.append(
            TrialStatus(
                number=number,
                state=_judge(state, result, record),
                parameters=sweep.parameters(number),
                run_id=sweep.run_id(number),
                run_state=record.state.value if record else "",
                run_project=record.project if record else "",
                result=result,
                metric=_read_metric(sweep, record),
                log=logs.get(number, ""),
            )
        )
    return SweepStatus(sweep, tuple(trials))


def _read_words(
    sweep: Sweep, *, asks_queue: bool = True
) -> dict[int, tuple[TrialState, TrialResult | None]]:
    """Return state and result by trial. Who lives is asked first: the living write meanwhile."""
    submissions = read_submissions(sweep)
    begun = [one for one in read_results(sweep.folder).values() if one.state == TrialState.RUNNING]
    jobs = {one.job for one in begun if one.job}
    jobs |= {w.job for one in submissions if one.executor == "slurm" for w in one.workers}
    queue = read_queue(jobs) if jobs and asks_queue else None
    gone = {trial for one in submissions for trial in _find_gone(one, queue)}
    gone |= {one.trial for one in begun if _is_gone(one, queue)}
    results = read_results(sweep.folder)
    words: dict[int, tuple[TrialState, TrialResult | None]] = {}
    for number in {trial for one in submissions for trial in one.trials} | set(results):
        result = results.get(number)
        state = result.state if result else TrialState.WAITING
        if not state.is_over and number in gone:
            state = TrialState.CRASHED
        words[number] = (state, result)
    return words


def _find_gone(submission: Submission, queue: frozenset[str] | None) -> set[int]:
    """Return the trials of which no worker is left."""
    living: set[int] = set()
    known: set[int] = set()
    for worker in submission.workers:
        known.update(worker.trials)
        if submission.executor == "slurm":
            is_left = queue is None or worker.job in queue
        else:
            is_elsewhere = submission.host != socket.gethostname()
            is_left = is_elsewhere or is_alive(worker.pid, worker.stamp)
        if is_left:
            living.update(worker.trials)
    return known - living


def _is_gone(result: TrialResult, queue: frozenset[str] | None) -> bool:
    """Tell whether who began a trial has gone, as far as can be seen from here."""
    if result.host == socket.gethostname() and result.stamp:
        return not is_alive(result.pid, result.stamp)
    return bool(result.job) and queue is not None and result.job not in queue


def _judge(state: TrialState, result: TrialResult | None, record: RunRecord | None) -> TrialState:
    """Weigh a trial's own word against its run's."""
    if record is None:
        return state
    if state == TrialState.FINISHED and record.state == State.FAILED:
        return TrialState.FAILED  # a rank died, or the program said so in finish()
    if result is None and state == TrialState.WAITING:
        return TrialState(record.state.value)
    return state


def _read_run(sweep: Sweep, number: int, stale_after_s: float) -> RunRecord | None:
    run_id = sweep.run_id(number)
    for project in _iter_projects(sweep):
        folder = run_folder(sweep.store, project, run_id)
        if folder.is_dir() and has_run_files(folder):
            run = StoredRun(folder, stale_after_s=stale_after_s)
            try:
                return run.record
            except HpctrackError:
                continue  # one broken run must not hide the sweep
            finally:
                run.close()
    return None


def _iter_projects(sweep: Sweep) -> Iterable[str]:
    yield sweep.project
    for path in sorted(sweep.store.iterdir()):
        if path.name != sweep.project and not path.name.startswith(".") and path.is_dir():
            yield path.name


def _read_metric(sweep: Sweep, record: RunRecord | None) -> float | None:
    if record is None or sweep.file.metric is None:
        return None
    value = _look_up(record.summary, sweep.file.metric.name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
        return None
    return float(value)


def _look_up(summary: Mapping[str, Any], name: str) -> Any:
    """Return a summary value; ``a.b`` also means ``b`` below ``a``, as in W&B."""
    if name in summary:
        return summary[name]
    head, dot, tail = name.partition(".")
    inner = summary.get(head)
    return _look_up(inner, tail) if dot and isinstance(inner, Mapping) else None


def _find_logs(sweep: Sweep) -> dict[int, str]:
    """Return where the output of each trial is, if it is there."""
    logs: dict[int, str] = {}
    for submission in read_submissions(sweep):
        for worker in submission.workers:
            for trial in worker.trials:
                own = sweep.folder.log(trial)
                path = own if submission.executor == "local" else Path(worker.log)
                if worker.log and path.exists():
                    logs[trial] = str(path)
    return logs
