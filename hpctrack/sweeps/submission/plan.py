"""What a submission will do, worked out before anything is handed over."""

from __future__ import annotations

import itertools
import os
import shutil
from dataclasses import dataclass
from typing import Any

from hpctrack.errors import SweepError, UsageError
from hpctrack.sweeps.schema.slurm_block import DEFAULT_TIMEOUT_MIN, SHARED_KEYS
from hpctrack.sweeps.submission_record import choose_trials
from hpctrack.sweeps.sweep import Sweep

EXECUTORS = ("auto", "slurm", "local")

WORKER_TIMEOUT_MIN = 60 * 24 * 365
"""submitit ends a local job after 2 minutes by default; ours ends when its trials have ended."""


HARMLESS_SIGNAL = "CONT@1"
"""submitit has Slurm send USR2 90 s before the time limit, and Slurm may send it a minute earlier.
It kills a program that never asked for it, and submitit itself while it starts. Nobody dies of
CONT; a file with ``signal_delay_s`` asks for USR2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a submission will do.

    Parameters
    ----------
    executor : {"slurm", "local"}
        Chosen, if it was ``auto``.
    trials : tuple of int
        Which.
    parallelism : int or None
        How many run at a time; None leaves it to Slurm.
    parameters : dict
        For submitit's ``update_parameters``.
    """

    executor: str
    trials: tuple[int, ...]
    parallelism: int | None
    parameters: dict[str, Any]


def plan_submission(
    sweep: Sweep,
    *,
    executor: str = "auto",
    count: int | None = None,
    parallelism: int | None = None,
) -> Plan:
    """Work out what `submit_sweep` with the same arguments would do.

    Raises
    ------
    UsageError
        An argument is wrong.
    SweepError
        It cannot be done here.
    """
    chosen = choose_executor(executor)
    if parallelism is not None and parallelism < 1:
        raise UsageError(f"a parallelism of {parallelism}", hint="at least 1")
    trials = choose_trials(sweep, count)
    _check_program(sweep)
    if chosen == "slurm":
        bound = parallelism or sweep.file.slurm.get("array_parallelism")
        return Plan(
            executor=chosen,
            trials=trials,
            parallelism=bound,
            parameters=_slurm_parameters(sweep, bound),
        )
    workers = min(parallelism or _free_slots(sweep), len(trials))
    parameters = {
        "timeout_min": WORKER_TIMEOUT_MIN,
        "gpus_per_node": sweep.file.slurm.get("gpus_per_node", 0),
    }
    _check_local(sweep)
    return Plan(executor=chosen, trials=trials, parallelism=workers, parameters=parameters)


def choose_executor(name: str) -> str:
    """Return ``slurm`` or ``local``.

    Raises
    ------
    UsageError
        No such executor.
    SweepError
        Slurm is asked for and is not here.
    """
    if name not in EXECUTORS:
        raise UsageError(f"no executor {name!r}", hint=f"use one of {', '.join(EXECUTORS)}")
    has_slurm = bool(shutil.which("sbatch") and shutil.which("srun"))
    if name == "slurm" and not has_slurm:
        raise SweepError(
            "sbatch and srun are not on PATH", hint="submit on a login node, or --executor local"
        )
    if name == "auto":
        return "slurm" if has_slurm else "local"
    return name


def _check_program(sweep: Sweep) -> None:
    """Complain about a Python program that is not there before it has waited in a queue."""
    sweep.file.require_command()
    program, command = sweep.file.program, sweep.file.command
    pairs = itertools.pairwise(command)
    if ("${interpreter}", "${program}") in pairs and not (sweep.directory / program).exists():
        raise SweepError(
            f"the program {program!r} is not in {sweep.directory}",
            hint="create the sweep in the folder of the program, or give its whole path",
        )


def _check_local(sweep: Sweep) -> None:
    slurm = sweep.file.slurm
    tasks = slurm.get("nodes", 1) * slurm.get("tasks_per_node", 1)
    if tasks > 1:
        raise SweepError(
            f"each trial of sweep {sweep.id} has {tasks} tasks, this machine starts one",
            hint="submit with Slurm, or start the ranks in `command` (mpiexec -n ...)",
        )


def _free_slots(sweep: Sweep) -> int:
    cores = len(os.sched_getaffinity(0))
    per_trial: int = sweep.file.slurm.get("cpus_per_task", 1)
    return max(cores // per_trial, 1)


def _slurm_parameters(sweep: Sweep, parallelism: int | None) -> dict[str, Any]:
    given = {"name": f"sweep-{sweep.id}", "timeout_min": DEFAULT_TIMEOUT_MIN, **sweep.file.slurm}
    if "signal_delay_s" not in given:
        given["additional_parameters"] = {
            "signal": HARMLESS_SIGNAL, **given.get("additional_parameters", {})
        }  # fmt: skip
    if parallelism is not None:
        given["array_parallelism"] = parallelism
    return {key if key in SHARED_KEYS else f"slurm_{key}": one for key, one in given.items()}
