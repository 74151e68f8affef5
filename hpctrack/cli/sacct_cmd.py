"""``hpctrack sacct``: what Slurm counted of runs, and what it says about the next submission."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from hpctrack.cli.accounting_view import COLUMNS, ENTRY_STYLES, describe_entry
from hpctrack.cli.broken import describe_broken, tell_broken
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.cli.table import print_table
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.names import clean
from hpctrack.core.settings import environment
from hpctrack.errors import StoreError, UsageError
from hpctrack.scheduler.commands import Sacct
from hpctrack.scheduler.join import Joined, Outcome, join_accounting
from hpctrack.store.store import BrokenRun, Store
from hpctrack.store.stored_run import StoredRun

_SPAN = re.compile(r"(\d+)([mhdw])\Z")
_SPAN_S = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}

_SAID = {
    Outcome.UNKNOWN: "Slurm does not know its job, or not yet: ask again in a moment",
    Outcome.NO_JOB: "did not run under Slurm",
}


@click.command()
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@store_option
@project_option
@click.option("--since", metavar="WHEN", help="Only runs that began after: 2026-05-01, or 7d ago.")
@click.option("--all", "again", is_flag=True, help="Ask again for runs whose accounting is final.")
@click.option("-n", "--dry-run", is_flag=True, help="Only say which jobs would be asked for.")
@json_option
def sacct(
    *,
    runs: tuple[str, ...],
    store: Path | None,
    project: str | None,
    since: str | None,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Ask Slurm's accounting about runs, and keep what it says beside them.

    Without a RUN, about all that have not been asked for yet, or whose jobs had not ended then.
    Slurm is asked once, on a login node. It shows state, exit code, time against its limit, CPU
    and memory against what was asked for, how busy the GPUs were, time in the queue, energy, and
    what to ask for the next time. How busy GPUs were comes from the run's own samples; what Slurm
    saw of them, on clusters where it looks, is marked (Slurm). `hpctrack show` has all of it from
    then on, and `hpctrack sync` takes it along.

    \b
    Examples:
      hpctrack sacct
      hpctrack sacct 4711.0
      hpctrack sacct --since 7d --all --json
    """
    if runs and since is not None:
        raise UsageError("name runs, or use --since")
    since_wall_s = None if since is None else read_moment(since)
    opened = open_store(store)
    chosen, broken = _choose(opened, runs, project, since_wall_s)
    found = join_accounting(
        chosen,
        None if dry_run else Sacct(environment()).ask,
        again=again,
    )
    if not runs:
        found = [one for one in found if one.outcome != Outcome.NO_JOB]
    if as_json:
        print_json({"runs": [one.to_json() for one in found], "broken": describe_broken(broken)})
    else:
        _print(found, is_named=bool(runs) or again or since is not None, broken=len(broken))
        tell_broken(broken)
    failed = [one for one in found if one.outcome == Outcome.FAILED]
    if failed:
        raise StoreError(f"{failed[0].project}/{failed[0].run}: {failed[0].problem}")


def read_moment(text: str) -> float:
    """Return the UTC seconds of a date, or of a moment as long ago as ``7d``.

    Raises
    ------
    UsageError
        It is neither.
    """
    found = _SPAN.match(text)
    if found:
        return SYSTEM_CLOCK.wall_s() - int(found[1]) * _SPAN_S[found[2]]
    try:
        return dt.datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{text!r:.40} is no moment", hint="write 2026-05-01, 2026-05-01T12:00 or 7d"
        ) from None


def _choose(
    store: Store, names: Sequence[str], project: str | None, since_wall_s: float | None
) -> tuple[Iterable[StoredRun], list[BrokenRun]]:
    """Return the runs that are meant, or all since then; and those that cannot be read."""
    if names:
        return (store.run(one, project=project) for one in dict.fromkeys(names)), []
    readable, broken = store.listing(order="created", project=project)
    return _choose_since(readable, since_wall_s), broken


def _choose_since(runs: Sequence[StoredRun], since_wall_s: float | None) -> Iterator[StoredRun]:
    for run in runs:
        if since_wall_s is None or run.brief.created_wall_s >= since_wall_s:
            yield run
        else:
            run.close()


def _print(found: Sequence[Joined], *, is_named: bool, broken: int) -> None:
    shown = [one for one in found if is_named or one.outcome != Outcome.KEPT]
    rows: list[list[str]] = []
    notes: list[str] = []
    for one in shown:
        name = clean(f"{one.project}/{one.run}")
        entries: list[Mapping[str, Any]] = list((one.accounting or {}).get("attempts", ()))
        rows += [[name, *describe_entry(entry)] for entry in entries]
        notes += [f"{name}: {note}" for note in _iter_notes(one, entries)]
    if rows:
        print_table(
            ["run", *COLUMNS], rows, right=frozenset({2, *range(4, 9), 10, 11}), styles=ENTRY_STYLES
        )
    for note in notes:
        click.echo(note)
    kept = len(found) - len(shown)
    if kept:
        click.echo(f"{kept} asked for before; --all asks again")
    elif not shown:
        among = " among those that can be read" if broken else ""
        click.echo(f"no runs of Slurm jobs{among}")


def _iter_notes(one: Joined, entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if one.outcome == Outcome.WOULD_ASK:
        yield f"would ask for {', '.join(one.jobs)}"
    elif one.outcome == Outcome.RUNNING:
        yield "its job has not ended, or will go on: it is asked for again the next time"
    elif one.outcome == Outcome.FAILED:
        yield one.problem
    elif one.outcome in _SAID:
        yield _SAID[one.outcome]
    if entries and entries[-1].get("advice"):
        yield clean(str(entries[-1]["advice"]))
