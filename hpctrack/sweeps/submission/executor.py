"""Handing workers to Slurm or to this machine, through submitit. The only importer of submitit."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpctrack.core.account import find_account
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.errors import MissingPackageError, StoreError, SweepError, UsageError
from hpctrack.sweeps.control import Wish, read_control, write_control
from hpctrack.sweeps.search.packages import demand_packages
from hpctrack.sweeps.submission.plan import Plan, Wanted, plan_submission
from hpctrack.sweeps.submission.waiting import Progress, wait_for_submission
from hpctrack.sweeps.submission_record import Submission, Worker, confirm, reserve, withdraw
from hpctrack.sweeps.sweep import Sweep, load_sweep
from hpctrack.sweeps.worker.launch import as_worker
from hpctrack.sweeps.worker.loop import WorkerOptions, run_worker
from hpctrack.sweeps.worker.process import read_stamp

REAP_TIMEOUT_S = 10.0
"""A worker that has left is gone at once; submitit looks 24 times a second."""

MAX_REQUEUES = 100
"""How often a worker that asks for it is put back in the queue; submitit's default is 3."""


class SweepWorker:
    """What submitit calls on the node.

    Parameters
    ----------
    store, project, sweep_id : str
        Which sweep.
    options : WorkerOptions
        What the worker is told.

    Notes
    -----
    Slurm's own requeue starts the same script again, and so the same object: nothing of a worker
    has to be kept, because all it knows is in the sweep's folder.
    """

    def __init__(self, store: str, project: str, sweep_id: str, options: WorkerOptions) -> None:
        self.store = store
        self.project = project
        self.sweep_id = sweep_id
        self.options = options

    def __call__(self) -> dict[str, Any]:
        """Take trials; return how many, and why no more."""
        sweep = load_sweep(self.store, self.sweep_id, project=self.project)
        # A job that was submitted from within a step has its variables, and is no rank of it.
        end = run_worker(sweep, self.options, environ=as_worker(sweep, environment()))
        if end.should_requeue and callable(signal.getsignal(signal.SIGUSR2)):
            try:
                # submitit's handler: it calls `checkpoint`, has Slurm requeue the job, and exits.
                signal.raise_signal(signal.SIGUSR2)
            except (OSError, subprocess.SubprocessError) as error:
                # A job that is preempted has been put back already; others may not be.
                sys.stderr.write(f"hpctrack: the job is not requeued from here: {error}\n")
        return dataclasses.asdict(end)

    def checkpoint(self) -> Any:
        """Return what submitit is to call when the job runs again."""
        return _import_submitit().helpers.DelayedSubmission(self)


