"""``hpctrack logs``: what a rank printed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from hpctrack.cli.losses import tell_losses
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.errors import NotFoundError
from hpctrack.store.console import ConsoleLine, ConsoleText, collapsed, show_line
from hpctrack.store.console_line import make_plain_line, make_safe_line
from hpctrack.store.record import State
from hpctrack.store.stored_run import StoredRun

FOLLOW_INTERVAL_S = 0.5


@click.command()
@click.argument("run")
@store_option
@project_option
@click.option("--rank", default=0, show_default=True, help="Whose output.")
@click.option("--stderr", "is_stderr", is_flag=True, help="Only standard error.")
@click.option("-f", "--follow", is_flag=True, help="Go on as long as the run does.")
@click.option("-n", "--lines", "last", type=click.IntRange(min=0), help="Only the last so many.")
@json_option
def logs(
    *,
    run: str,
    store: Path | None,
    project: str | None,
    rank: int,
    is_stderr: bool,
    follow: bool,
    last: int | None,
    as_json: bool,
) -> None:
    """Show what a rank printed: Python, C code and child processes.

    RUN is an id, project/id, a name, or the beginning of an id. Progress bars are shown as they
    looked at their end; colours only on a terminal. With --follow --json, one object per line.

    \b
    Examples:
      hpctrack logs 4711.0 --rank 3 -n 50
      hpctrack logs lunar-harbor-998 --follow
    """
    found = open_store(store).run(run, project=project)
    try:
        _check_rank(found, rank)
        text = found.console(rank=rank, stream="stderr" if is_stderr else None)
        if follow:
            _follow(found, text, last=last, as_json=as_json)
            tell_losses(found)
            return
        lines = text.lines(collapse=True, last=last)
        if as_json:
            entries = [one.to_json() for one in lines]
            print_json({"run": found.id, "rank": rank, "lines": entries, "lost": found.lost})
            return
        _print(lines)
        if not lines and last != 0:
            click.echo(_explain_nothing(rank, is_stderr=is_stderr), err=True)
        tell_losses(found)
    finally:
        found.close()


def _check_rank(run: StoredRun, rank: int) -> None:
    size = max([run.told.size, *(one.rank + 1 for one in run.ranks())])
    if not 0 <= rank < size:
        raise NotFoundError(
            f"run {run.id} has no rank {rank}",
            hint=f"it has ranks 0 to {size - 1}" if size > 1 else "it has only rank 0",
        )


def _follow(run: StoredRun, text: ConsoleText, *, last: int | None, as_json: bool) -> None:
    follower = text.follow()
    show = _print_json_lines if as_json else _print
    # The state before the lines: what a run prints last is there when it counts as ended.
    is_running = run.state == State.RUNNING
    first = [collapsed(one) for one in follower.iter_new()]
    show(first if last is None else first[len(first) - min(last, len(first)) :])
    while is_running:
        time.sleep(FOLLOW_INTERVAL_S)
        run.refresh()
        is_running = run.state == State.RUNNING
        show(collapsed(one) for one in follower.iter_new())
    show(collapsed(one) for one in follower.end())


def _print(lines: Iterator[ConsoleLine] | list[ConsoleLine]) -> None:
    make = make_safe_line if sys.stdout.isatty() else make_plain_line
    for line in lines:
        click.echo(make(show_line(line)))
    sys.stdout.flush()


def _print_json_lines(lines: Iterator[ConsoleLine] | list[ConsoleLine]) -> None:
    for line in lines:
        click.echo(json.dumps(line.to_json()))
    sys.stdout.flush()


def _explain_nothing(rank: int, *, is_stderr: bool) -> str:
    if is_stderr:
        return (
            f"rank {rank} has nothing on standard error alone; where both streams went to one "
            "terminal or file, they are recorded together"
        )
    return f"nothing that rank {rank} printed is recorded"
