"""A sender and a receiver in one process, over a socket that remembers, or breaks, what passes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError, SyncError
from hpctrack.store.annotation_file import fold_annotations
from hpctrack.store.store import Store
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.carriers.transport import Transport
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.receive import Receiver
from hpctrack.sync.sending.push_result import ItemResult, ignore_progress
from hpctrack.sync.sending.sender import Sender
from hpctrack.sync.sending.survey import Survey, Wanted, choose_runs
from hpctrack.sync.wire.byte_stream import ByteStream
from hpctrack.sync.wire.messages import Key
from hpctrack.sync.wire.packing import Compress

JOIN_TIMEOUT_S = 180.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a connection breaks.

    Parameters
    ----------
    sent_bytes, got_bytes : int or None
        So many pass from the sender, or to it, and not one more.
    """

    sent_bytes: int | None = None
    got_bytes: int | None = None


class Tap:
    """A transport over another stream that keeps what passes, and may be cut.

    Parameters
    ----------
    stream : ByteStream
    end : callable
        Called when the connection ends, in peace or not.
    cut : Cut
    """

    peer, carrier, reason = "the other side", "socket", ""

    def __init__(self, stream: ByteStream, end: Callable[[], None], cut: Cut | None = None) -> None:
        self.sent, self.got = bytearray(), bytearray()
        self._stream, self._end, self._cut = stream, end, cut or Cut()

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        left = self._left(self._cut.got_bytes, self.got)
        if not left:
            self._end()
            return b""
        data = self._stream.read(min(max_bytes, left), timeout_s=timeout_s)
        self.got += data
        return data

    def poll(self, timeout_s: float) -> bool:
        return not self._left(self._cut.got_bytes, self.got) or self._stream.poll(timeout_s)

    def write(self, data: bytes) -> None:
        left = self._left(self._cut.sent_bytes, self.sent)
        self.sent += data[:left]
        self._stream.write(data[:left])
        if left < len(data):
            self._end()
            raise BrokenPipeError

    def read_stderr(self) -> str:
        return ""

    def wait(self, timeout_s: float) -> int | None:
        del timeout_s
        return None

    def close(self) -> None:
        self._end()

    def _left(self, limit: int | None, passed: bytearray) -> int:
        return 1 << 62 if limit is None else limit - len(passed)


class InProcess:
    """A receiver in a thread.

    Attributes
    ----------
    error : HpctrackError or None
        How it ended, if not in peace.
    crash : BaseException or None
        What must not happen: an exception that is none of ours.
    """

    def __init__(
        self, store: Path, *, policy: Policy | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.error: HpctrackError | None = None
        self.crash: BaseException | None = None
        self.mine, self._theirs = socket.socketpair()
        stream = FdStream(self._theirs.fileno(), self._theirs.fileno())
        self._receiver = Receiver(store, stream, policy=policy, clock=clock)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._theirs:
            try:
                self._receiver.serve()
            except HpctrackError as error:
                self.error = error
            except BaseException as error:  # noqa: BLE001 - told by whoever looks at it
                self.crash = error

    def join(self) -> None:
        self._thread.join(JOIN_TIMEOUT_S)
        assert not self._thread.is_alive(), "the receiver hangs"
        if self.crash is not None:
            raise AssertionError("the receiver has crashed") from self.crash


@contextmanager
def link(
    store: Path,
    cut: Cut | None = None,
    *,
    policy: Policy | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> Iterator[Tap]:
    """Connect to a store of this process; leaving waits for the receiver's end."""
    receiver = InProcess(store, policy=policy, clock=clock)
    stream = FdStream(receiver.mine.fileno(), receiver.mine.fileno())

    def end() -> None:
        with suppress(OSError):  # the other side was quicker
            receiver.mine.shutdown(socket.SHUT_RDWR)

    with receiver.mine:
        tap = Tap(stream, end, cut)
        try:
            yield tap
        finally:
            tap.close()
            receiver.join()


def push_over(
    store: Path,
    tap: Transport,
    *,
    clock: Clock = SYSTEM_CLOCK,
    compress: Compress = Compress.OFF,
    runs: Sequence[str] = (),
    seal: bool = True,
) -> list[ItemResult]:
    """Push a store as `hpctrack.sync.sending.push.push` does, over a connection that is there."""
    opened = Store(store, clock=clock)
    wanted = Wanted(
        seal=seal,
        live=True,
        dry_run=False,
        stale_after_s=60.0,
        clock=clock,
        on_run=lambda _name: None,
    )
    cache = HashCache(store)

    def fold(key: Key, theirs: str) -> None:
        with suppress(HpctrackError, OSError):
            fold_annotations(store, key.project, key.id, theirs.encode())

    sender = Sender(
        tap,
        cache,
        clock,
        compress=compress,
        on_progress=ignore_progress,
        on_annotations=fold,
    )
    survey = Survey(store, choose_runs(opened, runs, None), wanted, cache)
    try:
        return sender.transfer(survey.iter_chunks())
    finally:
        cache.save()


def push_in_process(
    store: Path,
    target: Path,
    *,
    cut: Cut | None = None,
    clock: Clock = SYSTEM_CLOCK,
    compress: Compress = Compress.OFF,
) -> tuple[Tap, list[ItemResult] | None]:
    """Push once; the results are None if the connection broke before they were all there."""
    with link(target, cut) as tap:
        try:
            return tap, push_over(store, tap, clock=clock, compress=compress)
        except SyncError:
            return tap, None
