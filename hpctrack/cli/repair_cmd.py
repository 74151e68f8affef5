"""``hpctrack repair``: salvage what is intact of a damaged run."""

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
from hpctrack.errors import StoreFormatError
from hpctrack.store.repair import repair_run


@click.command()
@click.argument("runs", nargs=-1, required=True)
@store_option
@project_option
@click.option(
    "--force",
    is_flag=True,
    help="Also a damaged sealed file, files written just now, and what cannot be salvaged.",
)
@json_option
def repair(
    *,
    runs: tuple[str, ...],
    store: Path | None,
    project: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Salvage what is intact of damaged RUNS, and remove what killed writers left.

    A damaged file is kept beside its successor, with .damaged behind its name. A damaged sealed
    file is only touched with --force: another store may have an intact copy. Safe to repeat and
    to interrupt. Exit code 4 if something damaged is left, or nothing of a file could be saved.

    \b
    Examples:
      hpctrack verify && echo nothing to do
      hpctrack repair 4711.0
      hpctrack repair digits/4711.0 --force
    """
    settings = read_settings(dir=store)
    opened = open_store(store)
    folders = [opened.run(one, project=project).folder for one in runs]
    results = []
    for folder in folders:
        result = repair_run(folder, stale_after_s=settings.stale_after_s, force=force)
        results.append(result)
        if not as_json:
            name = f"{result.project}/{result.run}"
            if not result.actions:
                click.echo(f"{name}: nothing is wrong")
            for one in result.actions:
                click.echo(f"{name}: {one.file}: {one.deed}: {one.text}")
    if as_json:
        print_json({"runs": [one.to_json() for one in results]})
    left = [one for one in results if not one.is_intact]
    if left:
        raise StoreFormatError(
            f"{len(left)} of {len(results)} runs are still damaged",
            hint="sync an intact copy, or use --force",
        )
    given_up = [f"{one.project}/{one.run}/{file.file}" for one in results for file in one.given_up]
    if given_up:
        raise StoreFormatError(
            f"nothing could be salvaged of {', '.join(given_up)}",
            hint="it is still there, with .damaged behind its name; sync an intact copy",
        )
