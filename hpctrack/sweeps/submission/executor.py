"""Handing trials to Slurm or to this machine, through submitit. The only importer of submitit."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack.errors import MissingPackageError, StoreError, SweepError, UsageError
from hpctrack.sweeps.submission.plan import Plan, plan_submission
from hpctrack.sweeps.submission.waiting import Progress, wait_for_trials
from hpctrack.sweeps.submission_record import Submission, Worker, confirm, reserve, withdraw
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.process import read_stamp
from hpctrack.sweeps.worker.trial import run_trials

REAP_TIMEOUT_S = 10.0
"""A worker whose last trial has ended is gone at once; submitit looks 24 times a second."""


def submit_sweep(
    store: str | os.PathLike[str],
    sweep: Sweep,
    *,
    executor: str = "auto",
    count: int | None = None,
    parallelism: int | None = None,
    wait: bool = False,
    on_progress: Progress | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Submission:
    """Submit the next trials of a sweep.

    Under Slurm each trial is a task of one job array. On this machine a few workers take one
    trial after the other, so that no more than ``parallelism`` run at a time; they outlive this
    process.

    Parameters
    ----------
    store : path
        The store; the sweep's.
    sweep : Sweep
        Whose trials.
    executor : {"auto", "slurm", "local"}
        ``auto`` is Slurm where there is sbatch.
    count : int, optional
        How many trials. Default: all that are left.
    parallelism : int, optional
        How many at a time. Default: the file's ``array_parallelism`` under Slurm, else one for
        each core (for each ``cpus_per_task`` cores).
    wait : bool
        Return when they have ended.
    on_progress : callable, optional
        Called with the state of each of these trials while waiting.
    clock : Clock, optional
        For tests.

    Returns
    -------
    Submission
        With the workers that have the trials.

    Raises
    ------
    UsageError
        An argument is wrong.
    SweepError
        The scheduler refuses; the message is its own.
    MissingPackageError
        submitit is not installed.
    StoreError
        The store cannot be written.
    """
    if Path(store).expanduser().absolute() != sweep.store:
        raise UsageError(f"sweep {sweep.id} lies in {sweep.store}, not in {store}")
    _import_submitit()
    plan = plan_submission(sweep, executor=executor, count=count, parallelism=parallelism)
    submission = reserve(sweep, plan.executor, count, parallelism=plan.parallelism, clock=clock)
    try:
        jobs = _hand_over(sweep, submission, plan)
    except BaseException:
        withdraw(sweep, submission)
        raise
    workers = tuple(_describe(submission, at, job) for at, job in enumerate(jobs))
    submission = confirm(sweep, submission, workers)
    if wait:
        wait_for_trials(sweep, submission, on_progress=on_progress, clock=clock)
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
    if plan.executor == "slurm":
        shares = [[number] for number in submission.trials]
    else:
        shares = [list(submission.trials)] * (plan.parallelism or 1)
    options = _trial_options(sweep, plan)
    count = len(shares)
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=plan.executor)
        executor.update_parameters(**plan.parameters)
        with _output_to(folder / "submit.log"):
            jobs: list[Any] = executor.map_array(
                run_trials,
                [str(sweep.store)] * count,
                [sweep.project] * count,
                [sweep.id] * count,
                shares,
                [options] * count,
            )
    except (RuntimeError, AssertionError, NameError, ValueError, OSError) as error:
        # submitit has no base class of its own; FailedJobError carries what sbatch said.
        raise SweepError(_first_words(error), hint=_advice(plan.executor)) from None
    return jobs


def _trial_options(sweep: Sweep, plan: Plan) -> dict[str, Any]:
    """Return what `run_trials` is told."""
    if plan.executor == "slurm":
        return {}
    options: dict[str, Any] = {"is_shared": True, "has_logs": True}
    if "timeout_min" in sweep.file.slurm:
        options["timeout_s"] = 60.0 * sweep.file.slurm["timeout_min"]
    if not plan.parameters["gpus_per_node"]:
        # submitit's local executor would hide all GPUs from a trial that asks for none.
        devices = environment().get("CUDA_VISIBLE_DEVICES")
        options["restored"] = {"CUDA_VISIBLE_DEVICES": devices}
    return options


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
    return f"the trials could not be submitted: {said or type(error).__name__}"


def _advice(executor: str) -> str | None:
    return (
        "see the `slurm` block of the sweep file, or --executor local"
        if executor == "slurm"
        else None
    )


def _describe(submission: Submission, at: int, job: Any) -> Worker:
    log = str(job.paths.stdout)
    if submission.executor == "slurm":
        return Worker(job=str(job.job_id), trials=(submission.trials[at],), log=log)
    pid = int(job.job_id)
    return Worker(
        job=str(job.job_id), trials=submission.trials, log=log, pid=pid, stamp=read_stamp(pid)
    )


def _reap(submission: Submission, jobs: Sequence[Any], clock: Clock) -> None:
    """Wait for our own workers: their trials have ended, and they are about to."""
    if submission.executor != "local":
        return
    deadline = clock.mono_s() + REAP_TIMEOUT_S
    while clock.mono_s() < deadline and not all(job.done() for job in jobs):
        time.sleep(0.05)
