"""How a trial with several tasks is started in the allocation that its worker has.

One worker runs in each job, in the batch script on the first node. It starts a trial of one
process itself, and one of several tasks with ``srun``, so that trials follow each other in an
allocation that is queued for once.

``srun`` is not a process like others. It passes SIGUSR1 and SIGUSR2 on to all ranks, but at
SIGTERM it kills them at once, and if it is killed itself the step goes on without it and keeps its
cores. `signal_ranks` asks Slurm to tell the ranks; SIGTERM for ``srun`` is the hard end.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Mapping
from typing import Any

from hpctrack.agents.job_end import name_job
from hpctrack.client.ranks import detect_rank
from hpctrack.errors import SweepError
from hpctrack.sweeps.sweep import Sweep

SIGNAL_TIMEOUT_S = 20.0
"""``scancel`` talks to the nodes themselves; a node that is silent for longer is not heard."""

_OF_A_LAUNCH = (
    "SLURM_STEP", "SLURM_GTIDS", "SLURM_TASK_PID", "SLURM_SRUN_COMM", "SLURM_LAUNCH_NODE",
    "PMI_", "PMIX_RANK", "PMIX_SIZE", "PMIX_NAMESPACE", "PMIX_SERVER",
    "PMIX_LOCAL", "OMPI_COMM_WORLD", "OMPI_MCA_ess_base", "MPI_LOCAL", "HYDI_",
)  # fmt: skip
"""How variables begin that tell a process which rank of a launch it is."""

_ALONE = {
    "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NTASKS": "1",
    "SLURM_NPROCS": "1", "SLURM_TASKS_PER_NODE": "1",
}  # fmt: skip
"""What a batch script of one task finds. Programs fail that find a job and no SLURM_PROCID."""

_OPTIONS = {
    "nodes": "nodes", "tasks_per_node": "ntasks-per-node", "cpus_per_task": "cpus-per-task",
    "gpus_per_task": "gpus-per-task",
}  # fmt: skip
"""What ``srun`` is told again: it does not take all of them from the job."""


_FIRST_SPECIAL_STEP = 0xFFFFFFF0
"""Steps from here on are the batch script and the shell of ``salloc``."""


def count_tasks(slurm: Mapping[str, Any]) -> int:
    """Return how many tasks a trial has, by the file's ``slurm`` block."""
    tasks: int = slurm.get("nodes", 1) * slurm.get("tasks_per_node", 1)
    return tasks


def uses_srun(slurm: Mapping[str, Any]) -> bool:
    """Tell whether ``srun`` starts the trials: the block says so, or they have several tasks."""
    return bool(slurm.get("use_srun", count_tasks(slurm) > 1))


def make_launch(sweep: Sweep, environ: Mapping[str, str]) -> list[str]:
    """Return the words that stand before a trial's command.

    Parameters
    ----------
    sweep : Sweep
        Whose trial.
    environ : mapping
        The worker's environment.

    Returns
    -------
    list of str
        ``srun`` and its options; empty if the command is started as it is, also in a process that
        is a rank already.

    Raises
    ------
    SweepError
        The trials have several tasks, and this is no allocation of Slurm's.
    """
    slurm = sweep.file.slurm
    if not uses_srun(slurm) or detect_rank(environ).size > 1:
        return []
    if "SLURM_JOB_ID" not in environ:
        raise SweepError(
            f"each trial of sweep {sweep.id} is started by srun, and this is no Slurm job",
            hint="submit it, or start the ranks in `command` and set use_srun: false",
        )
    shape = {"nodes": 1, "tasks_per_node": 1, **slurm}
    options = [f"--{name}={shape[key]}" for key, name in _OPTIONS.items() if key in shape]
    options.append(f"--ntasks={count_tasks(slurm)}")  # else all tasks of a larger allocation
    # After `sbatch --export=NONE` srun would hand nothing on. And the other ranks of a trial whose
    # rank has died would wait for it until the time is up.
    options += ["--export=ALL", "--kill-on-bad-exit=1"]
    return ["srun", *options, *slurm.get("srun_args", ())]


def signal_ranks(environ: Mapping[str, str], number: int) -> bool:
    """Send a signal to all ranks that ``srun`` has started in this job; not to the worker.

    Parameters
    ----------
    environ : mapping
        The worker's environment.
    number : int
        Of the signal; not SIGKILL, which would reach the worker as well.

    Returns
    -------
    bool
        Whether Slurm took it.
    """
    job = name_job(environ)
    if not job or number == signal.SIGKILL:
        return False
    name = signal.Signals(number).name.removeprefix("SIG")
    try:
        done = subprocess.run(
            ["scancel", f"--signal={name}", job],
            capture_output=True,
            timeout=SIGNAL_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def as_worker(sweep: Sweep, environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without what makes a process a rank of several.

    Several workers that were started by one ``srun`` are strangers to each other, and so are
    their trials. The environment of a batch script is returned as it is.
    """
    if "SLURM_STEP_ID" not in environ and detect_rank(environ).size == 1:
        return dict(environ)
    alone = {key: one for key, one in environ.items() if not key.startswith(_OF_A_LAUNCH)}
    if uses_srun(sweep.file.slurm):
        return alone  # srun goes by the numbers of the allocation
    alone.pop("SLURM_NTASKS_PER_NODE", None)
    return alone | {key: value for key, value in _ALONE.items() if key in alone}


def as_agent(sweep: Sweep, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a worker that somebody started by hand, perhaps by ``srun``.

    Raises
    ------
    SweepError
        Several workers were started where one starts its trials with ``srun``.
    """
    step = environ.get("SLURM_STEP_ID", "")
    if step.isdigit():
        is_launched = int(step) < _FIRST_SPECIAL_STEP
    else:
        is_launched = detect_rank(environ).size > 1
    if uses_srun(sweep.file.slurm) and is_launched:
        raise SweepError(
            f"the agent of sweep {sweep.id} starts its trials with srun, and was started by one",
            hint="start it once in the allocation, without srun or mpiexec",
        )
    return as_worker(sweep, environ)
