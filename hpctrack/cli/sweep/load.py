"""The sweep that a command names."""

from __future__ import annotations

from pathlib import Path

from hpctrack.cli.options import read_settings
from hpctrack.sweeps.results.status import SweepReader
from hpctrack.sweeps.results.trial_status import SweepStatus
from hpctrack.sweeps.sweep import load_sweep


def open_reader(sweep_id: str, store: Path | None, project: str | None) -> SweepReader:
    """Find a sweep; its state is read when the reader is asked.

    Raises
    ------
    NotFoundError, UsageError
        There is none, or several are meant.
    """
    settings = read_settings(dir=store)
    found = load_sweep(settings.dir, sweep_id, project=project)
    return SweepReader(found, stale_after_s=settings.stale_after_s)


def load_status(sweep_id: str, store: Path | None, project: str | None) -> SweepStatus:
    """Return how a sweep stands."""
    return open_reader(sweep_id, store, project).read()
