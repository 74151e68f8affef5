"""``hpctrack seal``: many node files become one."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.errors import BusyError, HpctrackError
from hpctrack.store.seal import seal_run


@click.command()
@click.argument("runs", nargs=-1)
@store_option
@project_option
@click.option("--all", "seal_all", is_flag=True, help="All runs that have ended.")
@click.option("--force", is_flag=True, help="Also a run that seems to be running.")
@json_option
def seal(
    *,
    runs: tuple[str, ...],
    store: Path | None,
    project: str | None,
    seal_all: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Turn the node files of runs into one compressed file each.

    Safe to repeat and to interrupt: node files are removed only after the sealed file was read
    back and found complete.

    \b
    Examples:
      hpctrack seal 4711.0
      hpctrack seal --all --project digits
    """
    if not runs and not seal_all:
        raise click.UsageError("name runs, or use --all")
    opened = open_store(store)
    chosen = (
        opened.runs(project=project) if seal_all else [opened.run(r, project=project) for r in runs]
    )
    results = []
    first_error: HpctrackError | None = None
    for run in chosen:
        entry: dict[str, object] = {"id": run.id, "project": run.project}
        try:
            done = seal_run(run.folder, force=force)
            entry |= {"sealed": True, "points": done.points, "node_files": done.node_files}
        except HpctrackError as error:
            entry |= {"sealed": False, "error": error.code, "message": error.message}
            if not (seal_all and isinstance(error, BusyError)):
                first_error = first_error or error
        results.append(entry)
        if not as_json:
            click.echo(_line(entry))
    if as_json:
        print_json({"runs": results})
    if first_error:
        raise first_error


def _line(entry: dict[str, object]) -> str:
    name = f"{entry['project']}/{entry['id']}"
    if not entry["sealed"]:
        return f"{name}: not sealed: {entry['message']}"
    if not entry["node_files"]:
        return f"{name}: is sealed ({entry['points']} points)"
    return f"{name}: sealed {entry['points']} points from {entry['node_files']} node files"
