"""How a sweep stands: what its trials say, what their runs recorded, and who has gone silent."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Sequence
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import StoreFormatError, SweepError
from hpctrack.store.record import RunRecord, State
from hpctrack.sweeps.control import read_control
from hpctrack.sweeps.folder import has_own_files
from hpctrack.sweeps.results.progress import read_progress
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.slurm_queue import read_queue
from hpctrack.sweeps.submission_record import Submission, read_submissions
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.process import is_alive, is_seen
from hpctrack.sweeps.worker.result import TrialResult, TrialState, read_results
from hpctrack.sweeps.worker.trial_runs import TrialRuns, read_value

Word = tuple[TrialState, TrialResult | None]
"""How a trial stands by its own word and that of the scheduler."""


def read_states(sweep: Sweep, *, asks_queue: bool = True) -> dict[int, TrialState]:
    """Return how the submitted trials stand by their own word and that of the scheduler.

    Cheaper than `read_status`: no run is opened; and without ``asks_queue`` Slurm is not
    bothered, so that a trial whose job is gone seems to wait or to run.
    """
    words = SweepReader(sweep).read_words(asks_queue=asks_queue)
    return {number: state for number, (state, _) in words.items()}


def read_status(
    sweep: Sweep, *, stale_after_s: float = 60.0, clock: Clock = SYSTEM_CLOCK
) -> SweepStatus:
    """Return how a sweep stands.

    Parameters
    ----------
    sweep : Sweep
        Which.
    stale_after_s : float, optional
        How long a live run may be silent before it counts as crashed, seconds.
    clock : Clock, optional
        For tests.
    """
    return SweepReader(sweep, stale_after_s=stale_after_s, clock=clock).read()


class SweepReader:
    """Reads how a sweep stands, again and again; what is final is read once.

    Parameters
    ----------
    sweep : Sweep
        Which.
    stale_after_s : float, optional
        How long a live run may be silent before it counts as crashed, seconds.
    clock : Clock, optional
        For tests.

    Notes
    -----
    A listing of the trials' folder and of the project's, and the opening of one small file for
    each trial. A run is opened only if its trial has not said its metric.
    """

    def __init__(
        self, sweep: Sweep, *, stale_after_s: float = 60.0, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.sweep = sweep
        self._stale_after_s = stale_after_s
        self._clock = clock
        self._names = sweep.file.metric_names()
        self._results: dict[int, TrialResult] = {}
        self._gone_jobs: frozenset[str] = frozenset()
        self._parameters: dict[int, dict[str, Any]] = {}
        self._final: dict[int, tuple[TrialResult, TrialStatus]] = {}

    def read(self, *, asks_queue: bool = True) -> SweepStatus:
        """Return how the sweep stands now; without ``asks_queue`` Slurm is not bothered.

        Of a sweep that runs elsewhere that is what the last push from there has told; if nothing
        has come but its description, as in a bundle, what those of its runs say that are here.

        Raises
        ------
        StoreFormatError
            What has come from elsewhere cannot be read.
        """
        is_here = has_own_files(self.sweep.folder)
        told = None if is_here else read_progress(self.sweep)
        if told is not None:
            return SweepStatus(self.sweep, told.trials, told.wall_s, told.wish, told.wisher)
        words = self.read_words(asks_queue=asks_queue)
        logs = self._find_logs()
        runs = TrialRuns(self.sweep, self._stale_after_s)
        if not is_here:
            words = dict.fromkeys(runs.numbers(), (TrialState.WAITING, None)) | words
        trials = []
        for number, word in sorted(words.items()):
            earlier = self._final.get(number)
            if earlier is not None and earlier[0] is word[1]:
                trials.append(earlier[1])
                continue
            one = self._read_trial(number, word, runs, logs.get(number, ""))
            if one.result is not None and one.result.state.is_final and one.run_state != "running":
                self._final[number] = (one.result, one)
            trials.append(one)
        control = read_control(self.sweep.folder)
        return SweepStatus(
            self.sweep, tuple(trials), self._clock.wall_s(), control.wish, control.who
        )

    def read_words(self, *, asks_queue: bool = True) -> dict[int, Word]:
        """Return state and result by trial. Who lives is asked first: the living write on."""
        folder = self.sweep.folder
        submissions = read_submissions(self.sweep)
        self._results = read_results(folder, self._results)
        begun = [one for one in self._results.values() if one.state == TrialState.RUNNING]
        jobs = {one.job for one in begun if one.job}
        jobs |= {w.job for one in submissions if one.executor == "slurm" for w in one.workers}
        if jobs and asks_queue:
            queue = read_queue(jobs)
            # Kept until somebody asks again: a trial is not to come and go in a live view.
            self._gone_jobs = frozenset() if queue is None else frozenset(jobs - queue)
        gone = {trial for one in submissions for trial in _find_gone(one, self._gone_jobs)}
        gone |= {one.trial for one in begun if _is_gone(one, self._gone_jobs)}
        results = self._results = read_results(folder, self._results)
        words: dict[int, Word] = {}
        for number in {trial for one in submissions for trial in one.trials} | set(results):
            result = results.get(number)
            state = result.state if result else TrialState.WAITING
            if not state.is_over and number in gone:
                state = TrialState.CRASHED
            words[number] = (state, result)
        return words

    def _read_trial(self, number: int, word: Word, runs: TrialRuns, log: str) -> TrialStatus:
        state, result = word
        names = self._names
        values = _said_values(result, names)
        project = runs.find(number)
        record: RunRecord | None = None
        if project and (not names or len(values) < len(names)):
            record = runs.read(number)
        if record is not None:
            project = record.project
            found = {name: read_value(record.summary, name) for name in names}
            values = {name: one for name, one in found.items() if one is not None} | values
        metric = self.sweep.file.metric
        configuration, repeat = self.sweep.split(number)
        return TrialStatus(
            number=number,
            state=_judge(state, result, record),
            parameters=self._read_parameters(number),
            run_id=self.sweep.run_id(number),
            configuration=configuration,
            repeat=repeat,
            has_run=bool(project),
            run_state=record.state.value if record else "",
            run_project=project,
            result=result,
            metric=values.get(metric.name) if metric else None,
            values=values,
            log=log,
        )

    def _read_parameters(self, number: int) -> dict[str, Any]:
        """Return a trial's parameters, which never change; those of a search lie in a file."""
        known = self._parameters.get(number)
        if not known:  # they may be chosen a moment later
            known = self._parameters[number] = self._load_parameters(number)
        return known

    def _load_parameters(self, number: int) -> dict[str, Any]:
        try:
            return self.sweep.parameters(number)
        except (SweepError, StoreFormatError):
            return {}  # nobody has chosen them yet, or their file is broken

    def _find_logs(self) -> dict[int, str]:
        """Return where the output of each trial is: its own file, or its worker's."""
        logs: dict[int, str] = {}
        folder = self.sweep.folder
        for submission in read_submissions(self.sweep):
            if submission.executor == "slurm":
                for worker in submission.workers:
                    begun = [one for one in worker.trials if one in self._results]
                    logs.update(dict.fromkeys(begun, worker.log))
        try:
            names = os.listdir(folder.log(0).parent)  # noqa: PTH208 - 10,000 names
        except OSError:
            names = []
        for name in names:
            stem, dot, suffix = name.partition(".")
            if dot and suffix == "log" and stem.isdigit():
                logs[int(stem)] = str(folder.log(int(stem)))
        return logs


