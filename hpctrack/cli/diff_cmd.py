"""``hpctrack diff``: what differs between two runs, and in what they were made of."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import click

from hpctrack.cli.losses import tell_losses
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.core.names import clean
from hpctrack.core.wire import make_plain
from hpctrack.errors import UsageError
from hpctrack.store.comparison import SECTIONS, Difference, compare, make_side
from hpctrack.store.stored_run import StoredRun

SHOWN_CHARS = 500
"""Of one value; ``--json`` has all of it."""


@click.command()
@click.argument("left")
@click.argument("right")
@click.option("--only", help="Comma-separated sections.", metavar="SECTIONS")
@click.option("--all", "is_complete", is_flag=True, help="Also ids, times and hosts.")
@store_option
@project_option
@json_option
def diff(
    *,
    left: str,
    right: str,
    only: str | None,
    is_complete: bool,
    store: Path | None,
    project: str | None,
    as_json: bool,
) -> int:
    """Show what differs between two runs: configuration, code, packages, machine.

    LEFT and RIGHT are an id, project/id, a name, or the beginning of an id. Exits with 0 if nothing
    differs and with 1 if something does. Sections: config, summary, command, git, packages,
    modules, environment, job, hardware, libraries, container.

    \b
    Examples:
      hpctrack diff lunar-harbor-998 calm-lake-3
      hpctrack diff 4711.0 4712.0 --only config,git
    """
    sections = _read_sections(only)
    opened = open_store(store)
    runs = [opened.run(one, project=project) for one in (left, right)]
    try:
        sides = [make_side(one.record, one.provenance) for one in runs]
        found = compare(sides[0], sides[1], only=sections, is_complete=is_complete)
        blank = [one for one, side in zip(runs, sides, strict=True) if not side.provenance]
        if as_json:
            _print_as_json(runs, found, blank)
        else:
            _print(runs, found, blank)
            tell_losses(*runs)
    finally:
        for one in runs:
            one.close()
    return 1 if found else 0


def _read_sections(only: str | None) -> list[str]:
    chosen = [one.strip() for one in only.split(",") if one.strip()] if only else [*SECTIONS]
    for one in chosen:
        if one not in SECTIONS:
            raise UsageError(f"there is no section {one!r}", hint=f"use {', '.join(SECTIONS)}")
    return chosen


def _print_as_json(
    runs: Sequence[StoredRun], found: Sequence[Difference], blank: Sequence[StoredRun]
) -> None:
    sections = {
        name: [one.to_json() for one in group]
        for name, group in groupby(found, key=lambda one: one.section)
    }
    print_json(
        {
            "left": f"{runs[0].project}/{runs[0].id}",
            "right": f"{runs[1].project}/{runs[1].id}",
            "is_same": not found,
            "without_provenance": [f"{one.project}/{one.id}" for one in blank],
            "lost": {f"{one.project}/{one.id}": one.lost for one in runs if one.lost},
            "differences": sections,
        }
    )


def _print(
    runs: Sequence[StoredRun], found: Sequence[Difference], blank: Sequence[StoredRun]
) -> None:
    for sign, one, colour in (("-", runs[0], "red"), ("+", runs[1], "green")):
        click.secho(f"{sign * 3} {one.project}/{one.id} ({clean(one.name)})", fg=colour, bold=True)
    for one in blank:
        click.echo(f"what {one.project}/{one.id} was made of was not recorded")
    for name, group in groupby(found, key=lambda one: one.section):
        click.secho(name, bold=True)
        for difference in group:
            _print_difference(difference)
    if not found:
        click.echo("no difference")


def _print_difference(one: Difference) -> None:
    if one.lines:
        for line in one.lines:
            click.secho(f"  {clean(line.expandtabs())}", fg=_colour_of(line))
        return
    click.echo(f"  {clean(one.key)}")
    click.secho(f"    - {_show(one.left)}", fg="red")
    click.secho(f"    + {_show(one.right)}", fg="green")


def _colour_of(line: str) -> str | None:
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])


def _show(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=make_plain)
    text = clean(text)
    return text if len(text) <= SHOWN_CHARS else f"{text[:SHOWN_CHARS]}..."
