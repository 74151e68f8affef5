"""How sweeps look in a terminal: tables, the plan of a submission, a bar while waiting."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hpctrack.cli.format import (
    flatten,
    make_console,
    show_time,
    show_value,
    styled_state,
)
from hpctrack.cli.options import print_json
from hpctrack.cli.sweep.results_view import make_table, print_status
from hpctrack.errors import SweepError
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.results.trial_status import count_states
from hpctrack.sweeps.submission.plan import Plan
from hpctrack.sweeps.submission_record import Submission
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.result import TrialState

SHOWN_TRIALS = 5
"""Trials that a dry run spells out."""


class TrialProgress:
    """A bar on stderr, if that is a terminal."""

    def __init__(self, sweep: Sweep, plan: Plan, *, is_shown: bool) -> None:
        self._is_shown = is_shown and sys.stderr.isatty()
        self._progress = Progress(
            TextColumn(f"sweep {sweep.id}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(stderr=True, highlight=False),
        )
        self._task = self._progress.add_task("submitting", total=len(plan.trials))
        self._is_started = False

    def update(self, states: dict[int, TrialState]) -> None:
        """Show how the trials stand."""
        if not self._is_shown:
            return
        if not self._is_started:
            # Not before: the workers would inherit a terminal that is being drawn on.
            self._progress.start()
            self._is_started = True
        over = sum(state.is_over for state in states.values())
        counts = count_states(states.values())
        words = ", ".join(
            f"{count} {styled_state(name)}" for name, count in counts.items() if count
        )
        self._progress.update(self._task, completed=over, description=words)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""
        if self._is_started:
            self._progress.stop()


def print_sweeps(console: Console, sweeps: Sequence[Sweep]) -> None:
    """Print a table of sweeps."""
    table = make_table("project", "id", "name", "method", "trials", "created", "user")
    for one in sweeps:
        count = one.file.trial_count()
        table.add_row(
            escape(one.project),
            one.id,
            escape(one.name),
            one.file.method,
            "no end" if count is None else str(count),
            show_time(one.created_wall_s),
            escape(one.user),
        )
    console.print(table)


def report_plan(chosen: Sweep, plan: Plan, *, as_json: bool) -> None:
    """Print what a submission would do."""
    if as_json:
        trials = [
            {"number": one, "run": chosen.run_id(one), "parameters": chosen.parameters(one)}
            for one in plan.trials
        ]
        print_json(
            {
                "executor": plan.executor,
                "parallelism": plan.parallelism,
                "submitit": plan.parameters,
                "trials": trials,
            }
        )
        return
    for line in _iter_plan_lines(chosen, plan):
        click.echo(line)


def report_submission(
    chosen: Sweep, submission: Submission, *, stale_after_s: float, waits: bool, as_json: bool
) -> None:
    """Print what was submitted, and how it ended if that was waited for.

    Raises
    ------
    SweepError
        A trial that was waited for has not finished well.
    """
    jobs = list(dict.fromkeys(worker.job.partition("_")[0] for worker in submission.workers))
    fields: dict[str, Any] = {
        "id": chosen.id,
        "project": chosen.project,
        "executor": submission.executor,
        "trials": list(submission.trials),
        "jobs": jobs,
    }
    if not waits:
        if as_json:
            print_json(fields)
        else:
            place = f"Slurm job {', '.join(jobs)}" if submission.executor == "slurm" else "here"
            click.echo(f"submitted {len(submission.trials)} trials of sweep {chosen.id}: {place}")
            click.echo(f"watch them with:  hpctrack sweep status {chosen.id}")
        return
    current = read_status(chosen, stale_after_s=stale_after_s)
    if as_json:
        print_json({**fields, "status": current.to_json()})
    else:
        print_status(make_console(), current)
    ours = [one for one in current.trials if one.number in submission.trials]
    bad = sum(one.state != TrialState.FINISHED for one in ours)
    if bad:
        raise SweepError(
            f"{bad} of {len(ours)} trials of sweep {chosen.id} have not finished well",
            hint=f"`hpctrack sweep status {chosen.id} --json` has their logs",
        )


def _iter_plan_lines(sweep: Sweep, plan: Plan) -> Iterator[str]:
    """Yield what a submission would do."""
    at_a_time = f", {plan.parallelism} at a time" if plan.parallelism else ""
    yield f"would submit {len(plan.trials)} trials to {plan.executor}{at_a_time}"
    if plan.executor == "slurm":
        for key, value in sorted(plan.parameters.items()):
            yield f"  {key.removeprefix('slurm_')}: {value}"
    for number in plan.trials[:SHOWN_TRIALS]:
        pairs = flatten(sweep.parameters(number)).items()
        yield f"  trial {number}: {', '.join(f'{k}={show_value(v)}' for k, v in pairs)}"
    if len(plan.trials) > SHOWN_TRIALS:
        yield f"  ... and {len(plan.trials) - SHOWN_TRIALS} more"
