"""``hpctrack ls``: the runs of a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpctrack.cli.broken import describe_broken, tell_broken
from hpctrack.cli.format import (
    STATE_STYLES,
    show_duration,
    show_synced,
    show_time,
    show_value,
)
from hpctrack.cli.ls_live import list_live
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.cli.table import print_table
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.names import clean
from hpctrack.errors import UsageError
from hpctrack.store.ledger import shorten_losses
from hpctrack.store.record import State
from hpctrack.store.stored_run import StoredRun

SHOWN_METRICS = 3
"""Summary columns of the table: more do not fit in 120 characters."""

RUN_STATES = [one.value for one in State if one != State.LOST]
"""Only a rank can be lost."""


@click.command()
@store_option
@project_option
@click.option("-s", "--state", type=click.Choice(RUN_STATES), help="Only runs in this state.")
@click.option(
    "-t", "--tag", "tags", multiple=True, help="Only runs with this tag; may be repeated."
)
@click.option("-o", "--order", help="Sort by a key, such as -summary.loss. [default: -created]")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="At most this many.")
@click.option("-a", "--all", "is_all", is_flag=True, help="Also archived and deleted runs.")
@click.option("--live", "is_live", is_flag=True, help="Only runs that are going on now.")
@click.option(
    "--watch",
    "watch_s",
    is_flag=False,
    flag_value=2.0,
    type=click.FloatRange(min=0.1),
    metavar="[SECONDS]",
    help="With --live: look again and again. [default: every 2 s]",
)
@json_option
def ls(
    *,
    store: Path | None,
    project: str | None,
    state: str | None,
    tags: tuple[str, ...],
    order: str | None,
    limit: int | None,
    is_all: bool,
    is_live: bool,
    watch_s: float | None,
    as_json: bool,
) -> None:
    """List runs, the newest first.

    What of a run is missing is in a column of its own, which is there only if something is; so is
    when a run of another machine was looked at there, whose state is as of then. Archived and
    deleted runs are left out, and counted below, unless --all is given. With
    --live, only what runs now: its step and steps per second, the age of its last sign of life, how
    busy its GPUs are; --order takes one of those columns.

    \b
    Examples:
      hpctrack ls
      hpctrack ls --project digits --state failed
      hpctrack ls --tag paper --tag "seed 3"
      hpctrack ls -o -summary.accuracy -n 10
      hpctrack ls --json | jq '.runs[].id'
      hpctrack ls --live --watch 5
    """
    if is_live or watch_s is not None:
        if not is_live or state or tags:
            said = "--watch goes with --live, --state does not, nor does --tag"
            raise UsageError(said, hint="hpctrack ls -h")
        list_live(
            store, project=project, order=order, limit=limit, watch_s=watch_s, as_json=as_json
        )
        return
    opened = open_store(store)
    wanted: list[dict[str, str]] = [{"state": state}] if state else []
    wanted += [{"tags": one} for one in tags]
    runs, broken = opened.listing({"$and": wanted}, order, project=project)
    shown = runs if is_all else [one for one in runs if not (one.archived or one.deleted)]
    hidden = len(runs) - len(shown)
    runs = shown[:limit]
    if as_json:
        told = {"runs": [_entry(run) for run in runs], "broken": describe_broken(broken)}
        print_json({**told, "hidden": hidden})
    else:
        _print_table(runs)
        if hidden:
            plural = "run is" if hidden == 1 else "runs are"
            said = f"{hidden:,} archived or deleted {plural} not shown; --all shows them"
            click.echo(said, err=True)
        tell_broken(broken)
    for run in runs:
        run.close()


def _entry(run: StoredRun) -> dict[str, Any]:
    record = run.brief
    return {
        "id": run.id,
        "project": run.project,
        "name": run.name,
        "state": record.state,
        "user": record.user,
        "group": record.group,
        "sweep": record.sweep,
        "size": record.size,
        "nodes": record.nodes,
        "attempts": record.attempts,
        "created_wall_s": record.created_wall_s,
        "ended_wall_s": record.ended_wall_s,
        "sealed": run.is_sealed,
        "synced_wall_s": run.synced_wall_s,
        "lost": run.lost,
        "ledger": run.ledger,
        "config": record.config,
        "summary": run.summary,
        "tags": record.tags,
        "notes": record.notes,
        "archived": run.archived,
        "deleted": run.deleted,
    }


def _print_table(runs: list[StoredRun]) -> None:
    if not runs:
        click.echo("no runs")
        return
    shown: dict[str, None] = {}
    for run in runs:
        shown.update(dict.fromkeys(run.summary))
    metrics = list(shown)[:SHOWN_METRICS]
    lost = ["lost"] * any(run.ledger and run.lost for run in runs)
    now_s = SYSTEM_CLOCK.wall_s()
    synced = [show_synced(run.synced_wall_s, now_s) for run in runs]
    as_of = ["as of"] * any(synced)
    headers = [
        "project", "id", "name", "state", *as_of, *lost, "created", "duration", "ranks", *metrics,
    ]  # fmt: skip
    right = frozenset(range(headers.index("ranks"), len(headers)))
    rows = [
        _row(run, metrics, as_of=[when] * bool(as_of), has_losses=bool(lost))
        for run, when in zip(runs, synced, strict=True)
    ]
    print_table([clean(one) for one in headers], rows, right=right, styles={3: STATE_STYLES})


def _row(run: StoredRun, metrics: list[str], *, as_of: list[str], has_losses: bool) -> list[str]:
    record = run.brief
    ended = record.ended_wall_s
    return [
        clean(run.project),
        clean(run.id),
        run.name,
        record.state,
        *as_of,
        *[shorten_losses(run.lost)] * has_losses,
        show_time(record.created_wall_s),
        show_duration(ended - record.created_wall_s if ended else None),
        str(record.size),
        *(show_value(run.summary.get(name, "-")) for name in metrics),
    ]
