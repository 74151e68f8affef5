"""``hpctrack sync``: push what another store does not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpctrack.cli.byte_sizes import ByteSize
from hpctrack.cli.moments import Since, find_wall_s
from hpctrack.cli.options import json_option, project_option, read_settings, store_option
from hpctrack.cli.sync.destination import (
    Destination,
    RemoteName,
    connect_options,
    find_destination,
)
from hpctrack.cli.sync.order import Order
from hpctrack.cli.sync.session import Session, Wishes
from hpctrack.cli.sync.trigger import leave_request
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.settings import Settings
from hpctrack.errors import UsageError
from hpctrack.store.record import State
from hpctrack.sync.wire.packing import Compress

INTERVAL_S = 30.0
TRIGGERED_INTERVAL_S = 2.0
"""Looking for requests is one listing of a small folder."""


@click.command()
@click.argument("remote", required=False, type=RemoteName())
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@store_option
@project_option
@click.option("--all", "takes_all", is_flag=True, help="All projects, whatever REMOTE is for.")
@click.option("--since", type=Since(), help="Begun or ended since: 2026-05-01, or 7d ago.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([one.value for one in State if one != State.LOST]),
    help="Runs in this state; may be repeated.",
)
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--seal/--no-seal", default=True, help="Seal runs that have ended.  [default: seal]")
@click.option(
    "--live/--no-live",
    default=True,
    help="Send what running runs have so far. [default: live]",
)
@click.option(
    "--accounting/--no-accounting",
    default=None,
    help="Ask sacct about the runs first, where there is one. [default: accounting]",
)
@click.option("-w", "--watch", "watches", is_flag=True, help="Push again and again, until Ctrl-C.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.2),
    help=f"With --watch: seconds between two pushes. [default: {INTERVAL_S:g}]",
)
@click.option("--until-done", is_flag=True, help="With --watch: until no run is running any more.")
@click.option("--trigger", is_flag=True, help="Ask the sync that runs with --triggered to do it.")
@click.option("--triggered", is_flag=True, help="Push only what was asked for by --trigger.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    help="Processes that seal.  [default: 1]",
)
@click.option("--bwlimit", type=ByteSize(), help="Bytes per second at most: 10M, 500k.")
@click.option(
    "--compress",
    type=click.Choice([one.value for one in Compress]),
    default="auto",
    help="auto compresses what then arrives sooner.  [default: auto]",
)
@connect_options
@click.option("--delete-local", is_flag=True, help="Delete runs here that REMOTE has confirmed.")
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    default=7.0,
    show_default=True,
    help="With --delete-local: not runs that ended less than so many days ago.",
)
@click.option("-y", "--yes", "is_sure", is_flag=True, help="Do not ask before that.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong.")
@json_option
def sync(
    *,
    remote: str | None,
    runs: tuple[str, ...],
    store: Path | None,
    accounting: bool | None,
    trigger: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Push runs to the store REMOTE: all that it does not have, or only the RUNs named.

    REMOTE is a name of `hpctrack remote`, ssh://user@host:port/path, or the path of a store of
    this machine; without it, the default remote. The host's key must be known, as for ssh. Safe
    to repeat and to interrupt: nothing is sent twice, and nobody sees half a run.

    \b
    Examples:
      hpctrack sync                               to the default remote
      hpctrack sync ssh://me@login/data/store
      hpctrack sync login lunar-harbor-998
      hpctrack sync login --watch --until-done    follow what is running
      hpctrack sync login --project digits --since 7d --dry-run
      hpctrack sync login --delete-local --keep-days 30
    """
    settings = read_settings(dir=store, sync_accounting=accounting)
    if trigger:
        names = (remote, *runs) if remote is not None else runs
        leave_request(settings, names, given["project"], as_json=as_json)
        return
    destination = find_destination(remote, given)
    order = _make_order(settings, destination, runs, given)
    Session(order, _make_wishes(given, runs, as_json=as_json)).run()


def _make_order(
    settings: Settings, destination: Destination, runs: tuple[str, ...], given: dict[str, Any]
) -> Order:
    project = given["project"]
    if given["takes_all"] and (runs or project):
        raise UsageError("--all leaves nothing to choose", hint="without RUNs and --project")
    # A run that was named is meant, wherever it is.
    if project is None and not runs and not given["takes_all"]:
        project = destination.project
    since, since_wall_s = given["since"], None
    if since is not None:
        since_wall_s = find_wall_s(since, SYSTEM_CLOCK.wall_s())
    if given["bwlimit"] is not None and given["bwlimit"] < 1:
        raise UsageError("--bwlimit is less than a byte per second")
    return Order(
        settings=settings,
        destination=destination,
        runs=runs,
        project=project,
        states=given["states"],
        since_wall_s=since_wall_s,
        seal=given["seal"],
        live=given["live"],
        dry_run=given["dry_run"],
        for_deletion=given["delete_local"],
        jobs=given["jobs"],
        compress=Compress(given["compress"]),
        bwlimit_bytes_s=given["bwlimit"],
    )


def _make_wishes(given: dict[str, Any], runs: tuple[str, ...], *, as_json: bool) -> Wishes:
    watches, triggered = given["watches"], given["triggered"]
    if (given["interval_s"] is not None or given["until_done"]) and not watches:
        raise UsageError("--interval and --until-done are for --watch")
    if watches and given["dry_run"]:
        raise UsageError("--watch and --dry-run do not go together")
    if triggered and (runs or given["until_done"]):
        raise UsageError("--triggered chooses the runs itself, and has no end")
    default_s = TRIGGERED_INTERVAL_S if triggered else INTERVAL_S
    return Wishes(
        watches=watches,
        interval_s=default_s if given["interval_s"] is None else given["interval_s"],
        until_done=given["until_done"],
        triggered=triggered,
        deletes=given["delete_local"],
        keep_days=given["keep_days"],
        is_sure=given["is_sure"],
        as_json=as_json,
        quiet=given["quiet"],
    )
