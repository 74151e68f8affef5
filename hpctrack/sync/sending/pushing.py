"""A push of a store's runs over a connection that is being made."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from hpctrack.errors import HpctrackError, UsageError
from hpctrack.store.annotation_file import fold_annotations
from hpctrack.sync.carriers.choice import PendingTransport
from hpctrack.sync.carriers.remote import LocalRemote, Remote
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.sending.ahead import Ahead
from hpctrack.sync.sending.lazy_store import LazyStore
from hpctrack.sync.sending.push_result import ItemResult, ProgressCallback, PushResult, Status
from hpctrack.sync.sending.sender import Sender
from hpctrack.sync.sending.survey import Choice, Survey, Wanted, choose_runs
from hpctrack.sync.sending.sweep_news import SweepNews
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.packing import Compress

LEDGERS_MAX = 50
"""Of so many runs that went it is said what they lack; opening each takes a millisecond."""


class Pushing:
    """One push.

    Parameters
    ----------
    store : path
        This side's store.
    remote : Remote
        The other one.
    wanted : Wanted
        How runs are looked at.

    Raises
    ------
    NotFoundError, UsageError
        There is no such store, or it is the other one.
    """

    def __init__(self, store: str | os.PathLike[str], remote: Remote, wanted: Wanted) -> None:
        self._remote = remote
        self._wanted = wanted
        self._store = LazyStore(store, wanted.clock, wanted.stale_after_s)
        self._choice = Choice(runs=(), projects=(), is_everything=False)
        self._started_mono_s = wanted.clock.mono_s()
        if _is_same(remote, self._store.path):
            raise UsageError(f"{remote} is this very store")

    def choose(
        self,
        runs: Sequence[str],
        project: str | None,
        *,
        states: Sequence[str],
        since_wall_s: float | None,
    ) -> None:
        """Find the runs that are meant; see `choose_runs`."""
        self._choice = choose_runs(
            self._store, runs, project, states=states, since_wall_s=since_wall_s
        )

    def run(
        self, pending: PendingTransport, compress: Compress, on_progress: ProgressCallback
    ) -> PushResult:
        """Look at the runs while the connection is made, and push them over it.

        Raises
        ------
        HpctrackError
            See `hpctrack.sync.sending.push.push`.
        """
        path, cache = self._store.path, HashCache(self._store.path)
        news = SweepNews(path, self._wanted.sweeps, cache)
        survey = Ahead(Survey(path, self._choice, self._wanted, cache).iter_chunks)
        with survey:
            sender = Sender(
                pending.result(),
                cache,
                self._wanted.clock,
                compress=compress,
                stale_after_s=self._wanted.stale_after_s,
                on_progress=on_progress,
                on_annotations=lambda key, theirs: _fold(path, key, theirs),
                on_request=news.note,
            )
            try:
                results = sender.transfer(
                    iter(survey), dry_run=self._wanted.dry_run, afterwards=news.act
                )
            finally:
                cache.save()
        ordered = sorted(results, key=lambda one: one.key)
        return PushResult(
            remote=str(self._remote),
            items=tuple(_add_ledgers(self._store, ordered)),
            size_bytes=sender.sent_bytes,
            wire_bytes=sender.wire_bytes,
            duration_s=self._wanted.clock.mono_s() - self._started_mono_s,
        )


def _is_same(remote: Remote, path: Path) -> bool:
    return isinstance(remote, LocalRemote) and remote.path.exists() and remote.path.samefile(path)


def _fold(store: Path, key: Key, theirs: str) -> None:
    """Take over what people have said of a run on the other side; the run goes all the same."""
    with suppress(HpctrackError, OSError):
        fold_annotations(store, key.project, key.id, theirs.encode())


def _add_ledgers(store: LazyStore, results: Sequence[ItemResult]) -> Iterator[ItemResult]:
    """Say what is missing of runs that went, or would; of the others nobody has to look."""
    left = LEDGERS_MAX
    for one in results:
        is_news = one.status in {Status.SENT, Status.REPLACED, Status.WOULD_SEND}
        if one.key.kind == ItemKind.RUN and is_news and left:
            left -= 1
            yield _add_ledger(store, one)
        else:
            yield one


def _add_ledger(store: LazyStore, one: ItemResult) -> ItemResult:
    try:
        run = store.run(one.key.id, project=one.key.project)
        with closing(run):
            return replace(one, ledger=run.ledger)
    except (HpctrackError, OSError):
        return one  # it went all the same
