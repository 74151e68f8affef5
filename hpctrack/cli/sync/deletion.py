"""``hpctrack sync --delete-local``: ask, delete what is over there too, say what that freed."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click

from hpctrack.cli.sync.order import Order
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.counting import show_count
from hpctrack.errors import HpctrackError
from hpctrack.sync.sending.local_copies import (
    DAY_S,
    Judged,
    Kept,
    Rules,
    delete_copy,
    find_deletable,
    list_confirmed,
)
from hpctrack.sync.sending.push_result import PushResult

NAMED_RUNS = 5
"""The question names so many."""


def delete_local(
    order: Order, result: PushResult, *, keep_days: float, is_sure: bool
) -> list[Judged]:
    """Delete the runs that a push has found, or brought, to the other side.

    Parameters
    ----------
    order : Order
        With the store; a dry run deletes nothing.
    result : PushResult
        What the push has seen.
    keep_days : float
        Runs that ended less long ago stay.
    is_sure : bool
        Nobody is asked.

    Returns
    -------
    list of Judged
    """
    store = Path(order.settings.dir).expanduser()
    rules = Rules(
        keep_s=keep_days * DAY_S,
        is_sweep_over=_make_sweep_question(order),
        clock=SYSTEM_CLOCK,
        stale_after_s=order.settings.stale_after_s,
    )
    judged = find_deletable(store, list_confirmed(result.items), rules)
    chosen = [one for one in judged if one.kept is None]
    if order.dry_run or not chosen:
        return judged
    if not is_sure and sys.stdin.isatty() and not click.confirm(_ask(chosen, order), err=True):
        # What was pushed is still to be told.
        gone = [replace(one, kept=Kept.UNWANTED, size_bytes=0) for one in chosen]
        return [*(one for one in judged if one.kept), *gone]
    gone = [delete_copy(store, one.run, rules) for one in chosen]
    return [*(one for one in judged if one.kept), *gone]


def _ask(chosen: Sequence[Judged], order: Order) -> str:
    names = ", ".join(str(one.run) for one in chosen[:NAMED_RUNS])
    more = f" and {len(chosen) - NAMED_RUNS} more" if len(chosen) > NAMED_RUNS else ""
    size = show_bytes(sum(one.size_bytes for one in chosen))
    where = f"{order.destination} has {'it' if len(chosen) == 1 else 'them'}"
    return f"Delete {names}{more} here ({size})? {where}"


def describe_deletion(judged: Iterable[Judged], *, dry_run: bool) -> str:
    """Return what has become of the local copies, in a line; empty if there were none."""
    judged = list(judged)
    gone = [one for one in judged if one.kept is None]
    size = show_bytes(sum(one.size_bytes for one in gone))
    verb = "would delete" if dry_run else "deleted"
    parts = [f"{verb} {show_count(len(gone), 'local copy').replace('copys', 'copies')} ({size})"]
    why = Counter(one.kept for one in judged if one.kept not in {None, Kept.GONE})
    parts += [f"{number} stay: {kept}" for kept, number in sorted(why.items(), key=str)]
    return "; ".join(parts) if judged else ""


def to_json(judged: Iterable[Judged]) -> dict[str, Any]:
    """Return a JSON-able form."""
    judged = list(judged)
    return {
        "deleted": [str(one.run) for one in judged if one.kept is None],
        "freed_bytes": sum(one.size_bytes for one in judged if one.kept is None),
        "kept": [{"run": str(one.run), "why": one.kept} for one in judged if one.kept],
    }


def _make_sweep_question(order: Order) -> Any:
    """Return a function that tells whether a sweep is over; one that cannot be read is not."""

    @cache
    def is_over(project: str, sweep_id: str) -> bool:
        # Most runs belong to no sweep.
        from hpctrack.cli.sweep.load import load_status  # noqa: PLC0415 - 50 ms

        try:
            return load_status(sweep_id, Path(order.settings.dir), project).is_done
        except (HpctrackError, OSError):
            return False

    return is_over