def submit_sweep(
    store: str | os.PathLike[str],
    sweep: Sweep,
    wanted: Wanted | None = None,
    *,
    executor: str = "auto",
    plan: Plan | None = None,
    wait: bool = False,
    on_progress: Progress | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Submission:
    """Submit workers that take the trials of a sweep.

    Under Slurm they are the tasks of one job array. On this machine they are processes that
    outlive this one. Workers of several submissions share what is left.

    Parameters
    ----------
    store : path
        The store; the sweep's.
    sweep : Sweep
        Whose trials.
    wanted : Wanted, optional
        How many trials and workers; see `hpctrack.sweeps.submission.plan`.
    executor : {"auto", "slurm", "local"}
        ``auto`` is Slurm where there is sbatch.
    plan : Plan, optional
        What `plan_submission` has answered to the same, if it was asked just now.
    wait : bool
        Return when the workers have left.
    on_progress : callable, optional
        Called with the state of each trial of the sweep while waiting.
    clock : Clock, optional
        For tests.

    Returns
    -------
    Submission
        With the workers.

    Raises
    ------
    UsageError
        An argument is wrong.
    SweepError
        The scheduler refuses; the message is its own.
    MissingPackageError
        submitit, or what the search needs, is not installed.
    StoreError
        The store cannot be written.
    """
    if Path(store).expanduser().absolute() != sweep.store:
        raise UsageError(f"sweep {sweep.id} lies in {sweep.store}, not in {store}")
    _import_submitit()
    # The workers are started with this Python: what it lacks, they lack, far from anybody's eyes.
    demand_packages(sweep.file.method)
    plan = plan or plan_submission(sweep, wanted, executor=executor)
    submission = reserve(
        sweep,
        plan.executor,
        tasks=plan.tasks,
        parallelism=plan.parallelism,
        limit=plan.limit,
        max_trials=plan.max_trials,
        clock=clock,
    )
    if read_control(sweep.folder).wish in {Wish.STOP, Wish.CANCEL}:
        # Who submits wants trials to run, whatever was wanted before.
        write_control(sweep.folder, Wish.RUN, who=find_account(environment()), clock=clock)
    try:
        jobs = _hand_over(sweep, submission, plan)
    except BaseException:
        withdraw(sweep, submission)
        raise
    submission = confirm(sweep, submission, tuple(_describe(submission, job) for job in jobs))
    if wait:
        wait_for_submission(sweep, submission, on_progress=on_progress, clock=clock)
        _reap(submission, jobs, clock)
    return submission


def _import_submitit() -> Any:
    try:
        import submitit  # noqa: PLC0415 - 240 ms, and an extra
    except ImportError:
        raise MissingPackageError("submitit", extra="sweep") from None
    return submitit


def _hand_over(sweep: Sweep, submission: Submission, plan: Plan) -> list[Any]:
    """Submit, and return submitit's jobs."""
    submitit = _import_submitit()
    folder = sweep.folder.jobs(submission.number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {folder}: {error.strerror}") from None
    worker = SweepWorker(
        str(sweep.store), sweep.project, sweep.id, make_options(plan, submission.number)
    )
    python = {"slurm_python": plan.python} if plan.executor == "slurm" else {}
    try:
        executor = submitit.AutoExecutor(
            folder=folder, cluster=plan.executor, slurm_max_num_timeout=MAX_REQUEUES, **python
        )
        executor.update_parameters(**plan.parameters)
        with _output_to(folder / "submit.log"):
            jobs: list[Any] = executor.submit_array([worker] * plan.tasks)
    except (RuntimeError, AssertionError, NameError, ValueError, OSError) as error:
        # submitit has no base class of its own; FailedJobError carries what sbatch said.
        raise SweepError(_first_words(error), hint=_advice(plan.executor)) from None
    return jobs


def make_options(plan: Plan, share: int) -> WorkerOptions:
    """Return what the workers of a submission are told."""
    restored: dict[str, str | None] = {}
    time_limit_s = None
    if plan.executor == "local":
        if plan.time_limit_min is not None:
            time_limit_s = 60.0 * plan.time_limit_min
        if not plan.parameters["gpus_per_node"]:
            # submitit's local executor would hide all GPUs from a trial that asks for none.
            restored["CUDA_VISIBLE_DEVICES"] = environment().get("CUDA_VISIBLE_DEVICES")
    return WorkerOptions(
        max_trials=plan.max_trials,
        share=share,
        limit=plan.limit,
        time_limit_s=time_limit_s,
        has_logs=True,
        restored=restored,
    )


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """Give what is started meanwhile another stdout and stderr.

    submitit's local workers inherit ours; whoever reads our output through a pipe would wait
    for them.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    try:
        with path.open("ab") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield
    finally:
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _first_words(error: BaseException) -> str:
    """Return what sbatch, or submitit, says on one line."""
    lines = [line.removeprefix("sbatch: ").strip() for line in str(error).splitlines()]
    said = "; ".join(line.removeprefix("error: ") for line in lines if line)
    return f"the workers could not be submitted: {said or type(error).__name__}"


def _advice(executor: str) -> str | None:
    return (
        "see the `slurm` block of the sweep file, or --executor local"
        if executor == "slurm"
        else None
    )


def _describe(submission: Submission, job: Any) -> Worker:
    name, log = str(job.job_id), str(job.paths.stdout)
    if submission.executor == "slurm":
        return Worker(job=name, log=log)
    return Worker(job=name, log=log, pid=int(name), stamp=read_stamp(int(name)))


def _reap(submission: Submission, jobs: Sequence[Any], clock: Clock) -> None:
    """Wait for our own workers: they have left, and submitit is to see it."""
    if submission.executor != "local":
        return
    deadline = clock.mono_s() + REAP_TIMEOUT_S
    while clock.mono_s() < deadline and not all(job.done() for job in jobs):
        time.sleep(0.05)
