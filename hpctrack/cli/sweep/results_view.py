"""How the results of a sweep look in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpctrack.cli.format import flatten, show_duration, show_value, styled_state
from hpctrack.sweeps.results.trial_status import SweepStatus, TrialStatus
from hpctrack.sweeps.sweep import Sweep


def print_status(console: Console, status: SweepStatus) -> None:
    """Print how the trials of a sweep stand."""
    sweep = status.sweep
    words = [f"{count} {styled_state(name)}" for name, count in status.counts().items() if count]
    if status.open_count:
        words.append(f"{status.open_count} not submitted")
    console.print(
        f"[bold]{escape(sweep.name)}[/] {escape(sweep.project)}/{sweep.id} "
        f"{sweep.file.method}: {', '.join(words) or 'nothing submitted'}"
    )
    if not status.trials:
        return
    names = [dimension.name for dimension in sweep.file.space.dimensions]
    metric = [sweep.file.metric.name] if sweep.file.metric else []
    table = make_table("trial", "state", "exit", "run", "duration", *names, *metric)
    for one in status.trials:
        values = flatten(one.parameters)
        table.add_row(
            str(one.number),
            styled_state(one.state),
            _show_end(one),
            one.run_id if one.run_state else "-",
            show_duration(one.result.duration_s if one.result else None),
            *(escape(show_value(values.get(name, "-"))) for name in names),
            *("-" if one.metric is None else show_value(one.metric) for _ in metric),
        )
    console.print(table)


def print_best(console: Console, sweep: Sweep, winner: TrialStatus) -> None:
    """Print a trial and what it was given."""
    metric = sweep.file.metric
    if metric is not None and winner.metric is not None:
        console.print(f"[bold]{escape(metric.name)}[/] {show_value(winner.metric)} ({metric.goal})")
    console.print(f"trial {winner.number}, run {escape(winner.run_project)}/{winner.run_id}")
    for name, value in flatten(winner.parameters).items():
        console.print(f"  {escape(name)} = {escape(show_value(value))}")


def make_table(*columns: str) -> Table:
    """Return a plain table whose cells are cut, not wrapped."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(escape(column), no_wrap=True, overflow="ellipsis")
    return table


def _show_end(one: TrialStatus) -> str:
    if one.exit_code is None:
        return "-"
    signal = one.result.signal if one.result else ""
    return f"{one.exit_code} {signal}".rstrip()
