"""What a submission will do, worked out before anything is handed over.

A submission is a number of workers, not of trials. How many: one for each ``max_trials`` trials
that are left if that is given; else as many as may run at a time, and never more than there are
trials.
"""

from __future__ import annotations

import itertools
import math
import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hpctrack.errors import SweepError, UsageError
from hpctrack.sweeps.control import Wish, read_control
from hpctrack.sweeps.results.status import read_states
from hpctrack.sweeps.schema.slurm_block import DEFAULT_TIMEOUT_MIN, SHARED_KEYS
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.launch import count_tasks, uses_srun
from hpctrack.sweeps.worker.result import TrialState

EXECUTORS = ("auto", "slurm", "local")

WORKER_TIMEOUT_MIN = 60 * 24 * 365
"""submitit ends a local job after 2 minutes by default; ours ends when its worker leaves."""

DEFAULT_PARALLELISM = 8
"""Workers of a job array if nobody says how many: enough to feel, too few to annoy a queue."""

MAX_TASKS = 10_000
"""More tasks in one array are more than a scheduler or a quota likes."""

WARNING_S = 90
"""How long before the time limit the worker is told; submitit's default."""

OURS = frozenset({"signal_delay_s", "srun_args", "use_srun"})
"""Keys of the ``slurm`` block that submitit is not told: they are about what the worker does."""

IGNORE_WARNING = "trap '' USR2"
"""The warning is for the worker. It may come while the shell or Python is only starting, who would
die of it; what is ignored stays ignored until somebody asks for it."""

