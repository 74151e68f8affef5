"""What commands say of runs that cannot be read at all."""

from __future__ import annotations

from collections.abc import Iterable

import click

from hpctrack.core.names import clean
from hpctrack.store.store import BrokenRun


def tell_broken(broken: Iterable[BrokenRun]) -> None:
    """Name them on standard error, and say why, a line each."""
    for run, error in broken:
        click.echo(clean(f"broken: {run.project}/{run.id}: {error.message}"), err=True)


def describe_broken(broken: Iterable[BrokenRun]) -> list[dict[str, str]]:
    """Return them JSON-able."""
    return [{"id": run.id, "project": run.project, "error": error.message} for run, error in broken]
