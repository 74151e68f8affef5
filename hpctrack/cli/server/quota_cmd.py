"""``hpctrack server quota``: how much each project holds, and may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hpctrack.cli.byte_sizes import ByteSize
from hpctrack.cli.options import find_store, json_option, print_json, read_settings, store_option
from hpctrack.cli.table import print_table
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.errors import UsageError
from hpctrack.sync.upkeep.quotas import (
    ANY_PROJECT,
    UsageBook,
    find_limit,
    list_projects,
    read_quotas,
    set_quota,
)


@click.group()
def quota() -> None:
    """Say how much each project of a store may hold, and see what it holds.

    A push that would exceed it is refused, item by item. What counts are the sizes of all files
    in the project's folder.

    \b
    Examples:
      hpctrack server quota show --store /data/store
      hpctrack server quota set digits 50GB
      hpctrack server quota set '*' 200GB
    """


@quota.command()
@store_option
@click.option("--recount", is_flag=True, help="Look at every file instead of in the book.")
@json_option
def show(*, store: Path | None, recount: bool, as_json: bool) -> None:
    """Show what each project holds, and may hold.

    \b
    Examples:
      hpctrack server quota show
      hpctrack server quota show --recount --json
    """
    path = find_store(read_settings(dir=store))
    quotas, book = read_quotas(path), UsageBook(path)
    rows = []
    for project in sorted({*list_projects(path), *quotas} - {ANY_PROJECT}):
        used = book.recount(project) if recount else book.used_bytes(project)
        rows.append(
            {
                "project": project,
                "used_bytes": used,
                "quota_bytes": find_limit(quotas, project, None),
            }
        )
    if as_json:
        print_json({"projects": rows, "default_bytes": quotas.get(ANY_PROJECT)})
        return
    print_table(
        ["project", "used", "quota", "%"], [_row(one) for one in rows], right=frozenset({1, 2, 3})
    )
    if ANY_PROJECT in quotas:
        click.echo(f"all other projects: {show_bytes(quotas[ANY_PROJECT])} each")


@quota.command("set")
@click.argument("project")
@click.argument("size", required=False, type=ByteSize())
@click.option("--none", "is_none", is_flag=True, help="Take the project's own quota away.")
@store_option
@json_option
def set_command(
    *, project: str, size: int | None, is_none: bool, store: Path | None, as_json: bool
) -> None:
    """Let PROJECT hold SIZE; '*' is for all projects that have no quota of their own.

    Receivers that are at work see it with their next group of files.

    \b
    Examples:
      hpctrack server quota set digits 50GB
      hpctrack server quota set '*' 200GB
      hpctrack server quota set digits --none
    """
    if (size is None) != is_none:
        raise UsageError("say how much", hint="50GB, or --none to take the quota away")
    quotas = set_quota(find_store(read_settings(dir=store)), project, size)
    if as_json:
        print_json({"quotas": quotas})
        return
    limit = find_limit(quotas, project, None)
    told = "has no quota" if limit is None else f"may hold {show_bytes(limit)}"
    click.echo(f"{'every other project' if project == ANY_PROJECT else project} {told}")


def _row(one: dict[str, Any]) -> list[str]:
    used, limit = one["used_bytes"], one["quota_bytes"]
    share = "-" if not limit else f"{100 * used / limit:.0f}"
    return [one["project"], show_bytes(used), "-" if limit is None else show_bytes(limit), share]
