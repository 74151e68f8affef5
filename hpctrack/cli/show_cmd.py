"""``hpctrack show``: one run, with its ranks, warnings and losses."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hpctrack.cli.format import (
    flatten,
    make_console,
    show_duration,
    show_time,
    show_value,
    styled_state,
)
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.core.names import clean
from hpctrack.store.record import RankRecord, State
from hpctrack.store.stored_run import StoredRun

SHOWN_RANKS = 16
"""Ranks that are listed when all is well; dead and failed ones are listed always."""


@click.command()
@click.argument("run")
@store_option
@project_option
@json_option
def show(*, run: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Show one run: state, ranks, configuration, summary, what was lost.

    RUN is an id, project/id, a name, or the beginning of an id.

    \b
    Examples:
      hpctrack show 4711.0
      hpctrack show digits/lunar-harbor-998 --json
    """
    found = open_store(store).run(run, project=project)
    metrics = {name: len(columns) for name, columns in found.columns().items()}
    if as_json:
        print_json(_entry(found, metrics))
    else:
        _print(found, metrics)
    found.close()


def _entry(run: StoredRun, metrics: dict[str, int]) -> dict[str, Any]:
    return {
        **run.record.to_json(),
        "sealed": run.is_sealed,
        "files": [path.name for path in run.files()],
        "metrics": metrics,
    }


def _print(run: StoredRun, metrics: dict[str, int]) -> None:
    console, record = make_console(), run.record
    ended = record.ended_wall_s
    title = (
        f"[bold]{escape(run.name)}[/] {escape(run.project)}/{run.id} {styled_state(record.state)}"
    )
    console.print(title)
    facts = {
        "user": record.user,
        "created": show_time(record.created_wall_s),
        "duration": show_duration(ended - record.created_wall_s if ended else None),
        "ranks": f"{record.size} on {record.nodes} node(s), {record.launcher}",
        "attempts": str(record.attempts) if record.attempts > 1 else "",
        "job": record.job.get("SLURM_JOB_ID", ""),
        "sweep": f"{record.sweep} trial {record.trial}" if record.sweep else "",
        "group": record.group,
        "tags": ", ".join(record.tags),
        "notes": record.notes,
        "files": ", ".join(path.name for path in run.files()),
    }
    for key, value in facts.items():
        if value:
            console.print(f"  {key:<10}{escape(value)}")
    _print_ranks(console, record.ranks, record.size)
    _print_pairs(console, "config", flatten(record.config))
    _print_pairs(console, "summary", record.summary)
    _print_pairs(console, "points", metrics)
    for warning in record.warnings:
        where = f"rank {warning['rank']}: " if warning["rank"] >= 0 else ""
        console.print(f"[yellow]warning:[/] {escape(clean(where + str(warning.get('text'))))}")
    _print_pairs(console, "lost", {k: v for k, v in flatten(record.ledger).items() if v})


def _print_ranks(console: Console, ranks: tuple[RankRecord, ...], size: int) -> None:
    counts = Counter(rank.state for rank in ranks)
    missing = size - len(ranks)
    words = [f"{count} {styled_state(state)}" for state, count in sorted(counts.items())]
    console.print("[bold]ranks[/]  " + ", ".join(words + [f"{missing} not seen"] * (missing > 0)))
    bad = [rank for rank in ranks if rank.state in {State.LOST, State.FAILED}]
    shown = ranks if len(ranks) <= SHOWN_RANKS else bad
    if not shown:
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("", "rank", "state", "host", "pid", "exit", "ended"):
        table.add_column(column)
    for rank in shown:
        exit_code = "-" if rank.exit_code is None else str(rank.exit_code)
        ended = show_time(rank.ended_wall_s) if rank.ended_wall_s else "-"
        table.add_row(
            "",
            str(rank.rank),
            styled_state(rank.state),
            escape(rank.host),
            str(rank.pid),
            exit_code,
            ended,
        )
    console.print(table)


def _print_pairs(console: Console, title: str, values: dict[str, Any]) -> None:
    if not values:
        return
    console.print(f"[bold]{title}[/]")
    width = min(40, max(len(key) for key in values) + 2)
    for key, value in values.items():
        console.print(f"  {escape(key):<{width}}{escape(show_value(value))}")