def _said_values(result: TrialResult | None, names: Sequence[str]) -> dict[str, float]:
    """Return the metrics that a trial has said itself, as far as they are numbers."""
    if result is None:
        return {}
    said = dict(result.values)
    if names and result.value is not None:
        said.setdefault(names[0], result.value)
    return {name: said[name] for name in names if name in said and math.isfinite(said[name])}


def _find_gone(submission: Submission, gone_jobs: frozenset[str]) -> set[int]:
    """Return the trials of which no worker is left."""
    living: set[int] = set()
    known: set[int] = set()
    for worker in submission.workers:
        known.update(worker.trials)
        if submission.executor == "slurm":
            is_left = worker.job not in gone_jobs
        else:
            is_here = submission.host == socket.gethostname() and is_seen(worker.stamp)
            is_left = not is_here or is_alive(worker.pid, worker.stamp)
        if is_left:
            living.update(worker.trials)
    return known - living


def _is_gone(result: TrialResult, gone_jobs: frozenset[str]) -> bool:
    """Tell whether who began a trial has gone, as far as can be seen from here."""
    if result.host == socket.gethostname() and result.stamp and is_seen(result.stamp):
        return not is_alive(result.pid, result.stamp)
    return result.job in gone_jobs


def _judge(state: TrialState, result: TrialResult | None, record: RunRecord | None) -> TrialState:
    """Weigh a trial's own word against its run's."""
    if record is None:
        return state
    if state == TrialState.FINISHED and record.state == State.FAILED:
        return TrialState.FAILED  # a rank died, or the program said so in finish()
    if result is None and state == TrialState.WAITING and record.state != State.PREEMPTED:
        return TrialState(record.state.value)
    return state
