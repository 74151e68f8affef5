"""``hpctrack sweep status`` and ``best``: how the trials stand, and which won."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.cli.format import make_console
from hpctrack.cli.options import (
    json_option,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.sweep.results_view import print_best, print_status
from hpctrack.sweeps.results.best import find_best
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.sweep import load_sweep


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def status(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Show how the trials of a sweep stand.

    \b
    Examples:
      hpctrack sweep status k3x9a0bq
      hpctrack sweep status k3x9a0bq --json | jq '.trials[] | select(.state == "failed")'
    """
    settings = read_settings(dir=store)
    found = load_sweep(settings.dir, sweep_id, project=project)
    current = read_status(found, stale_after_s=settings.stale_after_s)
    if as_json:
        print_json(current.to_json())
    else:
        print_status(make_console(), current)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def best(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Show the finished trial with the best metric, by the file's `metric`.

    \b
    Examples:
      hpctrack sweep best k3x9a0bq
      hpctrack sweep best k3x9a0bq --json | jq .parameters
    """
    settings = read_settings(dir=store)
    found = load_sweep(settings.dir, sweep_id, project=project)
    winner = find_best(read_status(found, stale_after_s=settings.stale_after_s))
    if as_json:
        print_json(winner.to_json())
    else:
        print_best(make_console(), found, winner)
