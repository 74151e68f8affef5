"""The sending side: one connection, one question, and then only what is missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sync.carriers.choice import PendingTransport
from hpctrack.sync.carriers.remote import parse_remote
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.ahead import interrupted_afterwards
from hpctrack.sync.sending.push_result import (
    Progress,
    ProgressCallback,
    PushResult,
    ignore_progress,
)
from hpctrack.sync.sending.sweep_news import SweepOwner
from hpctrack.sync.wire.packing import Compress


def push(
    store: str | os.PathLike[str],
    remote: str,
    *,
    runs: Sequence[str] = (),
    project: str | None = None,
    states: Sequence[str] = (),
    since_wall_s: float | None = None,
    seal: bool = True,
    live: bool = True,
    dry_run: bool = False,
    jobs: int = 1,
    for_deletion: bool = False,
    compress: Compress = Compress.AUTO,
    bwlimit_bytes_s: float | None = None,
    connect: ConnectOptions | None = None,
    stale_after_s: float = 60.0,
    clock: Clock = SYSTEM_CLOCK,
    on_progress: ProgressCallback = ignore_progress,
    sweeps: SweepOwner | None = None,
) -> PushResult:
    """Send what another store does not have.

    Can be repeated at any time; one that was cut off leaves nothing half done.

    Parameters
    ----------
    store : path
        This side's store.
    remote : str
        ``ssh://[user@]host[:port]/path``, or the path of a store of this machine.
    runs, states, project, since_wall_s : optional
        Only runs with these ids or names, in one of these states, of this project, or that have
        begun or ended since then; default all.
    seal, live : bool, optional
        Seal runs that have ended, else they go row by row; send what is new of those that go on.
    dry_run, jobs : bool, int, optional
        Only find out what would be sent; how many processes seal runs, 1 is this one.
    for_deletion : bool, optional
        Find out which runs the other side has in files of its own.
    compress, bwlimit_bytes_s : optional
        Whether to compress, AUTO measures what is quicker; bytes per second that go at most.
    connect : ConnectOptions, optional
        Keys, known hosts, the command to run there.
    stale_after_s : float, optional
        A live run that is silent for so long, by the clock, has ended.
    on_progress : callable, optional
        Told a `Progress` before each piece of work; on another thread while runs are read.
    sweeps : SweepOwner, optional
        Says how sweeps stand, and does what was asked of them there.

    Returns
    -------
    PushResult
        What became of each run. Runs that the other side refused are in it, not raised.

    Raises
    ------
    NotFoundError, UsageError
        The store, a run, or the remote cannot be used.
    SyncError
        `ConnectError`, `HostKeyError`, `AuthError`, `ProtocolError` or `RefusedError`, by cause;
        or the connection was lost, and the next push goes on from there.
    """
    where = parse_remote(remote)
    on_progress(Progress("connect", str(where)))
    options = connect or ConnectOptions()
    # What reads runs takes a while to load, and so does a connection: both at once.
    opening = PendingTransport(where, options, bwlimit_bytes_s=bwlimit_bytes_s, clock=clock)
    with closing(opening) as pending:
        with interrupted_afterwards():
            from hpctrack.sync.sending import pushing, survey  # noqa: PLC0415 - see above
        wanted = survey.Wanted(
            seal=seal, live=live, dry_run=dry_run, stale_after_s=stale_after_s, jobs=jobs,
            on_run=lambda name: on_progress(Progress("read", name)), clock=clock,
            for_deletion=for_deletion, sweeps=sweeps,
        )  # fmt: skip
        work = pushing.Pushing(store, where, wanted)
        work.choose(runs, project, states=states, since_wall_s=since_wall_s)
        return work.run(pending, compress, on_progress)
