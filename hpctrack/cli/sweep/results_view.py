"""How the state of a sweep, and its best trials, look in a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpctrack.cli.format import (
    STATE_STYLES,
    show_duration,
    show_value,
    styled_state,
)
from hpctrack.cli.sweep.drawing import can_draw, draw_bar
from hpctrack.cli.table import format_table
from hpctrack.core.fields import flatten
from hpctrack.core.names import clean
from hpctrack.errors import HpctrackError
from hpctrack.sweeps.control import TARGET, Wish
from hpctrack.sweeps.results.best import find_best, find_winners
from hpctrack.sweeps.results.command_line import make_command_line
from hpctrack.sweeps.results.cost import Cost
from hpctrack.sweeps.results.standing import Standing
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus, find_duration_s
from hpctrack.sweeps.schema.sweep_file import MetricGoal
from hpctrack.sweeps.worker.result import TrialState

BAR_WIDTH = 30
SHOWN_TRIALS = 100
"""Rows of the last trials: 10,000 of them are read by programs, as JSON."""

SHOWN_FAILURES = 3
FEW_HOURS, MANY_HOURS = 0.1, 100.0
"""Below the first, minutes are counted; above the second, no fractions are."""

SHOWN_WINNERS = 10

_REACHED = "a trial has reached the target: nothing new begins"

_WISHES = {
    Wish.PAUSE: "paused: nothing new begins",
    Wish.STOP: "stopping: nothing new begins",
    Wish.CANCEL: "cancelled",
}


def make_table(*columns: str) -> Table:
    """Return a plain table whose cells are cut, not wrapped."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(escape(column), no_wrap=True, overflow="ellipsis")
    return table


def print_status(
    console: Console, status: SweepStatus, *, shown: int | None = SHOWN_TRIALS
) -> None:
    """Print how a sweep stands; ``shown`` of its last trials, or all."""
    for line in iter_head(status):
        console.print(line, soft_wrap=True)
    if not status.trials or shown == 0:
        return
    trials = status.trials if shown is None else status.trials[-shown:]
    for line in make_trial_lines(status, trials):
        click.echo(line)
    if len(trials) < len(status.trials):
        click.echo(f"the last {len(trials)} of {len(status.trials)} trials; --all shows all")
    for line in iter_failures(status):
        click.echo(line, err=True)


def iter_head(status: SweepStatus, *, has_bar: bool = True) -> Iterator[str]:
    """Yield lines with markup: what the sweep is, how far, the best so far, what it has cost."""
    sweep = status.sweep
    words = [f"{count} {styled_state(name)}" for name, count in status.counts().items() if count]
    if status.open_count:
        words.append(f"{status.open_count} not begun")
    yield (
        f"[bold]{escape(sweep.name)}[/] {escape(sweep.project)}/{sweep.id} "
        f"{sweep.file.method}: {', '.join(words) or 'nothing submitted'}"
    )
    if not status.trials:
        return
    total = sweep.file.trial_count()
    if total:
        eta_s = status.eta_s() if not status.is_done else None
        left = f", about {show_duration(eta_s)} left" if eta_s is not None else ""
        bar = draw_bar(status.over_count / total, BAR_WIDTH, is_fine=can_draw())
        drawn = f"[green]|{bar}|[/] " if has_bar else ""
        yield f"{drawn}{status.over_count} of {total} over{left}"
    if status.wish in _WISHES:
        is_reached = status.wish == Wish.STOP and status.wisher == TARGET
        yield f"[yellow]{_REACHED if is_reached else _WISHES[status.wish]}[/]"
    yield from _iter_unseen(status)
    yield from _iter_best(status)
    spent = describe_cost(status.cost())
    if spent:
        yield spent


def _iter_unseen(status: SweepStatus) -> Iterator[str]:
    """Yield a warning for each metric that no trial has logged although some have finished."""
    finished = [one for one in status.trials if one.state == TrialState.FINISHED]
    for metric in status.sweep.file.metrics if finished else ():
        if not any(metric.name in one.values for one in status.trials):
            yield (
                f"[yellow]no trial has logged a number as {escape(repr(metric.name))}[/]; "
                "is that the name in the program?"
                + (" and does `pattern` match?" if metric.pattern else "")
            )


def describe_cost(cost: Cost) -> str:
    """Return what was used, and about what was saved, in words; empty if nothing is known."""
    if not cost.used_s:
        return ""
    used = [f"{show_duration(cost.used_s)} of trials"]
    used += [
        _show_hours(hours, name)
        for name, hours in (("GPU", cost.gpu_hours), ("CPU", cost.cpu_hours))
        if hours
    ]
    text = f"used {', '.join(used)}"
    if not cost.pruned:
        return text
    if not cost.estimated:
        return f"{text}; what early stopping saves shows when a trial has finished"
    if cost.saved_gpu_hours:
        amount = _show_hours(cost.saved_gpu_hours, "GPU")
    elif cost.saved_cpu_hours:
        amount = _show_hours(cost.saved_cpu_hours, "CPU")
    else:
        amount = show_duration(cost.saved_s)
    share = f"{cost.saved_share:.0%}"
    if cost.saved_iterations:
        share += f"; {cost.saved_iterations_share:.0%} of the iterations"
    return f"{text}; early stopping saved about {amount} ({share})"


def _show_hours(hours: float, name: str) -> str:
    """Return ``3.2 GPU-hours``, or ``0.4 GPU-minutes`` of a sweep that is a trial itself."""
    if hours < FEW_HOURS:
        return f"{60 * hours:.3g} {name}-minutes"
    return f"{hours:,.0f} {name}-hours" if hours >= MANY_HOURS else f"{hours:.3g} {name}-hours"


