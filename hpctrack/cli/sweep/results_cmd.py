"""``hpctrack sweep status``, ``watch`` and ``best``: how the trials stand, and which won."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.cli.format import make_console
from hpctrack.cli.options import (
    json_option,
    print_json,
    project_option,
    store_option,
)
from hpctrack.cli.sweep.load import load_status, open_reader
from hpctrack.cli.sweep.results_view import (
    SHOWN_TRIALS,
    describe_winner,
    print_status,
    print_winners,
)
from hpctrack.cli.sweep.watch import watch_sweep
from hpctrack.sweeps.results.best import find_winners


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@click.option("--all", "shows_all", is_flag=True, help=f"Not only the last {SHOWN_TRIALS} trials.")
@json_option
def status(
    *, sweep_id: str, store: Path | None, project: str | None, shows_all: bool, as_json: bool
) -> None:
    """Show how the trials of a sweep stand, what they have used, and how long the rest takes.

    A pruned trial was stopped early, because it would not have won. What early stopping has saved
    is an estimate: how long the pruned trials would have gone on at their own pace.

    \b
    Examples:
      hpctrack sweep status k3x9a0bq
      hpctrack sweep status k3x9a0bq --json | jq .cost
      hpctrack sweep status k3x9a0bq --json | jq '.trials[] | select(.state == "failed")'
    """
    current = load_status(sweep_id, store, project)
    if as_json:
        print_json(current.to_json())
    else:
        print_status(make_console(), current, shown=None if shows_all else SHOWN_TRIALS)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.2),
    default=2.0,
    show_default=True,
    help="Seconds from one look to the next.",
)
@json_option
def watch(
    *, sweep_id: str, store: Path | None, project: str | None, interval_s: float, as_json: bool
) -> None:
    """Watch a sweep until it is over; leave with Ctrl-C, which ends nothing.

    Where the output is no terminal, a line is printed whenever something has changed; with --json
    it is a JSON object.

    \b
    Examples:
      hpctrack sweep watch k3x9a0bq
      hpctrack sweep watch k3x9a0bq --interval 30 >> sweep.log
      hpctrack sweep watch k3x9a0bq --json | jq -c .counts
    """
    reader = open_reader(sweep_id, store, project)
    watch_sweep(reader, interval_s=interval_s, as_json=as_json)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def best(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Show the finished trial with the best metric, and the line that runs it once more.

    With `seeds`, configurations are compared by their mean. With several metrics, all trials are
    shown that no other beats in every one of them (the Pareto front); --json has them in `front`.

    \b
    Examples:
      hpctrack sweep best k3x9a0bq
      hpctrack sweep best k3x9a0bq --json | jq .parameters
      eval "$(hpctrack sweep best k3x9a0bq --json | jq -r .command_line)"
    """
    current = load_status(sweep_id, store, project)
    if not as_json:
        print_winners(make_console(), current)
        return
    winners = [describe_winner(current, one) for one in find_winners(current)]
    front = {"front": winners} if len(current.sweep.file.metrics) > 1 else {}
    print_json({**winners[0], **front})
