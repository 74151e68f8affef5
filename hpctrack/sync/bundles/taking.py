"""Taking a bundle into a store: an ordinary receiver, and a sender that reads from the file."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import StoreFormatError
from hpctrack.sync.bundles.inspection import count_good, inspect_bundle
from hpctrack.sync.bundles.layout import IndexItem
from hpctrack.sync.bundles.replay import ANSWER_TIMEOUT_S, Replay
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.receiving.receive import Receiver
from hpctrack.sync.sending.push_result import (
    Progress,
    ProgressCallback,
    PushResult,
    ignore_progress,
)
from hpctrack.sync.wire.conversation import Conversation


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of an import.

    Parameters
    ----------
    result : PushResult
    problem : str
        What is wrong with the bundle, if anything is; what is whole of it was taken.
    """

    result: PushResult
    problem: str


def import_bundle(
    file: BinaryIO,
    store: Path,
    *,
    name: str,
    is_partial: bool = False,
    clock: Clock = SYSTEM_CLOCK,
    on_progress: ProgressCallback = ignore_progress,
) -> Imported:
    """Take what a store does not have out of a bundle.

    Parameters
    ----------
    file : binary file
        At its beginning. One that is seekable is read twice: nothing is taken out of a bundle
        that is not whole.
    store : Path
        Made if its parent is there.
    name : str
        What people call the bundle.
    is_partial : bool, optional
        Take what is whole out of one that is not.
    clock, on_progress
        See `push`.

    Returns
    -------
    Imported
        What became of each thing in it. What was refused is in it, not raised.

    Raises
    ------
    StoreFormatError
        It is no bundle, or not whole.
    ProtocolError
        A newer hpctrack made it.
    RefusedError
        The store cannot be used.
    """
    started_mono_s = clock.mono_s()
    items: Sequence[IndexItem] = ()
    total_bytes = 0
    if file.seekable():
        found = inspect_bundle(file, name)
        file.seek(0)
        if found.problem and not is_partial:
            good = count_good(file, name)
            raise StoreFormatError(
                f"{name} is not whole: {found.problem}; of at least {good.known} things in it"
                f" {good.whole} are",
                hint="copy it once more, or take what is whole: --partial",
            )
        items, total_bytes = found.items, found.size_bytes
    with _Receiving(store, clock) as receiving:
        replay = Replay(receiving.talk, items, lambda done: _tell(on_progress, done, total_bytes))
        try:
            replay.run(file, name)
        except (EOFError, ConnectionError, TimeoutError):
            raise receiving.explain() from None
    result = PushResult(
        remote=str(store),
        items=tuple(sorted(replay.results, key=lambda one: one.key)),
        size_bytes=replay.sent_bytes,
        wire_bytes=replay.read_bytes,
        duration_s=clock.mono_s() - started_mono_s,
    )
    return Imported(result, replay.problem)


def _tell(on_progress: ProgressCallback, done_bytes: int, total_bytes: int) -> None:
    on_progress(Progress("send", "", done_bytes, total_bytes))


class _Receiving:
    """A receiver on a thread of its own, and the conversation with it."""

    def __init__(self, store: Path, clock: Clock) -> None:
        self._mine, self._theirs = socket.socketpair()
        stream = FdStream(self._mine.fileno(), self._mine.fileno())
        self.talk = Conversation(stream, timeout_s=ANSWER_TIMEOUT_S)
        self._receiver = Receiver(
            store, FdStream(self._theirs.fileno(), self._theirs.fileno()), clock=clock
        )
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._serve, name="receive", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._mine.close()
        self._thread.join()

    def explain(self) -> Exception:
        """Return why the receiver has ended."""
        self._mine.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        return self._error or StoreFormatError("the store could not take the bundle")

    def _serve(self) -> None:
        with self._theirs:
            try:
                self._receiver.serve()
            except Exception as error:  # noqa: BLE001 - raised again by who waits for it
                self._error = error
