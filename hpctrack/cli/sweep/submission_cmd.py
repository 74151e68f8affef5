"""``hpctrack sweep submit``, ``sbatch`` and ``agent``: workers that run a sweep's trials."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from hpctrack.agents.job_end import name_job
from hpctrack.cli.options import (
    json_option,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.sweep.making import find_target, tell_made
from hpctrack.cli.sweep.submission_view import (
    TrialProgress,
    report_plan,
    report_submission,
    report_worker,
)
from hpctrack.core.settings import environment
from hpctrack.errors import SweepError
from hpctrack.sweeps.slurm_queue import run_slurm
from hpctrack.sweeps.submission.executor import submit_sweep
from hpctrack.sweeps.submission.plan import EXECUTORS, Wanted, choose_executor, plan_submission
from hpctrack.sweeps.submission.script import make_script
from hpctrack.sweeps.sweep import load_sweep, store_sweep
from hpctrack.sweeps.worker.launch import as_agent
from hpctrack.sweeps.worker.loop import WorkerOptions, run_worker

Command = TypeVar("Command", bound=Callable[..., Any])

_POSITIVE = click.IntRange(min=1)
_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_CLOCK = re.compile(r"(?:(?P<d>\d+)-)?(?P<h>\d+):(?P<m>\d\d?)(?::(?P<s>\d\d?))?\Z")


class TimeSpan(click.ParamType[float]):
    """``90`` minutes, ``90s``, ``10m``, ``2h``, ``1d``, or Slurm's ``HH:MM:SS`` and ``D-HH:MM``."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds."""
        text = str(value).strip()
        found = _CLOCK.match(text)
        if found:
            parts = {key: float(one or 0) for key, one in found.groupdict().items()}
            return sum(parts[key] * unit_s for key, unit_s in _UNITS_S.items())
        number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS_S else (text, "m")
        try:
            span_s = float(number) * _UNITS_S[unit]
        except ValueError:
            span_s = -1.0
        if not 0 < span_s < float("inf"):
            self.fail(f"{text!r} is no time; write 90 (minutes), 2h, 01:30:00", param, ctx)
        return span_s


def worker_options(command: Command) -> Command:
    """Add what says how many workers there are and what they take."""
    for add in reversed((
        click.option(
            "--max-trials", type=_POSITIVE,
            help="Trials that each worker takes at most; 1 makes one task per trial.",
        ),
        click.option(
            "--array-parallelism", "--parallelism", "parallelism", type=_POSITIVE,
            help="Workers that run at a time. [default: the file's; 8 under Slurm, else by cores]",
        ),
        click.option("-w", "--workers", type=_POSITIVE, help="Workers in all."),
    )):  # fmt: skip
        command = add(command)
    return command


