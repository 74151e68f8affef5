"""``hpctrack ls --live``: the runs that are going on now."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import click

from hpctrack.cli.format import STATE_STYLES
from hpctrack.cli.options import find_store, print_json, read_settings
from hpctrack.cli.table import format_table
from hpctrack.cli.top.live import LiveRow, LiveRuns
from hpctrack.cli.top.words import show_number, show_share, show_span
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.names import clean
from hpctrack.errors import UsageError
from hpctrack.store.ledger import shorten_losses

LOST = "lost"
"""A column that is there only if something is missing."""

HEADERS = (
    "project", "id", "name", "user", "state", "age", "step", "steps/s", "gpu", "ranks", "hosts",
    "sign",
)  # fmt: skip
RIGHT = frozenset(range(HEADERS.index("age"), len(HEADERS)))

_HOME, _CLEAR_LINE, _CLEAR_REST = "\x1b[H", "\x1b[K", "\x1b[J"


def list_live(
    store: Path | None,
    *,
    project: str | None,
    order: str | None,
    limit: int | None,
    watch_s: float | None,
    as_json: bool,
) -> None:
    """Print the runs that are going on, once or again and again.

    Parameters
    ----------
    watch_s : float or None
        Seconds between two looks: in place on a terminal; else tables, or JSON lines, follow each
        other.
    """
    settings = read_settings(dir=store)
    live = LiveRuns(
        find_store(settings),
        clock=SYSTEM_CLOCK,
        stale_after_s=settings.stale_after_s,
        project=project,
    )
    shown: list[str] = []
    try:
        while True:
            rows = sort_rows(live.refresh(), order)[:limit]
            if as_json and watch_s is None:
                print_json({"runs": [make_entry(one) for one in rows]})
            elif as_json:
                _print_json_line(rows)
            else:
                shown = _show(rows, shown, in_place=watch_s is not None and sys.stdout.isatty())
            if watch_s is None:
                return
            time.sleep(watch_s)
    finally:
        live.close()


def sort_rows(rows: list[LiveRow], order: str | None) -> list[LiveRow]:
    """Order rows by a column, ``-`` in front for descending; those without it come last.

    Raises
    ------
    UsageError
        There is no such column.
    """
    if not order:
        return rows
    key = order.removeprefix("-")
    if key not in LiveRow._fields:
        raise UsageError(f"unknown key {key!r}", hint=f"with --live: {', '.join(LiveRow._fields)}")

    def measure(row: LiveRow) -> Any:
        return getattr(row, key)

    known = [one for one in rows if measure(one) == measure(one)]
    rest = [one for one in rows if measure(one) != measure(one)]
    return sorted(known, key=measure, reverse=order.startswith("-")) + rest


def make_entry(row: LiveRow) -> dict[str, Any]:
    """Return a JSON-able form; null for what is not known."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.to_json().items()
    }


def make_cells(row: LiveRow) -> list[str]:
    """Return a row of the table, what is lost at its end."""
    return [
        clean(row.project),
        clean(row.id),
        clean(row.name),
        clean(row.user),
        row.state,
        show_span(row.age_s),
        f"{row.step:,}" if row.step >= 0 else "-",
        show_number(row.rate),
        show_share(row.gpu_util),
        f"{row.ranks:,}",
        f"{row.hosts:,}",
        show_span(row.silent_s),
        shorten_losses(row.lost),
    ]


def _show(rows: list[LiveRow], before: list[str], *, in_place: bool) -> list[str]:
    """Print the table; in place, only the lines that have changed are written."""
    lines = ["no run is going on"]
    if rows:
        headers = (*HEADERS, LOST) if any(one.lost for one in rows) else HEADERS
        cells = [make_cells(one)[: len(headers)] for one in rows]
        lines = format_table(headers, cells, right=RIGHT, styles={4: STATE_STYLES})
    if not in_place:
        click.echo("\n".join(lines))
        return lines
    if not before:
        click.echo(_HOME + _CLEAR_REST, nl=False)
    parts = [
        f"\x1b[{number};1H{line}{_CLEAR_LINE}"
        for number, line in enumerate(lines, start=1)
        if number > len(before) or before[number - 1] != line
    ]
    parts.append(f"\x1b[{len(lines) + 1};1H{_CLEAR_REST}")
    click.echo("".join(parts), nl=False)
    sys.stdout.flush()
    return lines


def _print_json_line(rows: list[LiveRow]) -> None:
    click.echo(json.dumps({"runs": [make_entry(one) for one in rows]}))
    sys.stdout.flush()
