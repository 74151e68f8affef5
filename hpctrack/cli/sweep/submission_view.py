"""How a submission looks in a terminal: its plan, a bar while waiting, what became of it."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from hpctrack.cli.format import make_console, show_value, styled_state
from hpctrack.cli.options import print_json
from hpctrack.cli.sweep.results_view import print_status
from hpctrack.core.fields import flatten
from hpctrack.errors import SweepError
from hpctrack.sweeps.control import Wish
from hpctrack.sweeps.results.status import read_states, read_status
from hpctrack.sweeps.results.trial_status import SweepStatus, count_states
from hpctrack.sweeps.submission.plan import Plan
from hpctrack.sweeps.submission_record import Submission
from hpctrack.sweeps.sweep import Sweep
from hpctrack.sweeps.worker.heartbeat import BROKEN, list_workers
from hpctrack.sweeps.worker.loop import WorkerEnd
from hpctrack.sweeps.worker.result import TrialState

SHOWN_TRIALS = 5
"""Trials that a dry run spells out."""

GOOD = frozenset({TrialState.FINISHED, TrialState.PRUNED})
"""How a trial ends well."""


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
        total = sweep.file.trial_count() or plan.trials
        self._task = self._progress.add_task("submitting", total=total)
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


def report_plan(chosen: Sweep, plan: Plan, *, as_json: bool) -> None:
    """Print what a submission would do."""
    numbers = _next_trials(chosen, plan)
    if not as_json:
        for line in _iter_plan_lines(chosen, plan, numbers):
            click.echo(line)
        return
    trials = [
        {"number": one, "run": chosen.run_id(one), "parameters": chosen.parameters(one)}
        for one in numbers
    ]
    print_json(
        {
            "executor": plan.executor,
            "tasks": plan.tasks,
            "parallelism": plan.parallelism,
            "trials_left": plan.left,
            "count": plan.limit,
            "max_trials": plan.max_trials,
            "time_limit_min": plan.time_limit_min,
            "submitit": plan.parameters,
            "trials": trials,
        }
    )


def report_submission(
    chosen: Sweep,
    submission: Submission,
    *,
    over: Collection[int] | None,
    stale_after_s: float,
    as_json: bool,
) -> None:
    """Print what was submitted, and how it ended if that was waited for.

    Parameters
    ----------
    chosen : Sweep
        Whose.
    submission : Submission
        What.
    over : collection of int or None
        Trials that had ended before; None if nobody has waited.
    stale_after_s : float
        See `read_status`.
    as_json : bool
        How.

    Raises
    ------
    SweepError
        A trial that was waited for has not finished well, or a worker has broken.
    """
    jobs = list(dict.fromkeys(worker.job.partition("_")[0] for worker in submission.workers))
    fields: dict[str, Any] = {
        "id": chosen.id,
        "project": chosen.project,
        "executor": submission.executor,
        "submission": submission.number,
        "tasks": submission.tasks,
        "parallelism": submission.parallelism,
        "count": submission.limit,
        "max_trials": submission.max_trials,
        "jobs": jobs,
    }
    if over is None:
        if as_json:
            print_json(fields)
        else:
            place = f"Slurm job {', '.join(jobs)}" if submission.executor == "slurm" else "here"
            click.echo(f"submitted {_workers(submission.tasks)} of sweep {chosen.id}: {place}")
            click.echo(f"watch them with:  hpctrack sweep status {chosen.id}")
        return
    current = read_status(chosen, stale_after_s=stale_after_s)
    if as_json:
        print_json({**fields, "status": current.to_json()})
    else:
        print_status(make_console(), current)
    _tell_why_left(chosen, submission, current, as_json=as_json)
    ended = [one for one in current.trials if one.number not in over]
    bad = sum(one.state not in GOOD for one in ended)
    if bad:
        raise SweepError(
            f"{bad} of {len(ended)} trials of sweep {chosen.id} have not finished well",
            hint=f"`hpctrack sweep status {chosen.id} --json` has their logs",
        )


def _tell_why_left(
    chosen: Sweep, submission: Submission, current: SweepStatus, *, as_json: bool
) -> None:
    """Complain about workers that broke; say why others left although something was to be done."""
    facts = [one for one in list_workers(chosen.folder) if one.share == submission.number]
    broken = [one.why for one in facts if one.why.startswith(BROKEN)]
    if submission.executor == "local" and current.wish != Wish.CANCEL:
        ended = sum(one.ended_wall_s is not None for one in facts)
        broken += ["it ended without a word"] * (submission.tasks - ended)
    if broken:
        raise SweepError(
            f"{len(broken)} of {_workers(submission.tasks)} of sweep {chosen.id} broke; "
            f"the first: {broken[0].removeprefix(BROKEN).removeprefix(': ') or 'see its log'}",
            hint=f"what they said is in {chosen.folder.jobs(submission.number)}",
        )
    if as_json or current.is_done:
        return
    usual = ("no trials are left", "it has taken")
    for why in dict.fromkeys(one.why for one in facts if one.why):
        if why.startswith(usual):
            continue
        click.echo(f"a worker has left: {why}", err=True)


def report_worker(sweep: Sweep, end: WorkerEnd, *, as_json: bool) -> None:
    """Say how a worker left; for people on stderr, where the trials' own output is not."""
    if as_json:
        print_json({"id": sweep.id, "project": sweep.project, **dataclasses.asdict(end)})
        return
    trials = "1 trial" if end.taken == 1 else f"{end.taken} trials"
    pruned = f"{end.pruned} pruned, " if end.pruned else ""
    counts = f"{end.finished} finished, {pruned}{end.failed} failed"
    click.echo(f"hpctrack: took {trials} of sweep {sweep.id} ({counts}); {end.why}", err=True)


def _next_trials(sweep: Sweep, plan: Plan) -> list[int]:
    """Return the trials that would be next, as far as their parameters are known before."""
    if sweep.file.method not in {"grid", "random"}:
        return []
    begun = read_states(sweep, asks_queue=False)
    total = sweep.file.trial_count()
    wanted = SHOWN_TRIALS if plan.trials is None else plan.trials
    numbers: list[int] = []
    number = 0
    while len(numbers) < wanted and (total is None or number < total):
        if number not in begun:
            numbers.append(number)
        number += 1
    return numbers


def _iter_plan_lines(sweep: Sweep, plan: Plan, numbers: list[int]) -> Iterator[str]:
    """Yield what a submission would do."""
    bound = "trials without end" if plan.trials is None else f"at most {plan.trials} trials"
    yield (
        f"would submit {_workers(plan.tasks)} to {plan.executor}, {plan.parallelism} at a time, "
        f"for {bound}"
    )
    if plan.max_trials is not None:
        yield f"  each takes at most {plan.max_trials}"
    if plan.time_limit_min is not None:
        yield f"  each leaves after {plan.time_limit_min} minutes"
    if plan.executor == "slurm":
        yield "  each asks for:"
        for key, value in sorted(plan.parameters.items()):
            yield f"    {key.removeprefix('slurm_')}: {value}"
    for number in numbers[:SHOWN_TRIALS]:
        pairs = flatten(sweep.parameters(number)).items()
        yield f"  trial {number}: {', '.join(f'{k}={show_value(v)}' for k, v in pairs)}"
    if len(numbers) > SHOWN_TRIALS:
        yield f"  ... and {len(numbers) - SHOWN_TRIALS} more"


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"
