"""The sending side: one connection, one question, and then only what is missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.store import Store
from hpctrack.sync.carriers.choice import open_transport
from hpctrack.sync.carriers.remote import LocalRemote, parse_remote
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.gather import Gathered, choose_runs, gather
from hpctrack.sync.sending.push_result import (
    ItemResult,
    Progress,
    ProgressCallback,
    PushResult,
    Status,
    ignore_progress,
)
from hpctrack.sync.sending.sender import Sender
from hpctrack.sync.wire.messages import ACCOUNTING_VERSION, ItemKind


def push(
    store: str | os.PathLike[str],
    remote: str,
    *,
    runs: Sequence[str] = (),
    project: str | None = None,
    seal: bool = True,
    dry_run: bool = False,
    connect: ConnectOptions | None = None,
    stale_after_s: float = 60.0,
    clock: Clock = SYSTEM_CLOCK,
    on_progress: ProgressCallback = ignore_progress,
) -> PushResult:
    """Send what another store does not have.

    Can be repeated at any time; a transfer that was cut off leaves nothing half done.

    Parameters
    ----------
    store : path
        This side's store.
    remote : str
        ``ssh://[user@]host[:port]/path``, or the path of a store of this machine.
    runs : sequence of str, optional
        Ids or names; default all.
    project : str, optional
        Only this one.
    seal : bool, optional
        Seal runs that have ended; otherwise they are left out.
    dry_run : bool, optional
        Find out what would be sent; change nothing but the caches of hashes.
    connect : ConnectOptions, optional
        Keys, known hosts, the command to run there.
    stale_after_s : float, optional
        A live run that is silent for so long, by the clock, has ended.
    on_progress : callable, optional
        Told a `Progress` before each piece of work.

    Returns
    -------
    PushResult
        What became of each run. Runs that the other side refused are in it, not raised.

    Raises
    ------
    NotFoundError, UsageError
        The store, a run, or the remote cannot be used.
    ConnectError, HostKeyError, AuthError
        The other side cannot be reached, trusted, or does not let us in.
    ProtocolError, RefusedError
        It does not understand us, or refuses the whole push.
    SyncError
        The connection was lost; the next push goes on from there.
    """
    where = parse_remote(remote)
    opened = Store(store, clock=clock, stale_after_s=stale_after_s)
    if isinstance(where, LocalRemote) and where.path.exists() and where.path.samefile(opened.path):
        raise UsageError(f"{where} is this very store")
    choice = choose_runs(opened, runs, project)
    started_mono_s = clock.mono_s()
    on_progress(Progress("connect", str(where)))
    with closing(open_transport(where, connect or ConnectOptions())) as transport:
        sender = Sender(transport, on_progress)
        gathered = gather(
            opened.path,
            choice,
            seal=seal,
            dry_run=dry_run,
            accounting=sender.begin() >= ACCOUNTING_VERSION,
            stale_after_s=stale_after_s,
            clock=clock,
            on_run=lambda name: on_progress(Progress("read", name)),
        )
        results = _transfer(sender, gathered, dry_run=dry_run)
    return PushResult(
        remote=str(where),
        items=tuple(_add_ledger(opened, one) for one in sorted(results, key=lambda one: one.key)),
        size_bytes=sender.sent_bytes,
        duration_s=clock.mono_s() - started_mono_s,
    )


def _transfer(sender: Sender, gathered: Gathered, *, dry_run: bool) -> list[ItemResult]:
    """Ask, send what is missing, and return what became of everything."""
    plan = sender.ask(gathered)
    if dry_run:
        results = [ItemResult.of(item, Status.WOULD_SEND) for item in plan.send]
    else:
        results = sender.send(gathered, plan)
    sender.end()
    results += [ItemResult.of(item, Status.PRESENT) for item in plan.present]
    return results + [ItemResult.of_left(one) for one in gathered.left]


def _add_ledger(store: Store, one: ItemResult) -> ItemResult:
    """Say what is missing of a run that went, or would; of the others nobody has to look."""
    is_news = one.status in {Status.SENT, Status.REPLACED, Status.WOULD_SEND}
    if one.key.kind != ItemKind.RUN or not is_news:
        return one
    try:
        run = store.run(one.key.id, project=one.key.project)
        with closing(run):
            return replace(one, ledger=run.ledger)
    except (HpctrackError, OSError):
        return one  # it went all the same