@click.command()
@click.argument("target", metavar="FILE|ID")
@store_option
@project_option
@click.option(
    "-e",
    "--executor",
    type=click.Choice(EXECUTORS),
    default="auto",
    show_default=True,
    help="auto is Slurm where there is sbatch.",
)
@click.option("-n", "--count", type=_POSITIVE, help="Trials of these workers together, at most.")
@worker_options
@click.option(
    "--wait/--no-wait", default=None, help="Wait for the end. [default: only on this machine]"
)
@click.option("--dry-run", is_flag=True, help="Say what would be submitted, and do nothing.")
@json_option
def submit(
    *,
    target: str,
    store: Path | None,
    project: str | None,
    executor: str,
    count: int | None,
    max_trials: int | None,
    parallelism: int | None,
    workers: int | None,
    wait: bool | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Submit workers that take the trials of a sweep; a FILE is created first.

    Under Slurm they are the tasks of one job array, and each takes trials until its time is up.
    On this machine they are processes; with --no-wait they go on in the background. Submitting a
    sweep again adds workers. Ends with exit code 11 if a trial that was waited for has not
    finished well.

    \b
    Examples:
      hpctrack sweep submit sweep.yaml
      hpctrack sweep submit sweep.yaml --executor local --parallelism 4
      hpctrack sweep submit sweep.yaml --max-trials 1 --array-parallelism 16
      hpctrack sweep submit k3x9a0bq --count 20 --wait
      hpctrack sweep submit sweep.yaml --dry-run
    """
    settings = read_settings(dir=store)
    chosen, is_new = find_target(target, store, project)
    wanted = Wanted(
        count=count, max_trials=max_trials, parallelism=parallelism, workers=workers
    )  # fmt: skip
    plan = plan_submission(chosen, wanted, executor=executor)
    if dry_run:
        report_plan(chosen, plan, as_json=as_json)
        return
    if is_new:
        store_sweep(chosen)
        # Said before the submission: if that fails, the sweep can be submitted again by its id.
        tell_made(chosen)
    waits = choose_executor(executor) == "local" if wait is None else wait
    with TrialProgress(chosen, plan, is_shown=waits and not as_json) as progress:
        submission = submit_sweep(
            chosen.store,
            chosen,
            wanted,
            executor=executor,
            plan=plan,
            wait=waits,
            on_progress=progress.update,
        )
    report_submission(
        chosen,
        submission,
        over=plan.over if waits else None,
        stale_after_s=settings.stale_after_s,
        as_json=as_json,
    )


@click.command()
@click.argument("target", metavar="FILE|ID")
@store_option
@project_option
@worker_options
def sbatch(
    *,
    target: str,
    store: Path | None,
    project: str | None,
    max_trials: int | None,
    parallelism: int | None,
    workers: int | None,
) -> None:
    """Write a batch script that does what `submit` would do, to read, edit and `sbatch`.

    A FILE is created first; that is said on stderr. Nothing is submitted.

    \b
    Examples:
      hpctrack sweep sbatch sweep.yaml > job.sbatch
      hpctrack sweep sbatch k3x9a0bq --workers 20 > job.sbatch; sbatch job.sbatch
    """
    chosen, is_new = find_target(target, store, project)
    wanted = Wanted(max_trials=max_trials, parallelism=parallelism, workers=workers)
    plan = plan_submission(chosen, wanted, is_script=True)
    if is_new:
        store_sweep(chosen)
        tell_made(chosen)
    click.echo(make_script(chosen, plan), nl=False)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@click.option(
    "-n", "--count", "--max-trials", "count", type=_POSITIVE, help="Trials to take at most."
)
@click.option(
    "--time-limit",
    type=TimeSpan(),
    metavar="TIME",
    help="When to leave: 90 (minutes), 2h, 01:30:00. [default: the Slurm job's, else never]",
)
@click.option("--logs/--no-logs", help="Give each trial a log file of its own. [default: no]")
@json_option
@click.pass_context
def agent(
    context: click.Context,
    *,
    sweep_id: str,
    store: Path | None,
    project: str | None,
    count: int | None,
    time_limit: float | None,
    logs: bool,
    as_json: bool,
) -> None:
    """Run trials of a sweep here and now, one after the other, until none is left.

    In any allocation, by hand or from a script, and on a laptop; start as many as you like, also
    several with one srun. Where each trial has several tasks, start one in the allocation, without
    srun: it starts the trials with srun. Ends with exit code 11 if a trial failed.

    \b
    Examples:
      hpctrack sweep agent k3x9a0bq
      hpctrack sweep agent k3x9a0bq --count 5 --time-limit 2h
      srun --ntasks 4 hpctrack sweep agent k3x9a0bq --logs
    """  # fmt: skip
    found = load_sweep(read_settings(dir=store).dir, sweep_id, project=project)
    found.file.require_command()
    environ = environment()
    options = WorkerOptions(max_trials=count, time_limit_s=time_limit, has_logs=logs)
    end = run_worker(found, options, environ=as_agent(found, environ))
    report_worker(found, end, as_json=as_json)
    job = name_job(environ)
    if end.should_requeue and job:
        # Slurm ends this process when it does so.
        run_slurm(["scontrol", "requeue", job])
    if end.failed:
        context.exit(SweepError.exit_code)
