"""What the overview of a run tells beyond its record."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.store.accounting_file import read_accounting
from hpctrack.store.energy import Energy
from hpctrack.store.stored_run import StoredRun
from hpctrack.store.usage import Usage, measure_usage
from hpctrack_server.data.entries import make_plain_text
from hpctrack_server.data.provider import DataProvider
from hpctrack_server.data.run.attempts import Attempt, find_attempts

CARBON = "WORLD"
"""What a kilowatt-hour stands for unless the reader says where the machine is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What the overview tells.

    Parameters
    ----------
    attempts : tuple of Attempt
    provenance : dict
        As `StoredRun.provenance`; empty if nothing was recorded.
    accounting : dict or None
        As `StoredRun.accounting`.
    synced_wall_s : float or None
        Of a run of another machine: when it was looked at last.
    edited : dict
        Who has edited what, as JSON.
    problems : tuple of str
        Parts that cannot be read, and why; the others are there all the same.
    """

    attempts: tuple[Attempt, ...] = ()
    provenance: dict[str, Any] = field(default_factory=dict)
    accounting: dict[str, Any] | None = None
    synced_wall_s: float | None = None
    edited: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()


def read_details(provider: DataProvider, project: str, run_id: str) -> Details:
    """Return what the overview tells; what cannot be read is named, not raised.

    Raises
    ------
    HpctrackError
        There is no such run, or nothing of it can be read.
    """
    problems: list[str] = []
    with provider.open_run(project, run_id) as (run, frame):
        provenance: dict[str, Any] = {}
        with _noting(problems, "what the run was made of"):
            provenance = make_plain_text(run.provenance)
        accounting = read_accounting(run.folder)
        attempts: tuple[Attempt, ...] = ()
        with _noting(problems, "its attempts"):
            attempts = find_attempts(
                run.sources(),
                frame.record,
                accounting=accounting,
                scheduler=provenance.get("scheduler"),
                is_live=frame.is_live,
            )
        edited: dict[str, Any] = {}
        with _noting(problems, "what people have said of it"):
            edited = {key: one.to_json() for key, one in run.annotations.entries.items()}
        return Details(
            attempts=attempts,
            provenance=provenance,
            accounting=make_plain_text(accounting),
            synced_wall_s=run.synced_wall_s,
            edited=make_plain_text(edited),
            problems=tuple(problems),
        )


def read_provenance(provider: DataProvider, project: str, run_id: str) -> dict[str, Any]:
    """Return what a run was made of; empty if nothing was recorded.

    Raises
    ------
    HpctrackError
        There is no such run, or it cannot be read.
    """
    with provider.open_run(project, run_id) as (run, _frame):
        return dict(make_plain_text(run.provenance))


def measure_run(
    provider: DataProvider, project: str, run_id: str, *, carbon: str = CARBON
) -> tuple[Usage, Energy | None]:
    """Return what was measured of a run; reads all samples of a dozen sensors.

    Notes
    -----
    For the thread for numbers: it has an own view of the run's files.

    Raises
    ------
    HpctrackError
        There is no such run, it cannot be read, or no such country is known.
    """
    run = provider.own_run(project, run_id)
    try:
        return _measure(run, carbon)
    finally:
        run.close()


def _measure(run: StoredRun, carbon: str) -> tuple[Usage, Energy | None]:
    if not run.sensors():
        return Usage(), None
    usage = measure_usage(run.sensor)
    try:
        return usage, run.energy(intensity=carbon)
    except NotFoundError:
        return usage, None


@contextlib.contextmanager
def _noting(problems: list[str], what: str) -> Iterator[None]:
    """Note what cannot be read instead of raising it: one damaged part hides no other."""
    try:
        yield
    except (HpctrackError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = error.message if isinstance(error, HpctrackError) else str(error)
        problems.append(f"{what} cannot be read: {message}")
