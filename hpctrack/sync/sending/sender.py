"""The sender's half of the conversation: offer, hear what is wanted, send it, hear what became."""

from __future__ import annotations

import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hpctrack.core import __version__
from hpctrack.core.clock import Clock
from hpctrack.errors import HpctrackError, ProtocolError
from hpctrack.sync.carriers.transport import Transport
from hpctrack.sync.files.inventory import HashCache, identify
from hpctrack.sync.sending.candidates import Candidate, Chunk
from hpctrack.sync.sending.explain import ANSWER_TIMEOUT_S, GREETING_TIMEOUT_S, Explainer
from hpctrack.sync.sending.outgoing import hash_path, send_file, send_rows
from hpctrack.sync.sending.push_result import ItemResult, Progress, ProgressCallback, Status
from hpctrack.sync.sending.tails import TailReader
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import (
    Answer,
    Done,
    Error,
    Hello,
    ItemKind,
    Key,
    Message,
    Offer,
    Outcome,
    Result,
    Results,
    Wish,
)
from hpctrack.sync.wire.packing import ZSTD, Compress, can_pack
from hpctrack.sync.wire.protocol import negotiate

OFFERS_AHEAD = 16
"""Offers that are not answered yet: what is wanted of them is held in memory, on both sides."""

OnAnnotations = Callable[[Key, str], None]
OnRequest = Callable[[Key, str], None]

Waiting = tuple[int, Candidate, Mapping[str, Any]]
"""The number of an item that is wanted, the item, and what the other side said about it."""


@dataclass(slots=True)
class _Open:
    """Something that was sent, how many answers are due, and whether it has failed already."""

    candidate: Candidate
    left: int = 1
    has_failed: bool = False


