"""What the user has asked ``hpctrack sync`` for, and one push of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpctrack.cli.sync.destination import Destination
from hpctrack.core.settings import Settings, environment
from hpctrack.scheduler.commands import find_sacct
from hpctrack.sweeps.sync_desk import SweepDesk
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import ProgressCallback, PushResult
from hpctrack.sync.wire.packing import Compress


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the user has asked for.

    Parameters
    ----------
    settings : Settings
        With the store.
    destination : Destination
    runs : tuple of str
        Ids or names; empty for all that the rest does not exclude.
    project : str or None
        Only this one.
    states : tuple of str
        Only runs in one of these; empty for all.
    since_wall_s : float or None
        Only runs that began after this.
    seal, live : bool
        Whether to seal runs that have ended, and to send what live ones have grown by.
    dry_run, for_deletion : bool
    jobs : int
        How many processes seal runs.
    compress : Compress
    bwlimit_bytes_s : float or None
    """

    settings: Settings
    destination: Destination
    runs: tuple[str, ...] = ()
    project: str | None = None
    states: tuple[str, ...] = ()
    since_wall_s: float | None = None
    seal: bool = True
    live: bool = True
    dry_run: bool = False
    for_deletion: bool = False
    jobs: int = 1
    compress: Compress = Compress.AUTO
    bwlimit_bytes_s: float | None = None

    def without_questions(self) -> Order:
        """Return the same, with a connection that asks nobody for anything."""
        there = self.destination
        connect = replace(there.connect, batch=True)
        return replace(self, destination=replace(there, connect=connect))


@dataclass(frozen=True, slots=True)
class Pushed:
    """What came of one push.

    Parameters
    ----------
    result : PushResult
    accounting_problem : str
        Why Slurm could not be asked; empty if it could, or there is none.
    """

    result: PushResult
    accounting_problem: str = ""


def push_once(
    order: Order, on_progress: ProgressCallback, *, runs: Sequence[str] | None = None
) -> Pushed:
    """Ask Slurm what it counted, and push.

    Parameters
    ----------
    order : Order
    on_progress : callable
        See `push`.
    runs : sequence of str, optional
        Instead of the order's.
    """
    chosen = order.runs if runs is None else tuple(runs)
    settings, problem = order.settings, ""
    if settings.sync_accounting and not order.dry_run:
        problem = _ask_slurm(order, chosen)
    result = push(
        settings.dir,
        order.destination.url,
        runs=chosen,
        project=order.project,
        states=order.states,
        since_wall_s=order.since_wall_s,
        seal=order.seal,
        live=order.live,
        dry_run=order.dry_run,
        for_deletion=order.for_deletion,
        jobs=order.jobs,
        compress=order.compress,
        bwlimit_bytes_s=order.bwlimit_bytes_s,
        connect=order.destination.connect,
        stale_after_s=settings.stale_after_s,
        on_progress=on_progress,
        sweeps=SweepDesk(stale_after_s=settings.stale_after_s),
    )
    return Pushed(result, problem)


def _ask_slurm(order: Order, runs: Sequence[str]) -> str:
    """Join what Slurm counted, where there is one; return what went wrong."""
    if find_sacct(environment()) is None:
        return ""
    from hpctrack.cli.sync_accounting import (  # noqa: PLC0415 - 0.1 s that most need not pay
        ask_before_sync,
    )

    return ask_before_sync(order.settings, runs, order.project)