TEARDOWN_RUNNER = (
    "run_worker() {",
    '  "$@" &',
    "  worker=$!",
    "  trap 'kill -USR2 \"$worker\"' USR2",
    "  trap : TERM INT",
    "  while true; do",
    "    code=0",
    '    wait "$worker" || code=$?',
    '    if [ "$code" -le 128 ] || ! kill -0 "$worker" 2>/dev/null; then return "$code"; fi',
    "  done",
    "}",
)
"""Stands before the worker where the block has a ``teardown``. Otherwise the worker takes the place
of the shell, because the warning goes to the shell alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a submission will do.

    Parameters
    ----------
    executor : {"slurm", "local"}
        Chosen, if it was ``auto``.
    tasks : int
        How many workers.
    parallelism : int
        How many run at a time.
    left : int or None
        Trials that nobody has taken; None if the sweep has no end.
    limit : int or None
        How many trials the workers take together at most.
    max_trials : int or None
        How many trials each worker takes at most.
    time_limit_min : int or None
        Of each worker; None on this machine, unless the file has one.
    parameters : dict
        For submitit's ``update_parameters``.
    python : str
        What starts Python in submitit's script.
    over : frozenset of int
        Trials that have ended already.
    """

    executor: str
    tasks: int
    parallelism: int
    left: int | None
    limit: int | None = None
    max_trials: int | None = None
    time_limit_min: int | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    python: str = ""
    over: frozenset[int] = frozenset()

    @property
    def trials(self) -> int | None:
        """How many trials the workers will take at most; None if there is no bound."""
        each = None if self.max_trials is None else self.max_trials * self.tasks
        return min((one for one in (self.left, self.limit, each) if one is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What somebody asks of a submission; None leaves it to the file, or to the rule.

    Parameters
    ----------
    count : int or None
        At most so many trials in all.
    max_trials : int or None
        At most so many trials for each worker.
    parallelism : int or None
        At most so many workers at a time.
    workers : int or None
        So many workers.
    """

    count: int | None = None
    max_trials: int | None = None
    parallelism: int | None = None
    workers: int | None = None

    def check(self) -> None:
        """Complain about numbers below 1.

        Raises
        ------
        UsageError
            One is.
        """
        for name in ("count", "max_trials", "parallelism", "workers"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}", hint="at least 1")


def plan_submission(
    sweep: Sweep, wanted: Wanted | None = None, *, executor: str = "auto", is_script: bool = False
) -> Plan:
    """Work out what `submit_sweep` with the same arguments would do.

    Parameters
    ----------
    sweep : Sweep
        Whose trials.
    wanted : Wanted, optional
        What is asked for.
    executor : {"auto", "slurm", "local"}
        See `choose_executor`.
    is_script : bool
        A script for another day is planned: Slurm need not be here.

    Raises
    ------
    UsageError
        An argument is wrong.
    SweepError
        It cannot be done here.
    """
    wanted = wanted or Wanted()
    wanted.check()
    chosen = "slurm" if is_script else choose_executor(executor)
    _check_program(sweep)
    states = read_states(sweep)
    over = frozenset(number for number, state in states.items() if state.is_over)
    left = count_left(sweep, states.values())
    _check_left(sweep, left, wanted, chosen)
    if chosen == "slurm":
        bound = wanted.parallelism or sweep.file.slurm.get("array_parallelism")
        tasks, at_a_time = _count_tasks(left, wanted, bound)
        return Plan(
            executor=chosen,
            tasks=tasks,
            parallelism=at_a_time,
            left=left,
            limit=wanted.count,
            max_trials=wanted.max_trials,
            time_limit_min=sweep.file.slurm.get("timeout_min", DEFAULT_TIMEOUT_MIN),
            parameters=_slurm_parameters(sweep, at_a_time),
            python=_python(sweep),
            over=over,
        )
    _check_local(sweep)
    tasks, at_a_time = _count_tasks(left, wanted, wanted.parallelism or _free_slots(sweep))
    return Plan(
        executor=chosen,
        tasks=min(tasks, at_a_time),  # submitit starts all that it is given
        parallelism=at_a_time,
        left=left,
        limit=wanted.count,
        max_trials=wanted.max_trials,
        time_limit_min=sweep.file.slurm.get("timeout_min"),
        parameters={
            "timeout_min": WORKER_TIMEOUT_MIN,
            "gpus_per_node": sweep.file.slurm.get("gpus_per_node", 0),
        },
        over=over,
    )


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


def count_left(sweep: Sweep, states: Iterable[TrialState]) -> int | None:
    """Return how many trials nobody has taken, or has lost; None for a sweep without end."""
    total = sweep.file.trial_count()
    if total is None:
        return None
    taken = sum(one not in {TrialState.WAITING, TrialState.CRASHED} for one in states)
    return max(total - taken, 0)


def warning_s(slurm: dict[str, Any]) -> int:
    """Return how long before the time limit the worker is told, seconds."""
    if "signal_delay_s" in slurm:
        return int(slurm["signal_delay_s"])
    return min(WARNING_S, 15 * int(slurm.get("timeout_min", DEFAULT_TIMEOUT_MIN)))


def _check_left(sweep: Sweep, left: int | None, wanted: Wanted, executor: str) -> None:
    if left == 0:
        raise SweepError(
            f"all {sweep.file.trial_count()} trials of sweep {sweep.id} have been taken",
            hint=f"`hpctrack sweep status {sweep.id}` shows them",
        )
    if left is None and executor == "local" and wanted.count is None and wanted.max_trials is None:
        raise UsageError(
            f"sweep {sweep.id} has no end, and neither has a worker on this machine",
            hint="say how many trials: --count N, or run_cap in the file",
        )
    if read_control(sweep.folder).wish == Wish.PAUSE:
        raise SweepError(
            f"sweep {sweep.id} is paused: workers would hold their nodes and wait",
            hint=f"hpctrack sweep resume {sweep.id}",
        )


def _count_tasks(left: int | None, wanted: Wanted, bound: int | None) -> tuple[int, int]:
    """Return how many workers there are in all, and how many at a time."""
    trials = min((one for one in (left, wanted.count) if one is not None), default=None)
    if wanted.workers is not None:
        tasks = wanted.workers
    elif wanted.max_trials is not None and trials is not None:
        tasks = math.ceil(trials / wanted.max_trials)
    else:
        tasks = bound or DEFAULT_PARALLELISM
    tasks = tasks if trials is None else min(tasks, trials)
    if tasks > MAX_TASKS:
        raise SweepError(
            f"{tasks} tasks are more than {MAX_TASKS}",
            hint="let each take more trials (--max-trials), or submit some: --count N",
        )
    return tasks, min(bound or tasks, tasks)


def _check_program(sweep: Sweep) -> None:
    """Complain about a Python program that is not there before it has waited in a queue."""
    sweep.file.require_command()
    program, command = sweep.file.program, sweep.file.command
    if not command:
        raise SweepError(
            f"sweep {sweep.id} has no `program`",
            hint="name one in the file, or call hpctrack.agent(id, function)",
        )
    pairs = itertools.pairwise(command)
    if ("${interpreter}", "${program}") in pairs and not (sweep.directory / program).is_file():
        raise SweepError(
            f"the program {program!r} is not in {sweep.directory}",
            hint="create the sweep in the folder of the program, or give its whole path",
        )


def _check_local(sweep: Sweep) -> None:
    if uses_srun(sweep.file.slurm):
        tasks = count_tasks(sweep.file.slurm)
        raise SweepError(
            f"each trial of sweep {sweep.id} has {tasks} tasks, this machine starts one",
            hint="submit with Slurm, or start the ranks in `command` and set use_srun: false",
        )


def _free_slots(sweep: Sweep) -> int:
    cores = len(os.sched_getaffinity(0))
    per_trial: int = sweep.file.slurm.get("cpus_per_task", 1)
    return max(cores // per_trial, 1)


def _slurm_parameters(sweep: Sweep, at_a_time: int) -> dict[str, Any]:
    block = sweep.file.slurm
    given = {"name": f"sweep-{sweep.id}", "timeout_min": DEFAULT_TIMEOUT_MIN, **block}
    given = {key: value for key, value in given.items() if key not in OURS}
    before = [IGNORE_WARNING, *(TEARDOWN_RUNNER if "teardown" in block else ())]
    given |= {
        "array_parallelism": at_a_time,
        "setup": [*before, *block.get("setup", ())],
        # One worker in each job, in the batch script itself: submitit's srun would start one for
        # each task, and an srun in an srun's step waits for cores that it has itself.
        "use_srun": False,
        "additional_parameters": {
            "signal": f"B:USR2@{warning_s(block)}", **block.get("additional_parameters", {})
        },
    }  # fmt: skip
    return {key if key in SHARED_KEYS else f"slurm_{key}": one for key, one in given.items()}


def _python(sweep: Sweep) -> str:
    runner = "run_worker" if "teardown" in sweep.file.slurm else "exec"
    return f"{runner} {shlex.quote(sys.executable)}"
