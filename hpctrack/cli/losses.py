"""What commands say of runs of which something is missing; nothing of the others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from hpctrack.store.ledger import UNREADABLE, Ledger, list_losses

if TYPE_CHECKING:  # `sync` connects before it loads what reads runs
    from hpctrack.store.stored_run import StoredRun


def tell_losses(*runs: StoredRun) -> None:
    """Say on standard error what of some runs is missing, a line each."""
    for run in {run.folder: run for run in runs}.values():
        for line in describe_run(f"{run.project}/{run.id}", run.ledger):
            click.echo(line, err=True)


def describe_run(name: str, ledger: Ledger) -> Iterable[str]:
    """Return a line with a run's losses and where to read more, or nothing.

    Parameters
    ----------
    name : str
        Project and id.
    ledger : mapping
        A `RunRecord`'s.
    """
    losses = list_losses(ledger)
    if losses:
        command = "verify" if ledger.get(UNREADABLE) else "show"
        yield f"incomplete: {name}: {', '.join(losses)}; `hpctrack {command} {name}` tells more"
