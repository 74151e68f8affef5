"""What a trial says about itself, in a small file that it writes when it begins and when it ends.

The file is there even if the program never calls ``hpctrack.init``, or dies before it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from hpctrack.core.fields import pick_fields
from hpctrack.errors import StoreFormatError
from hpctrack.sweeps.folder import SweepFolder, read_json, write_json


class TrialState(StrEnum):
    """How a trial stands."""

    WAITING = "waiting"
    """Submitted, not begun."""
    RUNNING = "running"
    FINISHED = "finished"
    """Its program ended with exit code 0."""
    FAILED = "failed"
    """Its program ended otherwise, or could not be started."""
    PRUNED = "pruned"
    """It was stopped early: it would not have won."""
    STOPPED = "stopped"
    """It ended because the sweep was cancelled."""
    CRASHED = "crashed"
    """It began, or was to begin, and whoever ran it is gone without a word."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self not in {TrialState.WAITING, TrialState.RUNNING}

    @property
    def is_final(self) -> bool:
        """Whether it is over and will not be tried again."""
        return self in {TrialState.FINISHED, TrialState.PRUNED, TrialState.STOPPED}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How one trial stands, or one rank of it.

    Parameters
    ----------
    trial : int
        Its number.
    state : TrialState
        Never crashed: that is what others say. A trial that waits has begun before, and its next
        attempt is free.
    exit_code : int or None
        The program's, as a shell counts it: 128 + number for a signal, 127 for no such program.
    signal : str
        What ended the program: ``SIGKILL``; empty if it ended by itself.
    message : str
        Why it could not be started, or why it was stopped; empty if it ended by itself.
    rank, size : int
        Of the process that says so; with several tasks per trial, other ranks than 0 speak only
        when they fail.
    host : str
        Where it runs.
    pid : int
        Of the process that runs it.
    stamp : str
        See `hpctrack.sweeps.worker.process.read_stamp`.
    job : str
        Slurm's id (``50_3`` for a task of an array), else empty.
    launch : str
        What its ranks have in common, if a launcher has started them with this process.
    attempt : int
        Which one this is, from 1: a requeue, a worker that died and a retry make another.
    worker : str
        Who says so; empty for a trial that was started by hand.
    why : str
        Why it was pruned.
    failures : int
        How many of its attempts failed, this one included.
    command : tuple of str
        What was started.
    started_wall_s, ended_wall_s : float
        UTC seconds; None while it runs.
    duration_s : float or None
        By a clock that never goes back.
    earlier_s : float
        What earlier attempts took together, as far as they said so: not those that crashed.
    cpus, gpus : float or None
        What the allocation gives a trial; None if nobody knows.
    iterations : int
        How often it reported the sweep's metric.
    pace_s : float or None
        Time from one of these reports to the next, as this attempt took it; None before there
        were two.
    value : float or None
        Its last value of the sweep's metric, as far as the worker has seen it.
    values : dict of str to float
        The same for each metric of a sweep that has several.
    log_tail : str
        The last lines that it printed, if it failed.
    """

    trial: int
    state: TrialState
    exit_code: int | None = None
    signal: str = ""
    message: str = ""
    rank: int = 0
    size: int = 1
    host: str = ""
    pid: int = 0
    stamp: str = ""
    job: str = ""
    launch: str = ""
    attempt: int = 1
    failures: int = 0
    command: tuple[str, ...] = ()
    started_wall_s: float = 0.0
    ended_wall_s: float | None = None
    duration_s: float | None = None
    earlier_s: float = 0.0
    worker: str = ""
    why: str = ""
    cpus: float | None = None
    gpus: float | None = None
    iterations: int = 0
    pace_s: float | None = None
    value: float | None = None
    values: dict[str, float] = field(default_factory=dict)
    log_tail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read it back; unknown keys, from a newer writer, are left out.

        Raises
        ------
        StoreFormatError
            It is not a trial's.
        """
        kept = pick_fields(cls, value)
        try:
            kept["state"] = TrialState(kept["state"])
            kept["command"] = tuple(kept.get("command", ()))
            return cls(**kept)
        except (KeyError, TypeError, ValueError) as error:
            raise StoreFormatError(f"a trial's file lacks or garbles {error}") from None


def write_result(folder: SweepFolder, result: TrialResult) -> None:
    """Write what a trial says, in place of what it said before.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    write_json(folder.trial(result.trial, result.rank), result.to_json())


def read_result(folder: SweepFolder, trial: int) -> TrialResult | None:
    """Return what a trial says; None if it has said nothing, or nobody can read it."""
    try:
        return read_word(folder, trial)
    except StoreFormatError:
        return None


def read_word(folder: SweepFolder, trial: int) -> TrialResult | None:
    """Return what a trial says; None if it has said nothing, or what makes no sense.

    Raises
    ------
    StoreFormatError
        The file is there, and cannot be read: it may say that the trial is over.
    """
    path = folder.trial(trial)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreFormatError(f"{path} cannot be read: {error.strerror}") from None
    try:
        value = json.loads(data)
        return TrialResult.from_json(value) if isinstance(value, dict) else None
    except (StoreFormatError, ValueError, RecursionError):
        return None


def read_results(
    folder: SweepFolder, known: Mapping[int, TrialResult] | None = None
) -> dict[int, TrialResult]:
    """Return what each trial says; a rank that failed speaks for its trial.

    A file that cannot be read is left out: its trial counts as not begun.

    Parameters
    ----------
    folder : SweepFolder
        Whose.
    known : mapping, optional
        What was read before; files of trials that were over for good are not opened again.
    """
    results: dict[int, TrialResult] = {}
    failures: dict[int, TrialResult] = {}
    known = known or {}
    for trial, rank, path in folder.iter_trials():
        if rank == 0 and trial in known and known[trial].state.is_final:
            results[trial] = known[trial]
            continue
        try:
            result = TrialResult.from_json(read_json(path))
        except (FileNotFoundError, StoreFormatError):
            continue
        if rank == 0:
            results[trial] = result
        else:
            failures.setdefault(trial, result)
    for trial, failure in failures.items():
        own = results.get(trial)
        if own is not None and own.attempt == failure.attempt and own.state == TrialState.FINISHED:
            results[trial] = failure
    return results
