"""How parameter importance, curves and the cost of early stopping look in a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import click

from hpctrack.cli.format import STATE_STYLES, show_value
from hpctrack.cli.sweep.drawing import can_draw, draw_bar, draw_spark, find_scale
from hpctrack.cli.table import print_table
from hpctrack.core.names import clean
from hpctrack.sweeps.results.curves import Curve
from hpctrack.sweeps.results.early_stop_cost import Replay
from hpctrack.sweeps.results.early_stop_report import EarlyStopReport
from hpctrack.sweeps.results.importance import Importance
from hpctrack.sweeps.schema.sweep_file import MetricGoal

BAR_WIDTH = 24
SPARK_WIDTH = 40


def print_importance(found: Importance) -> None:
    """Print a table with a bar for each parameter."""
    click.echo(f"what decides {found.metric} ({found.goal}), of {found.finished} configurations")
    is_fine = can_draw()
    rows = [
        [
            clean(one.name),
            _show_share(one.fanova),
            _show_share(one.ped_anova),
            "-" if one.correlation is None else f"{one.correlation:+.2f}",
            draw_bar(max(one.fanova or 0.0, one.ped_anova or 0.0), BAR_WIDTH, is_fine=is_fine),
        ]
        for one in found.parameters
    ]
    headers = ["parameter", "fANOVA", "PED-ANOVA", "correlation", ""]
    print_table(headers, rows, right=frozenset({1, 2, 3}))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)


def print_curves(curves: Sequence[Curve], metric: MetricGoal, *, shown: int | None) -> None:
    """Print a line for each curve, the best last value first, all drawn to one scale."""
    sign = -1.0 if metric.goal == "maximize" else 1.0

    def rank(one: Curve) -> tuple[bool, float, int]:
        last = float(one.values[-1])
        return math.isnan(last), sign * last if math.isfinite(last) else 0.0, one.number

    ordered = sorted(curves, key=rank)
    chosen = ordered if shown is None else ordered[:shown]
    low, high = find_scale([one.values.tolist() for one in chosen])
    is_fine = can_draw()
    rows = [
        [
            str(one.number),
            one.state.value,
            str(int(one.iterations[-1])),
            show_value(float(one.values[0])),
            show_value(float(one.values[-1])),
            draw_spark(one.values.tolist(), SPARK_WIDTH, low=low, high=high, is_fine=is_fine),
        ]
        for one in chosen
    ]
    headers = ["trial", "state", "iterations", "first", "last", clean(metric.name)]
    print_table(headers, rows, right=frozenset({0, 2, 3, 4}), styles={1: STATE_STYLES})
    if len(chosen) < len(curves):
        click.echo(f"the best {len(chosen)} of {len(curves)}; --all shows all")


def print_early_stop(found: EarlyStopReport) -> None:
    """Print how well early values foretell the end, and what rules would have saved."""
    click.echo(
        f"how well early values of {found.metric} ({found.goal}) foretell the end,"
        f" by {found.curves} trials that ran to it"
    )
    rows = [
        [
            str(one.iteration),
            str(one.curves),
            f"{one.spearman:+.2f}",
            f"{one.kendall:+.2f}",
            f"{one.place_of_best} of {one.curves}",
        ]
        for one in found.rungs
    ]
    headers = ["iteration", "trials", "Spearman", "Kendall", "place of the best"]
    print_table(headers, rows, right=frozenset(range(5)))
    click.echo("")
    workers = found.replays[0].workers if found.replays else 1
    click.echo(f"what a rule would have done, with {workers} trials at a time")
    rows = [
        [
            clean(one.rule),
            f"{one.saved_share:.0%}",
            f"{one.stopped} of {one.trials}",
            *_show_found(one),
        ]
        for one in found.replays
    ]
    headers = ["rule", "iterations saved", "stopped", "best found", "its true place", "regret"]
    print_table(headers, rows, right=frozenset(range(1, 6)))
    if found.pruned:
        click.echo(
            f"note: {found.pruned} trials were stopped early in truth; how they would have ended"
            " nobody knows, so they do not count",
            err=True,
        )


def _show_found(one: Replay) -> list[str]:
    if one.found_trial is None:
        return ["none", "-", "-"]
    return [str(one.found_trial), str(one.place_found), show_value(one.regret)]


def _show_share(share: float | None) -> str:
    return "-" if share is None else f"{share:.3f}"
