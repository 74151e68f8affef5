"""``hpctrack tail``: what a run logs, as it comes."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import click

from hpctrack.cli.losses import describe_run
from hpctrack.cli.options import (
    json_option,
    open_store,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.tail_lines import Tail, TailLine
from hpctrack.cli.top.find import find_live_run
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.ledger import list_losses
from hpctrack.store.record import RunRecord
from hpctrack.store.store import Store
from hpctrack.store.stored_run import StoredRun

INTERVAL_S = 0.5
ALL = "all"


@click.command()
@click.argument("run")
@store_option
@project_option
@click.option(
    "-m",
    "--metric",
    "patterns",
    multiple=True,
    help="Metrics, by name or glob; several times. [default: the six with most points]",
)
@click.option("--rank", "who", default="0", show_default=True, help="A rank's number, or all.")
@click.option("--console", "has_console", is_flag=True, help="What it prints, too.")
@click.option("--no-metrics", "is_quiet", is_flag=True, help="No metrics: with --console.")
@click.option(
    "-n",
    "--lines",
    "last",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="Begin so many lines back.",
)
@json_option
def tail(
    *,
    run: str,
    store: Path | None,
    project: str | None,
    patterns: tuple[str, ...],
    who: str,
    has_console: bool,
    is_quiet: bool,
    last: int,
    as_json: bool,
) -> None:
    """Follow a run: new values of metrics, and what it prints, until it ends.

    RUN is an id, project/id, a name, or the beginning of an id. One line for what a rank logged at
    a step. How the run ended is said on standard error. Of a run that is over, the last lines.

    \b
    Examples:
      hpctrack tail 4711.0
      hpctrack tail 4711.0 -m loss -m 'val/*' --rank all
      hpctrack tail 4711.0 --console --rank 3 -n 50
      hpctrack tail 4711.0 --json | jq 'select(.values.loss < 0.1)'
    """
    if is_quiet and not has_console:
        raise UsageError("--no-metrics without --console leaves nothing", hint="hpctrack tail -h")
    found = _find(open_store(store), run, project)
    following = Tail(
        found,
        clock=SYSTEM_CLOCK,
        stale_after_s=read_settings(dir=store).stale_after_s,
        patterns=() if is_quiet else patterns or None,
        rank=_read_rank(who),
        has_console=has_console,
    )
    try:
        _print(following.begin(last), as_json=as_json)
        while following.is_running:
            time.sleep(INTERVAL_S)
            _print(following.read_new(), as_json=as_json)
        _print(following.end(), as_json=as_json)
        _say_end(found, following.record, as_json=as_json)
        following.check_metrics()
    finally:
        following.close()


def _say_end(found: StoredRun, record: RunRecord, *, as_json: bool) -> None:
    if as_json:
        said = {"kind": "end", "run": found.id, "state": record.state}
        click.echo(json.dumps({**said, "lost": list_losses(record.ledger)}))
    else:
        name = f"{found.project}/{found.id}"
        for line in (f"{name}: {record.state}", *describe_run(name, record.ledger)):
            click.echo(line, err=True)


def _find(store: Store, run: str, project: str | None) -> StoredRun:
    """Return the run that is meant: one that goes on before those of its name that are over."""
    try:
        return StoredRun(find_live_run(store.path, run, project=project))
    except HpctrackError:
        return store.run(run, project=project)


def _read_rank(who: str) -> int | None:
    if who == ALL:
        return None
    if not who.isascii() or not who.isdigit():
        raise UsageError(f"--rank is {who!r}", hint="a number, or all")
    return int(who)


def _print(lines: Iterable[TailLine], *, as_json: bool) -> None:
    for line in lines:
        click.echo(json.dumps(line.to_json()) if as_json else str(line))
    sys.stdout.flush()
