"""``hpctrack server verify``: whether a store still has what came."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.cli.options import (
    find_store,
    json_option,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.verify_view import describe_report, show_bytes_bar
from hpctrack.errors import StoreFormatError
from hpctrack.sync.upkeep.store_check import CheckOptions, check_store, measure_store


@click.command()
@store_option
@project_option
@click.option("-j", "--jobs", type=click.IntRange(1, 256), default=1, help="Processes that read.")
@click.option("--quick", is_flag=True, help="Only whether files are there and can be opened.")
@click.option("-q", "--quiet", is_flag=True, help="Only say what is wrong.")
@json_option
def verify(
    *,
    store: Path | None,
    project: str | None,
    jobs: int,
    quick: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Read every file of a store, compare it with what was received, and say what is damaged.

    As `hpctrack verify`; and every sealed file is compared with the hash in the log, every
    artifact with its name, and what lies beside the runs is read. Changes nothing, may run while
    others push. Exit code 4 if something is damaged.

    \b
    Examples:
      hpctrack server verify --store /data/store --jobs 4 --quiet
      hpctrack server verify --project digits --json | jq '.reports[] | select(.intact | not)'
      hpctrack server verify --quick
    """
    settings = read_settings(dir=store)
    path = find_store(settings)
    options = CheckOptions(quick=quick, stale_after_s=settings.stale_after_s)
    reports = []
    with show_bytes_bar("reading", measure_store(path, project)) as on_bytes:
        for report in check_store(
            path, project=project, options=options, jobs=jobs, on_bytes=on_bytes
        ):
            reports.append(report)
            if not as_json:
                for line in describe_report(report, quiet=quiet):
                    click.echo(line)
    if as_json:
        print_json({"reports": [one.to_json() for one in reports]})
    damaged = sum(not one.is_intact for one in reports)
    if damaged:
        raise StoreFormatError(
            f"{damaged} of {len(reports)} are damaged",
            hint="sync an intact copy, or take it from a backup; see docs/how-to/run-a-server.md",
        )
    if not (quiet or as_json):
        click.echo(f"all {len(reports)} are intact")