def make_trial_lines(status: SweepStatus, trials: Sequence[TrialStatus]) -> list[str]:
    """Return a table of some of a sweep's trials as lines for the terminal."""
    names = list(dict.fromkeys(name for one in trials for name in flatten(one.parameters)))
    metrics = [metric.name for metric in status.sweep.file.metrics]
    headers = ["trial", "state", "exit", "run", "duration", *names, *metrics]
    rows = [
        [
            str(one.number),
            one.state.value,
            _show_end(one),
            one.run_id if one.has_run else "-",
            show_duration(find_duration_s(one, status.wall_s)),
            *_make_cells(one, names, metrics),
        ]
        for one in trials
    ]
    styles = {1: {name: colour for name, colour in STATE_STYLES.items() if colour != "white"}}
    numbers = frozenset({0, 4, *range(5 + len(names), len(headers))})
    cleaned = [clean(name) for name in headers]
    return format_table(cleaned, rows, right=numbers, styles=styles)


def iter_failures(status: SweepStatus) -> Iterator[str]:
    """Yield why the last failed trials failed, as far as they said so."""
    failed = [one for one in status.trials if one.state == TrialState.FAILED and one.result]
    for one in failed[-SHOWN_FAILURES:]:
        result = one.result
        tail = result.log_tail.strip().splitlines() if result else []
        # What hpctrack itself says, such as where the run is recorded, is no reason.
        said = [line for line in tail if not line.startswith("hpctrack: ")]
        why = (result.message if result else "") or (said[-1] if said else "")
        if not why and result and result.signal:
            why = f"ended by {result.signal}"
        if why:
            yield f"trial {one.number} failed: {clean(why)[:200]}"


def print_winners(console: Console, status: SweepStatus) -> None:
    """Print the best trial with its command line; of several metrics, all on the front.

    Raises
    ------
    UsageError, NotFoundError
        There is no metric, or nothing has finished.
    """
    winners = find_winners(status)
    metrics = status.sweep.file.metrics
    if len(metrics) == 1:
        _print_winner(console, status, winners[0], metrics[0])
        return
    goals = ", ".join(f"{one.name} ({one.goal})" for one in metrics)
    console.print(f"{len(winners)} configurations are not beaten in {escape(goals)}")
    shown = winners[:SHOWN_WINNERS]
    trials = [one.best_trial(metrics[0].name, metrics[0].goal) for one in shown]
    for line in make_trial_lines(status, trials):
        click.echo(line)
    for one in trials:
        click.echo(f"trial {one.number}: {make_command_line(status.sweep, one)}")
    if len(shown) < len(winners):
        click.echo(f"{len(shown)} of {len(winners)}; --json has all")


def describe_winner(status: SweepStatus, winner: Standing) -> dict[str, Any]:
    """Return a winner as JSON: its best trial, its command line, and what it is judged by."""
    metric = status.sweep.file.metrics[0]
    trial = winner.best_trial(metric.name, metric.goal)
    return {
        **trial.to_json(),
        "command_line": make_command_line(status.sweep, trial),
        "judged_by": winner.to_json(),
    }


def show_spread(name: str, values: Mapping[str, float], spreads: Mapping[str, float]) -> str:
    """Return ``0.91`` or ``0.91 +- 0.02``."""
    text = show_value(values[name])
    return f"{text} +- {show_value(spreads[name])}" if name in spreads else text


def _print_winner(
    console: Console, status: SweepStatus, winner: Standing, metric: MetricGoal
) -> None:
    trial = winner.best_trial(metric.name, metric.goal)
    value = show_spread(metric.name, winner.values, winner.spreads)
    over = f" over {len(winner.finished)} repeats" if status.sweep.file.seeds > 1 else ""
    console.print(f"[bold]{escape(metric.name)}[/] {value}{over} ({metric.goal})")
    place = f", run {escape(trial.run_project)}/{trial.run_id}" if trial.has_run else ""
    if status.sweep.file.seeds > 1:
        numbers = ", ".join(str(one.number) for one in winner.finished)
        console.print(f"configuration {winner.configuration}, trials {numbers}")
        best = show_value(trial.values[metric.name])
        console.print(f"best repeat: trial {trial.number}{place}, {best}")
    else:
        early = ", stopped early: no trial has run to its end"
        is_early = trial.state == TrialState.PRUNED
        console.print(f"trial {trial.number}{place}{early if is_early else ''}")
    for name, one in flatten(trial.parameters).items():
        console.print(f"  {escape(name)} = {escape(show_value(one))}")
    line = make_command_line(status.sweep, trial)
    if line:
        click.echo(line)  # not by rich, which would wrap what is to be pasted


def _iter_best(status: SweepStatus) -> Iterator[str]:
    metrics = status.sweep.file.metrics
    try:
        winners = find_winners(status)
    except HpctrackError:
        return  # nothing has finished, or there is no metric
    if len(metrics) > 1:
        yield f"best  {len(winners)} on the Pareto front"
        return
    value = show_spread(metrics[0].name, winners[0].values, winners[0].spreads)
    number = find_best(status).number
    yield f"best  [bold]{escape(metrics[0].name)}[/] {value} ({metrics[0].goal}), trial {number}"


def _make_cells(one: TrialStatus, names: Sequence[str], metrics: Sequence[str]) -> list[str]:
    values = flatten(one.parameters)
    return [
        *(show_value(values[name]) if name in values else "-" for name in names),
        *(show_value(one.values[name]) if name in one.values else "-" for name in metrics),
    ]


def _show_end(one: TrialStatus) -> str:
    if one.exit_code is None:
        return "-"
    signal = one.result.signal if one.result else ""
    return f"{one.exit_code} {signal}".rstrip()
