"""``hpctrack stragglers``: which ranks and nodes are slow, since when, and what it cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpctrack.cli.format import make_console, show_duration, show_time
from hpctrack.cli.losses import tell_losses
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.core.counting import show_count
from hpctrack.store.straggler import Straggler, Stragglers


@click.command()
@click.argument("run")
@click.option("--metric", default="step_time", show_default=True, help="What to look at.")
@click.option("--higher-is-better", is_flag=True, help="The metric is a throughput.")
@click.option(
    "--margin", default=0.05, show_default=True, help="Slower than this share over the median."
)
@click.option("--window", type=int, help="Steps that it must last. [default: 45 or less]")
@click.option("--attempt", type=int, help="Of a run that was requeued. [default: the latest]")
@click.option(
    "--unit-s", default=1.0, show_default=True, help="Seconds per unit; 0.001 for milliseconds."
)
@store_option
@project_option
@json_option
def stragglers(
    *, run: str, store: Path | None, project: str | None, as_json: bool, **how: Any
) -> None:
    """Name slow ranks and nodes: since when, how slow, and the time lost.

    RUN is an id, project/id, a name, or the beginning of an id. Log the time of what each rank
    does alone: where ranks wait for each other in every step, all take as long as the slowest.

    \b
    Examples:
      hpctrack stragglers 4711.0
      hpctrack stragglers 4711.0 --metric samples_per_s --higher-is-better --json
    """
    found = open_store(store).run(run, project=project)
    try:
        if not as_json:
            tell_losses(found)
        result = found.stragglers(**how)
    finally:
        found.close()
    if as_json:
        print_json(result.to_json())
    else:
        _print(result)


def _print(found: Stragglers) -> None:
    console = make_console()
    console.print(
        f"[bold]{escape(found.metric)}[/] of {show_count(found.ranks, 'rank')} "
        f"in {show_count(found.steps, 'step')}"
    )
    if found.reason:
        console.print(f"cannot tell: {escape(found.reason)}")
    elif not len(found):
        console.print("no stragglers")
    else:
        _print_table(console, found)
        console.print(
            f"lost: {show_duration(found.lost_s)} through them, "
            f"of {show_duration(found.waited_s)} between the median and the slowest of each step"
        )
    for one in found.silent:
        where = f" on {escape(one.host)}" if one.host else ""
        console.print(
            f"[yellow]silent:[/] rank {one.rank}{where} since step {one.last_step:,}, "
            f"{show_time(one.last_wall_s)}"
        )


def _print_table(console: Console, found: Stragglers) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "host", "factor", "since step", "since", "until", "lost", "confidence"):
        table.add_column(column)
    for one in found:
        table.add_row(
            _show_who(one),
            escape(one.host),
            f"{one.factor:.2f}x",
            f"{one.since_step:,}",
            show_time(one.since_wall_s),
            "still slow" if one.until_step is None else f"step {one.until_step:,}",
            show_duration(one.lost_s),
            f"{one.confidence:.3f}",
        )
    console.print(table)


def _show_who(one: Straggler) -> str:
    times = f", {len(one.intervals)} times" if len(one.intervals) > 1 else ""
    return (f"rank {one.rank}" if one.kind == "rank" else f"node, {len(one.ranks)} ranks") + times
