"""Running trials, in the allocation that the current process has.

A worker calls `run_trial` for one trial after the other, ``hpctrack sweep trial`` for a single one.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpctrack.client.ranks import detect_rank
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.core.wire import make_plain
from hpctrack.errors import HpctrackError, SweepError
from hpctrack.sweeps.folder import write_json
from hpctrack.sweeps.schema.command import CommandFacts, make_command, uses_macro
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.child import ChildEnd, run_child
from hpctrack.sweeps.worker.launch import make_launch, name_job
from hpctrack.sweeps.worker.process import read_stamp
from hpctrack.sweeps.worker.result import TrialResult, TrialState, write_result

_CANNOT_START = 126


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """How a trial ended, and whether its runner was asked to stop."""

    result: TrialResult
    was_stopped: bool


def run_trial(
    sweep: Sweep,
    number: int,
    *,
    environ: Mapping[str, str] | None = None,
    output: Path | None = None,
    timeout_s: float | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> TrialEnd:
    """Run one trial and leave word of it in the sweep's folder. Per-rank.

    Parameters
    ----------
    sweep : Sweep
        Whose.
    number : int
        Which.
    environ : mapping, optional
        What the program's environment is made from. Default: ours.
    output : Path, optional
        Where its output goes. Default: ours.
    timeout_s : float, optional
        See `run_child`.
    clock : Clock, optional
        For tests.

    Returns
    -------
    TrialEnd
        Also for a program that could not be started.

    Raises
    ------
    SweepError
        The sweep has no such trial.
    """
    environ = environment() if environ is None else environ
    parameters = sweep.parameters(number)
    rank = detect_rank(environ)
    child_environ = make_environment(sweep, number, parameters, environ)
    began_mono_s = clock.mono_s()
    running = describe_start(number, environ, clock)
    try:
        command = _prepare(sweep, number, parameters, child_environ)
    except HpctrackError as error:
        end = ChildEnd(_CANNOT_START, message=error.message)
    else:
        running = replace(running, command=tuple(command))
        if rank.rank == 0:
            _leave_word(sweep, running)
        end = run_child(
            command,
            environ=child_environ,
            directory=sweep.directory,
            output=output,
            timeout_s=timeout_s,
        )
    if end.message:
        _say(f"trial {number} of sweep {sweep.id}: {end.message}")
    result = replace(
        running,
        state=TrialState.FAILED if end.exit_code else TrialState.FINISHED,
        exit_code=end.exit_code,
        signal=end.signal,
        message=end.message,
        ended_wall_s=clock.wall_s(),
        duration_s=clock.mono_s() - began_mono_s,
    )
    if rank.rank == 0 or end.exit_code:
        _leave_word(sweep, result)
    return TrialEnd(result, end.was_stopped)


def make_environment(
    sweep: Sweep, number: int, parameters: Mapping[str, Any], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return a trial's environment: ours, what `hpctrack.init` goes by, nothing of submitit's.

    A program that uses submitit itself would take our job's variables for its own.
    """
    kept = {key: value for key, value in environ.items() if not key.startswith("SUBMITIT_")}
    return {
        **kept,
        "HPCTRACK_DIR": str(sweep.store),
        "HPCTRACK_PROJECT": sweep.project,
        "HPCTRACK_RUN_ID": sweep.run_id(number),
        "HPCTRACK_GROUP": sweep.id,
        "HPCTRACK_SWEEP_ID": sweep.id,
        "HPCTRACK_TRIAL": str(number),
        "HPCTRACK_SWEEP_CONFIG": json.dumps(parameters, default=make_plain),
    }


def _prepare(
    sweep: Sweep, number: int, parameters: Mapping[str, Any], environ: Mapping[str, str]
) -> list[str]:
    if not sweep.file.program and uses_macro(sweep.file.command, "program"):
        raise SweepError(f"sweep {sweep.id} has no `program`: its trials are calls of a function")
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
    return [*make_launch(sweep, environ), *make_command(sweep.file.command, facts)]


def describe_start(number: int, environ: Mapping[str, str], clock: Clock) -> TrialResult:
    """Return what a trial says when it begins, in this process."""
    rank = detect_rank(environ)
    pid = os.getpid()
    return TrialResult(
        trial=number,
        state=TrialState.RUNNING,
        rank=rank.rank,
        size=rank.size,
        host=socket.gethostname(),
        pid=pid,
        stamp=read_stamp(pid),
        job=name_job(environ),
        attempt=rank.attempt,
        started_wall_s=clock.wall_s(),
    )


def _leave_word(sweep: Sweep, result: TrialResult) -> None:
    """Write the trial's file; a full quota must not end the training."""
    try:
        write_result(sweep.folder, result)
    except HpctrackError as error:
        _say(error.message)


def _say(text: str) -> None:
    """Tell whoever reads the job's output."""
    sys.stderr.write(f"hpctrack: {text}\n")
    sys.stderr.flush()
