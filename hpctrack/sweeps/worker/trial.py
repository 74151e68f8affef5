"""Running trials, in the allocation that the current process has.

`run_trials` is what submitit calls on the node: a top-level function with plain arguments, so the
node only has to import it. ``hpctrack sweep trial`` calls `run_trial` from a plain batch script.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpctrack.client.ranks import RankInfo, detect_rank
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.core.wire import make_plain
from hpctrack.errors import HpctrackError
from hpctrack.sweeps.folder import write_json
from hpctrack.sweeps.schema.command import CommandFacts, make_command, uses_macro
from hpctrack.sweeps.sweep import Sweep, load_sweep
from hpctrack.sweeps.worker.child import ChildEnd, run_child
from hpctrack.sweeps.worker.process import read_stamp
from hpctrack.sweeps.worker.result import TrialResult, TrialState, write_result

_CANNOT_START = 126


@dataclass(frozen=True, slots=True)
class TrialEnd:
    """How a trial ended, and whether its runner was asked to stop."""

    result: TrialResult
    was_stopped: bool


def run_trials(
    store: str, project: str, sweep_id: str, numbers: Sequence[int], options: Mapping[str, Any]
) -> None:
    """Run several trials, one after the other, until all are done or somebody says stop.

    Parameters
    ----------
    store, project, sweep_id : str
        Which sweep.
    numbers : sequence of int
        Which trials.
    options : mapping
        ``is_shared``: other workers have the same numbers, so each trial is taken first.
        ``has_logs``: the output goes to a file for each trial.
        ``timeout_s``: see `run_child`.
        ``restored``: variables that submitit's local executor overwrites, and what they were;
        None for unset.

    Raises
    ------
    SystemExit
        With the program's exit code, if the only trial failed: Slurm is to see it as well.
    """
    sweep = load_sweep(store, sweep_id, project=project)
    environ = _restore(environment(), options.get("restored", {}))
    for number in numbers:
        if options.get("is_shared") and not _take(sweep, number):
            continue
        end = run_trial(
            sweep,
            number,
            environ=environ,
            output=sweep.folder.log(number) if options.get("has_logs") else None,
            timeout_s=options.get("timeout_s"),
        )
        if len(numbers) == 1 and end.result.exit_code:
            raise SystemExit(end.result.exit_code)
        if end.was_stopped:
            return


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
    running = _describe_start(number, rank, environ, clock)
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


def _describe_start(
    number: int, rank: RankInfo, environ: Mapping[str, str], clock: Clock
) -> TrialResult:
    array, task = environ.get("SLURM_ARRAY_JOB_ID"), environ.get("SLURM_ARRAY_TASK_ID")
    pid = os.getpid()
    return TrialResult(
        trial=number,
        state=TrialState.RUNNING,
        rank=rank.rank,
        size=rank.size,
        host=socket.gethostname(),
        pid=pid,
        stamp=read_stamp(pid),
        job=f"{array}_{task}" if array and task else environ.get("SLURM_JOB_ID", ""),
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


def _take(sweep: Sweep, number: int) -> bool:
    """Take a trial; False if another worker has it."""
    path = sweep.folder.taken(number)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
    except FileExistsError:
        return False
    return True


def _restore(environ: Mapping[str, str], earlier: Mapping[str, str | None]) -> dict[str, str]:
    restored = {key: value for key, value in environ.items() if key not in earlier}
    return restored | {key: value for key, value in earlier.items() if value is not None}
