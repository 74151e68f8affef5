"""The sending side: one connection, one question, and then only what is missing."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.annotation_file import fold_annotations
from hpctrack.store.store import Store
from hpctrack.sync.carriers.choice import PendingTransport, open_transport
from hpctrack.sync.carriers.remote import LocalRemote, parse_remote
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.sending.candidates import Chunk
from hpctrack.sync.sending.push_result import (
    ItemResult,
    Progress,
    ProgressCallback,
    PushResult,
    Status,
    ignore_progress,
)
from hpctrack.sync.sending.sender import Sender
from hpctrack.sync.sending.survey import Survey, Wanted, choose_runs
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.packing import Compress

CHUNKS_AHEAD = 2
"""What is looked at before the other side has heard of what was looked at before."""

LEDGERS_MAX = 50
"""Of so many runs that went it is said what they lack; opening each takes a millisecond."""


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
    compress: Compress = Compress.AUTO,
    bwlimit_bytes_s: float | None = None,
    connect: ConnectOptions | None = None,
    opening: PendingTransport | None = None,
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
    states : sequence of str, optional
        Only runs in one of these states.
    since_wall_s : float, optional
        Only runs that have begun or ended since, UTC seconds.
    seal : bool, optional
        Seal runs that have ended; otherwise they go row by row, as if they went on.
    live : bool, optional
        Send what is new of runs that are going on.
    dry_run : bool, optional
        Find out what would be sent; change nothing but the caches of hashes.
    jobs : int, optional
        How many processes seal runs at a time; 1 is this one.
    compress : Compress, optional
        Whether to compress; AUTO measures what is quicker.
    bwlimit_bytes_s : float, optional
        Bytes per second that are sent at most.
    connect : ConnectOptions, optional
        Keys, known hosts, the command to run there.
    opening : PendingTransport, optional
        A connection to it that is being made already, with these options; it is used up.
    stale_after_s : float, optional
        A live run that is silent for so long, by the clock, has ended.
    on_progress : callable, optional
        Told a `Progress` before each piece of work; on another thread while runs are read.

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
    started_mono_s = clock.mono_s()
    where = parse_remote(remote)
    opened = Store(store, clock=clock, stale_after_s=stale_after_s)
    if isinstance(where, LocalRemote) and where.path.exists() and where.path.samefile(opened.path):
        raise UsageError(f"{where} is this very store")
    choice = choose_runs(opened, runs, project, states=states, since_wall_s=since_wall_s)
    on_progress(Progress("connect", str(where)))
    wanted = Wanted(
        seal=seal,
        live=live,
        dry_run=dry_run,
        stale_after_s=stale_after_s,
        clock=clock,
        on_run=lambda name: on_progress(Progress("read", name)),
        jobs=jobs,
    )
    cache = HashCache(opened.path)
    # The store is looked at while the connection is made.
    survey = _Ahead(Survey(opened.path, choice, wanted, cache).iter_chunks)
    options = connect or ConnectOptions()
    with (
        survey,
        closing(
            open_transport(where, options, bwlimit_bytes_s=bwlimit_bytes_s, clock=clock)
            if opening is None
            else opening.result()
        ) as transport,
    ):
        sender = Sender(
            transport,
            cache,
            clock,
            compress=compress,
            on_progress=on_progress,
            on_annotations=lambda key, theirs: _fold(opened.path, key, theirs),
        )
        try:
            results = sender.transfer(iter(survey), dry_run=dry_run)
        finally:
            cache.save()
    return PushResult(
        remote=str(where),
        items=tuple(_add_ledgers(opened, sorted(results, key=lambda one: one.key))),
        size_bytes=sender.sent_bytes,
        wire_bytes=sender.wire_bytes,
        duration_s=clock.mono_s() - started_mono_s,
    )


def _fold(store: Path, key: Key, theirs: str) -> None:
    """Take over what people have said of a run on the other side; the run goes all the same."""
    with suppress(HpctrackError, OSError):
        fold_annotations(store, key.project, key.id, theirs.encode())


class _Ahead:
    """Iterates on a thread of its own, some steps ahead of who takes the things."""

    def __init__(self, make: Callable[[], Iterator[Chunk]]) -> None:
        self._make = make
        self._things: queue.Queue[Chunk | BaseException | None] = queue.Queue(CHUNKS_AHEAD)
        self._is_left = threading.Event()
        self._thread = threading.Thread(target=self._work, name="survey", daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_error: object) -> None:
        self._is_left.set()
        while self._thread.is_alive():
            try:
                self._things.get(timeout=0.05)
            except queue.Empty:
                continue

    def __iter__(self) -> Iterator[Chunk]:
        while (thing := self._things.get()) is not None:
            if isinstance(thing, BaseException):
                raise thing
            yield thing

    def _work(self) -> None:
        try:
            for thing in self._make():
                self._things.put(thing)
                if self._is_left.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised again where it is taken
            self._things.put(error)
        finally:
            self._things.put(None)


def _add_ledgers(store: Store, results: Sequence[ItemResult]) -> Iterator[ItemResult]:
    """Say what is missing of runs that went, or would; of the others nobody has to look."""
    left = LEDGERS_MAX
    for one in results:
        is_news = one.status in {Status.SENT, Status.REPLACED, Status.WOULD_SEND}
        if one.key.kind == ItemKind.RUN and is_news and left:
            left -= 1
            yield _add_ledger(store, one)
        else:
            yield one


def _add_ledger(store: Store, one: ItemResult) -> ItemResult:
    try:
        run = store.run(one.key.id, project=one.key.project)
        with closing(run):
            return replace(one, ledger=run.ledger)
    except (HpctrackError, OSError):
        return one  # it went all the same
