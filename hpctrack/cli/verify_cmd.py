"""``hpctrack verify``: whether everything is there that was recorded."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.cli.options import (
    json_option,
    open_store,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.verify_view import describe_report, show_bytes_bar
from hpctrack.core.layout import scan_runs
from hpctrack.errors import NotFoundError, StoreFormatError
from hpctrack.store.verify import measure, verify_run

HINT_RUNS = 20
"""Damaged runs that the hint names."""


@click.command()
@click.argument("runs", nargs=-1)
@store_option
@project_option
@click.option("-q", "--quiet", is_flag=True, help="Only say what is wrong.")
@json_option
def verify(
    *,
    runs: tuple[str, ...],
    store: Path | None,
    project: str | None,
    quiet: bool,
    as_json: bool,
) -> None:
    """Read every file of the RUNS, or of all runs, and say what is damaged.

    Checksums of sealed files, tables, names and bytes of live ones, the digest of every image.
    Changes nothing, and may run while the runs do. Exit code 4 if something is damaged.

    \b
    Examples:
      hpctrack verify
      hpctrack verify 4711.0 lunar-harbor-998
      hpctrack verify --project digits --quiet
      hpctrack verify --json | jq '.runs[] | select(.intact | not).id'
    """
    settings = read_settings(dir=store)
    folders = _choose(runs, store, project)
    reports = []
    total_bytes = sum(measure(folder) for folder in folders)
    with show_bytes_bar("reading", total_bytes) as on_bytes:
        for folder in folders:
            try:
                report = verify_run(folder, stale_after_s=settings.stale_after_s, on_bytes=on_bytes)
            except NotFoundError:
                continue  # removed while we looked at others
            reports.append(report)
            if not as_json:
                for line in describe_report(report, quiet=quiet):
                    click.echo(line)
    if as_json:
        print_json({"runs": [one.to_json() for one in reports]})
    damaged = [one for one in reports if not one.is_intact]
    if damaged:
        names = [f"{one.project}/{one.run}" for one in damaged]
        more = f" and {len(names) - HINT_RUNS} more" if len(names) > HINT_RUNS else ""
        raise StoreFormatError(
            f"{len(damaged)} of {len(reports)} runs are damaged",
            hint=f"hpctrack repair {' '.join(names[:HINT_RUNS])}{more}",
        )
    if not (quiet or as_json):
        click.echo(f"{len(reports)} runs are intact")


def _choose(runs: tuple[str, ...], store: Path | None, project: str | None) -> list[Path]:
    opened = open_store(store)
    if runs:
        return [opened.run(one, project=project).folder for one in runs]
    if project and not (opened.path / project).is_dir():
        raise NotFoundError(f"no project {project!r} in {opened.path}")
    return [Path(found.path) for found in scan_runs(opened.path, project)]