class Sender:
    """One transfer to a receiver.

    Parameters
    ----------
    transport : Transport
        To a ``hpctrack receive`` that has just been started.
    cache : HashCache
        Of this side's store.
    clock : Clock
    compress : Compress
        Whether to compress.
    stale_after_s : float
        A node file that is silent for so long is not written any more.
    on_progress : callable
        Told how far it is.
    on_annotations : callable
        Told what people have written about a run on the other side.
    on_request : callable
        Told what was asked of a sweep on the other side.

    Attributes
    ----------
    sent_bytes : int
        Bytes of files and rows that were sent.
    theirs : Hello or None
        What the other side has said of itself.
    """

    def __init__(
        self,
        transport: Transport,
        cache: HashCache,
        clock: Clock,
        *,
        compress: Compress = Compress.AUTO,
        stale_after_s: float = 60.0,
        on_progress: ProgressCallback,
        on_annotations: OnAnnotations | None = None,
        on_request: OnRequest | None = None,
    ) -> None:
        self.sent_bytes = 0
        self.theirs: Hello | None = None
        self._talk = Conversation(transport, timeout_s=ANSWER_TIMEOUT_S)
        self._explainer = Explainer(transport, self._talk)
        self._cache = cache
        self._clock = clock
        self._compress = compress
        self._stale_after_s = stale_after_s
        self._on_progress = on_progress
        self._on_annotations = on_annotations
        self._on_request = on_request
        self._offers: deque[tuple[int, list[Candidate]]] = deque()
        self._offered = 0
        self._waiting: deque[Waiting] = deque()
        self._open: dict[int, _Open] = {}
        self._results: list[ItemResult] = []
        self._total_bytes = 0
        self._heard_at_bytes = -1
        self._is_dry = False

    @property
    def wire_bytes(self) -> int:
        """Bytes that were given to the connection."""
        return self._talk.sent_bytes

    def greet(self, first: Chunk | None = None) -> Hello:
        """Exchange greetings, with the first offer right behind ours.

        Raises
        ------
        ProtocolError
            Something else than hpctrack answered, or there is no common version.
        SyncError
            The command is not there, or it ended.
        """
        packs = (ZSTD,) if can_pack() else ()
        ours = Hello(
            software=f"hpctrack {__version__}", unpacks=packs, now_wall_s=self._clock.wall_s()
        )
        with self._explainer.translated(is_start=True):
            # A command that has ended already cannot be written to; what it said tells more.
            with suppress(ConnectionError):
                self._talk.greet()
                self._talk.send(ours)
                if first is not None:
                    self._offer(first)
                self._talk.flush()
            self._talk.expect_greeting(timeout_s=GREETING_TIMEOUT_S)
            self.theirs = self._talk.receive_hello()
        negotiate(ours, self.theirs)
        if ZSTD in self.theirs.unpacks:
            self._talk.compress(self._compress)
        return self.theirs

    def transfer(
        self,
        chunks: Iterator[Chunk],
        *,
        dry_run: bool = False,
        afterwards: Callable[[], Chunk] = Chunk,
    ) -> list[ItemResult]:
        """Offer everything, send what is wanted, and return what became of each item.

        Parameters
        ----------
        chunks : iterator of Chunk
            What there is.
        dry_run : bool
            Only find out what would be sent.
        afterwards : callable, optional
            Returns what the answers have changed here, when everything else was sent.
        """
        self._is_dry = dry_run
        first = self._note(next(chunks, Chunk()))
        # It is said before the other side has said what it takes.
        late = _split_late(first)
        self.greet(first)
        with self._explainer.translated():
            for chunk in itertools.chain([late], chunks):
                self._offer(self._drop_untaken(self._note(chunk)))
                self._work(is_patient=len(self._offers) > OFFERS_AHEAD)
            self._talk.flush()
            self._work(is_patient=True)
            self._offer(self._drop_untaken(afterwards()))
            self._talk.flush()
            self._work(is_patient=True)
            self._end()
        return self._results

    def _drop_untaken(self, chunk: Chunk) -> Chunk:
        """Take out what only a newer receiver knows: an older one would complain of it."""
        taken = self.theirs.takes if self.theirs else ()
        if ItemKind.PROGRESS not in taken:
            _split_late(chunk)
        return chunk

    def end(self) -> None:
        """Leave without having sent anything."""
        with self._explainer.translated():
            self._talk.send(Done())
            self._talk.flush()

    # -- the conversation ------------------------------------------------------------------------

    def _note(self, chunk: Chunk) -> Chunk:
        self._results += [ItemResult.of_left(one) for one in chunk.left]
        return chunk

    def _offer(self, chunk: Chunk) -> None:
        if chunk.candidates:
            self._offers.append((self._offered, chunk.candidates))
            self._offered += len(chunk.candidates)
            self._talk.send(Offer(tuple(one.offered for one in chunk.candidates)))

    def _work(self, *, is_patient: bool) -> None:
        """Send what is wanted so far; if patient, until every offer is answered."""
        while True:
            # As long as nothing was written nobody can have answered.
            if self._talk.sent_bytes != self._heard_at_bytes or not self._waiting:
                self._heard_at_bytes = self._talk.sent_bytes
                while self._talk.has_message():
                    self._take(self._talk.receive())
            if self._waiting:
                self._send(*self._waiting.popleft())
            elif is_patient and self._offers:
                self._take(self._talk.receive())
            else:
                return

    def _end(self) -> None:
        """Say that there is no more; wait for what became of what was sent."""
        self._talk.send(Done())
        if not self.sent_bytes and not self._open:
            self._talk.flush()  # nothing is at stake: nobody waits for the farewell
            return
        while True:
            message = self._talk.receive()
            if isinstance(message, Done):
                return
            self._take(message)

    def _take(self, message: Message) -> None:
        match message:
            case Answer():
                self._take_answer(message)
            case Results():
                for one in message.results:
                    self._take_result(one)
            case Error():
                raise self._explainer.explain_error(message)
            case _:
                raise ProtocolError(f"the other side says {message.kind.name} out of turn")

    def _take_answer(self, answer: Answer) -> None:
        if not self._offers or len(answer.wishes) != len(self._offers[0][1]):
            raise ProtocolError("the other side answers what was not offered")
        start, candidates = self._offers.popleft()
        for place, (wish, candidate) in enumerate(zip(answer.wishes, candidates, strict=True)):
            details = answer.details.get(place, {})
            theirs = details.get("annotations")
            if self._on_annotations is not None and isinstance(theirs, str) and not self._is_dry:
                self._on_annotations(candidate.key, theirs)
            request = details.get("request")
            if self._on_request is not None and isinstance(request, str) and not self._is_dry:
                self._on_request(candidate.key, request)
            if candidate.by_stamp and (wish == Wish.PRESENT or details.get("same_file")):
                self._add(ItemResult.of_same_file(candidate))
            elif wish == Wish.PRESENT or self._is_sealed_there(candidate, details):
                self._add(ItemResult.of(candidate, Status.PRESENT))
            elif wish == Wish.REFUSED:
                self._add(ItemResult.of_refusal(candidate, details))
            elif self._is_dry:
                self._add(_foresee(candidate, details))
            else:
                if candidate.key.kind != ItemKind.LIVE:  # how much of one goes is seen later
                    self._total_bytes += candidate.stamp.size_bytes
                self._waiting.append((start + place, candidate, details))

    def _is_sealed_there(self, candidate: Candidate, details: Mapping[str, Any]) -> bool:
        nodes = details.get("sealed")
        if candidate.key.kind != ItemKind.LIVE or not isinstance(nodes, list):
            return False
        with suppress(HpctrackError, OSError), TailReader(Path(candidate.path)) as reader:
            return reader.facts.get("uuid") in nodes
        return False

    def _take_result(self, result: Result) -> None:
        found = self._open.get(result.number)
        if found is None:
            raise ProtocolError(f"the other side answers item {result.number}, which is not open")
        found.left -= 1
        if result.outcome == Outcome.REFUSED and not found.has_failed:
            found.has_failed = True
            self._add(ItemResult.of_result(found.candidate, result))
        theirs = result.facts.get("annotations")
        if isinstance(theirs, str) and self._on_annotations is not None:
            self._on_annotations(found.candidate.key, theirs)
        if found.left:
            return
        del self._open[result.number]
        if found.has_failed:
            return
        if isinstance(theirs, str):
            # What both sides have now is not what was sent.
            merged = hashlib.sha256(theirs.encode()).hexdigest()
            found.candidate = replace(found.candidate, digest=merged)
        elif found.candidate.digest:
            found.candidate.remember(self._cache)
        self._add(ItemResult.of_result(found.candidate, result))

    def _add(self, result: ItemResult) -> None:
        self._results.append(result)

    # -- sending -----------------------------------------------------------------------------------

    def _send(self, number: int, candidate: Candidate, details: Mapping[str, Any]) -> None:
        try:
            if candidate.key.kind == ItemKind.LIVE:
                self._send_live(number, candidate, details)
            else:
                self._send_file(number, candidate, details)
        except (HpctrackError, OSError) as error:
            if isinstance(error, (ConnectionError, TimeoutError, ProtocolError)):
                raise
            # Sealed, removed or broken since it was offered: the next push sees what it is now.
            self._add(ItemResult.of_failure(candidate, error))
            if number in self._open:  # of what had gone before that the answers are still to come
                self._open[number].has_failed = True

    def _send_file(self, number: int, candidate: Candidate, details: Mapping[str, Any]) -> None:
        if _is_equal(candidate, details):
            candidate = replace(candidate, digest=details["sha256"])
            candidate.remember(self._cache)
            self._add(ItemResult.of(candidate, Status.PRESENT))
            return
        offset = details.get("offset_bytes")
        offset_bytes = offset if isinstance(offset, int) and offset > 0 else 0
        self._total_bytes -= offset_bytes
        sha256, status = send_file(
            self._talk, number, candidate, offset_bytes, self._count(candidate)
        )
        self._open[number] = _Open(replace(candidate, stamp=identify(status), digest=sha256))

    def _send_live(self, number: int, candidate: Candidate, details: Mapping[str, Any]) -> None:
        rows = details.get("rows")
        known = rows if isinstance(rows, dict) else {}
        # A file that goes on is looked at again by the next push, however it looks.
        candidate, count = replace(candidate, digest=""), self._count(candidate)

        def on_sent(size_bytes: int) -> None:
            self._open.setdefault(number, _Open(candidate, 0)).left += 1
            count(size_bytes)

        path, stale_after_s = Path(candidate.path), self._stale_after_s
        with TailReader(path, known_rows=known, stale_after_s=stale_after_s) as reader:
            now_s = self._clock.wall_s()
            state = send_rows(
                self._talk, number, reader, details=details, now_wall_s=now_s, on_sent=on_sent
            )
            is_held_back = reader.has_held_back
        # Of a file that goes on it has to be known until when it may be silent.
        is_known = (state.closed_wall_s or candidate.alive_until_s) and not is_held_back
        if is_known:
            self._open[number].candidate = replace(candidate, digest=state.digest.hex())

    def _count(self, candidate: Candidate) -> Callable[[int], None]:
        def count(size_bytes: int) -> None:
            self.sent_bytes += size_bytes
            if candidate.key.kind == ItemKind.LIVE:
                self._total_bytes += size_bytes
            self._on_progress(
                Progress("send", str(candidate.key), self.sent_bytes, self._total_bytes)
            )

        return count


def _split_late(chunk: Chunk) -> Chunk:
    """Move to another chunk what not every receiver of this version takes."""
    late = [one for one in chunk.candidates if one.key.kind == ItemKind.PROGRESS]
    if late:
        kept = [one for one in chunk.candidates if one.key.kind != ItemKind.PROGRESS]
        chunk.candidates = kept
    return Chunk(late)


def _is_equal(candidate: Candidate, details: Mapping[str, Any]) -> bool:
    """Tell whether the other side has a file of the same content; reads ours if need be."""
    theirs = details.get("sha256")
    return isinstance(theirs, str) and theirs == (candidate.digest or hash_path(candidate.path))


def _foresee(candidate: Candidate, details: Mapping[str, Any]) -> ItemResult:
    """Return what would become of a file that the other side does not know to be the same."""
    try:
        is_equal = _is_equal(candidate, details)
    except OSError as error:
        return ItemResult.of_failure(candidate, error)
    if is_equal:
        return ItemResult.of(replace(candidate, digest=details["sha256"]), Status.PRESENT)
    return ItemResult.of(candidate, Status.WOULD_SEND)
