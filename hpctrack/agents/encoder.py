"""Encoding media beside the loop: a large picture takes longer than points may wait."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from hpctrack.agents.session import Session
from hpctrack.errors import HpctrackError
from hpctrack.store.node_file import NewEvent, NodeFile
from hpctrack.store.schema import EventKind, Place

WAITING_MAX_BYTES = 128 * 1024 * 1024
"""Raw bytes that may wait for the encoder; then the loop waits for it, and ranks for the loop."""

SMALL_BYTES = 64 * 1024
"""Encoding less than this takes about as long as handing it to a thread."""


@dataclass(frozen=True, slots=True)
class EncodedMedia:
    """Something that can be written: its description, its bytes, and whose it is."""

    session: Session
    description: dict[str, Any]
    place: Place
    body: bytes
    digest: str


Work = Callable[[], Iterable[tuple[dict[str, Any], Place, bytes]]]


class Encoder:
    """Runs work in order, on one thread, and hands over what is ready."""

    def __init__(self) -> None:
        self._pool: ThreadPoolExecutor | None = None
        self._jobs: deque[tuple[int, Session, Future[list[EncodedMedia]]]] = deque()
        self._collected: list[Session] = []
        self._waiting_bytes = 0
        self.failed = 0
        self.problem = ""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is on its way."""
        return not self._jobs

    @property
    def has_ready(self) -> bool:
        """Whether something can be collected at once."""
        return bool(self._jobs) and self._jobs[0][2].done()

    def submit(self, session: Session, work: Work, size_bytes: int) -> None:
        """Take work; small work is done at once.

        Parameters
        ----------
        session : Session
            Whose it is.
        work : callable
            Returns (description, place, body) for each thing to be written.
        size_bytes : int
            Raw bytes that it holds in memory.

        Notes
        -----
        The session's frames from this one on are not confirmed before `settle`.
        """

        def run() -> list[EncodedMedia]:
            return [
                EncodedMedia(session, told, place, body, hashlib.sha256(body).hexdigest())
                for told, place, body in work()
            ]

        future: Future[list[EncodedMedia]]
        if size_bytes <= SMALL_BYTES and not self._jobs:
            future = Future()
            try:
                future.set_result(run())
            except Exception as error:  # noqa: BLE001 - taken care of in collect
                future.set_exception(error)
        else:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(1, "hpctrack-encode")
            future = self._pool.submit(run)
        self._jobs.append((size_bytes, session, future))
        session.unwritten.begin(session.frames_seen)
        self._waiting_bytes += size_bytes

    def collect(self, *, wait: bool = False) -> list[EncodedMedia]:
        """Return what is ready, in order.

        Parameters
        ----------
        wait : bool
            Wait for everything; else only until no more than `WAITING_MAX_BYTES` are left.
        """
        found: list[EncodedMedia] = []
        while self._jobs:
            size_bytes, session, future = self._jobs[0]
            if not (wait or future.done() or self._waiting_bytes > WAITING_MAX_BYTES):
                break
            try:
                found += future.result()
            except Exception as error:  # noqa: BLE001 - one value is lost, the run goes on
                self.failed += 1
                self.problem = _describe(error)
                if not isinstance(error, (HpctrackError, OSError)):
                    traceback.print_exc()
            self._jobs.popleft()
            self._waiting_bytes -= size_bytes
            session.unwritten.collect()
            self._collected.append(session)
        return found

    def settle(self) -> None:
        """Note that all that was collected is in a file."""
        for session in self._collected:
            session.unwritten.end()
        self._collected.clear()

    def close(self) -> None:
        """End the thread; what was not collected is lost."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None


def write_media(
    file: NodeFile, media: EncodedMedia, payloads: set[str], *, wall_s: float
) -> list[NewEvent]:
    """Write the bytes, unless the file has them; return the events that say what they are.

    Parameters
    ----------
    file : NodeFile
        The file.
    media : EncodedMedia
        What is to be written.
    payloads : set of str
        Digests that the file has; grows.
    wall_s : float
        Now.
    """
    session, size = media.session, len(media.body)
    told = [(EventKind.MEDIA, {**media.description, "digest": media.digest, "size": size})]
    if media.digest not in payloads:
        offset = file.add_bytes(media.body, media.place)
        where = {
            "digest": media.digest, "place": int(media.place), "offset": offset, "size": size,
        }  # fmt: skip
        told.insert(0, (EventKind.PAYLOAD, where))
        payloads.add(media.digest)
    return [
        NewEvent(kind, json.dumps(value).encode(), wall_s, session.rank, session.number)
        for kind, value in told
    ]


def _describe(error: Exception) -> str:
    if isinstance(error, HpctrackError):
        return error.in_a_line()
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
