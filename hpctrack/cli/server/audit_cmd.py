"""``hpctrack server audit``: who pushed what, and when."""

from __future__ import annotations

import datetime as dt
import time
from collections import deque
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

import click

from hpctrack.cli.format import show_time
from hpctrack.cli.moments import Since, find_wall_s
from hpctrack.cli.options import (
    find_store,
    json_option,
    print_json_line,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.names import clean
from hpctrack.sync.upkeep.audit import AuditLine, AuditTail, iter_events

LOOK_INTERVAL_S = 0.5
NEWEST_EVENTS = 10_000
"""More do not come while the past is shown."""

_HASH_CHARS = 12


@click.command()
@store_option
@project_option
@click.option("-u", "--user", help="Only this user.")
@click.option("--since", type=Since(), help="Only since then: 90m, 2d, 2026-11-28.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until Ctrl-C.")
@json_option
def audit(
    *,
    store: Path | None,
    project: str | None,
    user: str | None,
    since: float | dt.date | None,
    follow: bool,
    as_json: bool,
) -> None:
    """Show who pushed what, when and from where; refusals too.

    With --json a line for each event, as in the file .server/audit.jsonl of the store.

    \b
    Examples:
      hpctrack server audit --since 1d
      hpctrack server audit --project digits --user ana
      hpctrack server audit --json | jq 'select(.action == "refused")'
      hpctrack server audit --follow
    """
    path = find_store(read_settings(dir=store))
    since_wall_s = None if since is None else find_wall_s(since, SYSTEM_CLOCK.wall_s())
    tail = AuditTail(path, project=project, user=user) if follow else None
    found = iter_events(path, since_wall_s=since_wall_s, project=project, user=user)
    newest: deque[AuditLine] = deque(maxlen=NEWEST_EVENTS)
    for event in found:
        _show(event, as_json=as_json)
        newest.append(event)
    if tail is not None:
        for event in _follow(tail, newest):
            _show(event, as_json=as_json)
    elif not newest and not as_json:
        click.echo("nothing was pushed", err=True)


def _follow(tail: AuditTail, shown: Container[AuditLine]) -> Iterator[AuditLine]:
    """Yield what comes; what came while the past was shown was shown with it."""
    yield from (event for event in tail.read() if event not in shown)
    while True:
        yield from tail.read()
        time.sleep(LOOK_INTERVAL_S)


def _show(event: AuditLine, *, as_json: bool) -> None:
    if as_json:
        print_json_line(dict(event))
    else:
        click.echo(clean(_describe(event)))


def _describe(event: AuditLine) -> str:
    def told(name: str) -> Any:
        return event.get(name, "")

    what = f"{told('kind')} {told('project')}/{told('id')}"
    who = f"{told('user') or '?'}{'@' + str(told('from')) if told('from') else ''}"
    parts = [show_time(event["wall_s"]), who, str(told("action")), what]
    if told("code"):
        parts.append(f"({told('code')})")
    if isinstance(told("bytes"), int) and told("bytes"):
        parts.append(show_bytes(told("bytes")))
    if told("sha256"):
        parts.append(f"{str(told('sha256'))[:_HASH_CHARS]}")
    return "  ".join(parts)
