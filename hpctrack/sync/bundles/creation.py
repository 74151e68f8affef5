"""Making a bundle: a push to a file."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, StoreError, StoreFullError, SyncError, UsageError
from hpctrack.store.store import Store
from hpctrack.sync.bundles.layout import BundleWriter
from hpctrack.sync.bundles.recording import Recording
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.sending.push_result import (
    Progress,
    ProgressCallback,
    PushResult,
    ignore_progress,
)
from hpctrack.sync.sending.sender import Sender
from hpctrack.sync.sending.survey import Survey, Wanted, choose_runs
from hpctrack.sync.wire.packing import Compress


def create_bundle(
    store: str | os.PathLike[str],
    file: BinaryIO,
    *,
    name: str,
    runs: Sequence[str] = (),
    project: str | None = None,
    states: Sequence[str] = (),
    since_wall_s: float | None = None,
    seal: bool = True,
    live: bool = True,
    compress: Compress = Compress.ON,
    stale_after_s: float = 60.0,
    clock: Clock = SYSTEM_CLOCK,
    on_progress: ProgressCallback = ignore_progress,
) -> PushResult:
    """Write everything that is chosen into a bundle.

    Parameters
    ----------
    store : path
        The store.
    file : binary file
        Written from its beginning; need not be seekable.
    name : str
        What people call it.
    runs, project, states, since_wall_s, seal, live, stale_after_s, clock, on_progress
        See `push`.
    compress : Compress, optional
        The room on the disk usually matters more than the time.

    Returns
    -------
    PushResult
        What went into it. What was skipped is in it too.

    Raises
    ------
    NotFoundError, UsageError
        The store or a run cannot be used.
    StoreError
        The file cannot be written.
    """
    opened = Store(store, clock=clock, stale_after_s=stale_after_s)
    choice = choose_runs(opened, runs, project, states=states, since_wall_s=since_wall_s)
    started_mono_s = clock.mono_s()
    wanted = Wanted(
        seal=seal,
        live=live,
        dry_run=False,
        stale_after_s=stale_after_s,
        clock=clock,
        on_run=lambda run: on_progress(Progress("read", run)),
    )
    cache = HashCache(opened.path)
    writer = BundleWriter(file)
    peer = Recording(writer, name)
    sender = Sender(peer, cache, clock, compress=compress, on_progress=on_progress)
    try:
        writer.begin()
        results = sender.transfer(Survey(opened.path, choice, wanted, cache).iter_chunks())
        writer.finish(peer.items)
    except (SyncError, OSError) as error:
        raise _explain(name, peer.problem or error) from None
    finally:
        cache.save()
    return PushResult(
        remote=name,
        items=tuple(sorted(results, key=lambda one: one.key)),
        size_bytes=sender.sent_bytes,
        wire_bytes=writer.size_bytes,
        duration_s=clock.mono_s() - started_mono_s,
    )


def _explain(name: str, error: Exception) -> HpctrackError:
    if isinstance(error, HpctrackError) or not isinstance(error, OSError):
        raise error
    kind = StoreFullError if error.errno in {errno.ENOSPC, errno.EDQUOT} else StoreError
    return kind(f"{name} cannot be written: {error.strerror or error}")


@contextmanager
def opened_for_bundle(path: Path) -> Iterator[BinaryIO]:
    """Open a file that gets its name when it is whole, and is gone if something fails.

    Raises
    ------
    UsageError
        There is a file of that name.
    StoreError, StoreFullError
        It cannot be written.
    """
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already", hint="remove it, or take another name")
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with scratch.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Not replace(): should somebody have made one meanwhile, theirs stays.
        _give_name(scratch, path)
    except OSError as error:
        raise _explain(str(path), error) from None
    finally:
        scratch.unlink(missing_ok=True)


def _give_name(scratch: Path, path: Path) -> None:
    try:
        os.link(scratch, path)
    except FileExistsError:
        raise
    except OSError:
        scratch.replace(path)  # a file system without links, as on most sticks
