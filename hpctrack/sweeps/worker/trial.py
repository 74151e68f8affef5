"""One attempt of one trial: its program, its environment, and how it ended."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hpctrack.agents.job_end import name_job
from hpctrack.core.clock import Clock
from hpctrack.core.wire import make_plain
from hpctrack.errors import StoreError
from hpctrack.sweeps.folder import write_json
from hpctrack.sweeps.schema.command import CommandFacts, make_command, uses_macro
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.child import ChildEnd
from hpctrack.sweeps.worker.claims import Claim
from hpctrack.sweeps.worker.heartbeat import WorkerFacts
from hpctrack.sweeps.worker.process import read_stamp
from hpctrack.sweeps.worker.result import TrialResult, TrialState

CANNOT_START = 126
"""The exit code of a trial whose command could not be made."""

HOPELESS = frozenset({CANNOT_START, 127})
"""Exit codes of programs that could not be started: another try changes nothing."""


def make_environment(
    sweep: Sweep,
    number: int,
    parameters: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    attempt: int = 1,
    link: str = "",
) -> dict[str, str]:
    """Return a trial's environment: ours, what `hpctrack.init` goes by, nothing of submitit's.

    A program that uses submitit itself would take our job's variables for its own.

    Parameters
    ----------
    sweep, number, parameters
        The trial.
    environ : mapping
        Ours.
    attempt : int, optional
        Which life of the trial this is.
    link : str, optional
        The socket that its metrics are reported to.
    """
    kept = {key: value for key, value in environ.items() if not key.startswith("SUBMITIT_")}
    made = {
        **kept,
        "HPCTRACK_DIR": str(sweep.store),
        "HPCTRACK_PROJECT": sweep.project,
        "HPCTRACK_RUN_ID": sweep.run_id(number),
        "HPCTRACK_GROUP": sweep.id,
        "HPCTRACK_SWEEP_ID": sweep.id,
        "HPCTRACK_TRIAL": str(number),
        # Not Slurm's count: an array task that was requeued goes on to trials that have just begun.
        "HPCTRACK_ATTEMPT": str(attempt),
        "HPCTRACK_TRIAL_DIR": str(sweep.folder.work(number)),
        "HPCTRACK_SWEEP_CONFIG": json.dumps(parameters, default=make_plain),
    }
    if link:
        names = sweep.file.metric_names()
        made |= {"HPCTRACK_SWEEP_SOCKET": link, "HPCTRACK_SWEEP_METRICS": json.dumps(names)}
    return made


def prepare_command(
    sweep: Sweep, number: int, parameters: Mapping[str, object], environ: Mapping[str, str]
) -> list[str]:
    """Return a trial's command line.

    Raises
    ------
    HpctrackError
        It cannot be made here.
    """
    path = sweep.folder.parameters(number)
    if uses_macro(sweep.file.command, "args_json_file"):
        write_json(path, parameters)
    facts = CommandFacts(
        program=sweep.file.program,
        interpreter=sys.executable,
        parameters=parameters,
        environ=environ,
        json_file=str(path),
    )
    return make_command(sweep.file.command, facts)


def describe_start(
    claim: Claim, me: WorkerFacts | None, environ: Mapping[str, str], clock: Clock, *, size: int = 1
) -> TrialResult:
    """Return the first word of an attempt."""
    pid = os.getpid()
    return TrialResult(
        trial=claim.trial,
        state=TrialState.RUNNING,
        size=size,
        host=socket.gethostname(),
        pid=pid,
        stamp=read_stamp(pid),
        job=name_job(environ),
        attempt=claim.attempt,
        failures=claim.failures,
        worker=claim.worker,
        cpus=me.cpus if me else None,
        gpus=me.gpus if me else None,
        started_wall_s=clock.wall_s(),
    )


def judge_end(
    running: TrialResult,
    end: ChildEnd,
    *,
    why: str,
    is_cancelled: bool,
    is_interrupted: bool,
    max_retries: int,
    log_tail: str,
) -> TrialResult:
    """Return the last word of an attempt. Pure.

    Parameters
    ----------
    running : TrialResult
        The first word.
    end : ChildEnd
        How the program ended.
    why : str
        Why the search has stopped it; empty if it has not.
    is_cancelled : bool
        The sweep was cancelled while it ran.
    is_interrupted : bool
        This worker was asked to leave while it ran. What a program makes of the signal, an exit
        code of 0 too, says nothing about the trial: it will go on elsewhere.
    max_retries : int
        How many failures are followed by another try.
    log_tail : str
        What it printed last.
    """
    said = replace(running, exit_code=end.exit_code, signal=end.signal, message=end.message)
    if is_cancelled:
        return replace(said, state=TrialState.STOPPED, message="the sweep was cancelled")
    if why:
        return replace(said, state=TrialState.PRUNED, why=why, message="")
    if is_interrupted:
        return replace(said, state=TrialState.WAITING, message="its worker was asked to leave")
    if end.gave_up:
        return replace(said, state=TrialState.PRUNED, why=end.gave_up)
    if not end.exit_code:
        return replace(said, state=TrialState.FINISHED)
    failures = running.failures + 1
    is_last = failures > max_retries or end.exit_code in HOPELESS
    return replace(
        said,
        state=TrialState.FAILED if is_last else TrialState.WAITING,
        failures=failures,
        log_tail=log_tail,
    )


def make_work_folder(sweep: Sweep, number: int) -> Path:
    """Make the folder for a trial's own files; it stays when the attempt ends.

    Raises
    ------
    StoreError
        It cannot be made.
    """
    path = sweep.folder.work(number)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make {path}: {error.strerror}") from None
    return path
