"""The receiving side: says what it wants, takes it, checks it, publishes it, says what it did.

It trusts nothing that it is told: names are checked, bytes are counted and hashed, what a file
holds is looked at, and no link in the store is followed. What goes wrong with one item is told in
its result; only a peer that breaks the protocol, or a store that cannot be used, ends it all.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from hpctrack.core import __version__
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import SERVER_FOLDER
from hpctrack.errors import HpctrackError, ProtocolError, RefusedError, SyncError
from hpctrack.sync.files.inventory import HashCache
from hpctrack.sync.files.place import open_folder
from hpctrack.sync.receiving.answers import Answerer
from hpctrack.sync.receiving.incoming import MAX_BYTES, Incoming
from hpctrack.sync.receiving.journal import Event, Journal
from hpctrack.sync.receiving.landing import Landing, Small, make_result, split_results
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.quarantine import Quarantine, remove_abandoned
from hpctrack.sync.upkeep.audit import NOBODY, Actor
from hpctrack.sync.wire.byte_stream import ByteStream
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import (
    Answer,
    Begin,
    Data,
    Done,
    End,
    Error,
    File,
    Hello,
    ItemKind,
    Key,
    Message,
    Offer,
    Outcome,
    Result,
    Results,
    Rows,
    Wish,
)
from hpctrack.sync.wire.packing import ZSTD, can_pack
from hpctrack.sync.wire.protocol import OFFER_ITEMS, negotiate
from hpctrack.sync.wire.refusal import ItemRefusal, describe

IDLE_TIMEOUT_S = 3600.0
"""A sender that says nothing for so long is gone, though its connection may look alive. It may be
sealing runs meanwhile, so the bound is generous."""

LOOK_AGAIN_S = 0.01
"""So often the stream is looked at while the disk is busy."""

WANTED_MAX_ITEMS = 300_000
"""Offered, wanted and not come yet; 350 bytes each. A sender offers 8,192 at a time."""

FRAME_MAX_ITEMS = 4 * OFFER_ITEMS
"""In one offer: a pack of short names could hold half a million, at 300 bytes of memory each."""


class Receiver:
    """One transfer into a store.

    Parameters
    ----------
    store : Path
        Made, when the first item comes, if its parent is there.
    stream : ByteStream
        To the sender.
    policy : Policy, optional
        What this sender may do.
    actor : Actor, optional
        Who it is, for the log.
    clock : Clock, optional
        For the age of abandoned uploads.
    """

    def __init__(
        self,
        store: Path,
        stream: ByteStream,
        *,
        policy: Policy | None = None,
        actor: Actor = NOBODY,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._store = store
        self._talk = Conversation(stream, timeout_s=IDLE_TIMEOUT_S)
        self._policy = policy or Policy()
        self._actor = actor
        self._clock = clock
        self._journal: Journal | None = None
        self._cache = HashCache(store)
        self._store_fd: int | None = None
        self._landing: Landing | None = None
        self._incoming: Incoming | None = None
        self._stack = contextlib.ExitStack()
        self._offered = 0
        self._wanted: dict[int, Key] = {}
        self._tokens: dict[int, bytes] = {}
        self._landing_tokens: set[bytes] = set()
        self._is_told = False

    def serve(self) -> None:
        """Talk to the sender until it is done or gone.

        Raises
        ------
        HpctrackError
            Why the transfer ended early; the sender has been told, without any path.
        """
        packs = (ZSTD,) if can_pack() else ()
        ours = Hello(
            software=f"hpctrack {__version__}",
            unpacks=packs,
            now_wall_s=self._clock.wall_s(),
            takes=(ItemKind.PROGRESS,),
        )
        try:
            self._talk.greet()
            self._talk.send(ours)
            self._talk.expect_greeting(timeout_s=IDLE_TIMEOUT_S)
            self._negotiate(ours, self._talk.receive_hello())
            self._serve_in_store()
        except EOFError:
            return  # killed or interrupted; everything acknowledged is safe
        except (ConnectionError, TimeoutError) as error:
            raise SyncError(f"the sender is gone: {type(error).__name__}") from None
        except ProtocolError as error:
            self._tell_error(Error("protocol", {"what": error.message}))
            raise
        except HpctrackError:
            raise
        except Exception as error:
            # A bug of ours: the name of the exception says no path, its text might.
            self._tell_error(Error("internal", {"what": type(error).__name__}))
            raise

    def _negotiate(self, ours: Hello, theirs: Hello) -> None:
        try:
            negotiate(ours, theirs)
        except ProtocolError:
            self._tell_error(Error("version", {"oldest": ours.oldest, "newest": ours.newest}))
            raise

    def _serve_in_store(self) -> None:
        """Answer until the sender is done; what was opened is closed and removed."""
        code = find_store_problem(self._store)
        if code:
            raise self._refuse_all(code)
        with self._stack:
            if self._store.is_dir():
                self._open_store()
            self._stack.callback(self._cache.save)
            try:
                while self._answer(self._talk.receive()):
                    self._land_when_idle()
            except (EOFError, ConnectionError, TimeoutError, ProtocolError):
                # What has come whole is published all the same, though nobody may hear of it.
                with contextlib.suppress(ConnectionError, TimeoutError):
                    if self._landing is not None:
                        self._landing.finish()
                raise

    def _land_when_idle(self) -> None:
        """Publish what has come so far before waiting for more, unless the disk is busy anyway.

        So groups are as large as the disk is slow: what comes during one look at it waits for the
        next, and a single run does not wait at all.
        """
        landing = self._landing
        while landing is not None and landing.has_group and not self._talk.has_message():
            if landing.wait(LOOK_AGAIN_S):
                landing.submit()

    def _open_store(self) -> int:
        """Return the store's descriptor; make its folder if need be."""
        if self._store_fd is None:
            try:
                self._store.mkdir(exist_ok=True)
                self._store_fd = os.open(self._store, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except OSError:
                raise self._refuse_all("store-unwritable") from None
            self._stack.callback(os.close, self._store_fd)
            remove_abandoned(self._store_fd, self._clock)
        return self._store_fd

    def _open_landing(self) -> tuple[Landing, Incoming]:
        """Return where things land, which is not made before something comes."""
        if self._landing is None or self._incoming is None:
            store_fd = self._open_store()
            try:
                with open_folder(store_fd, (SERVER_FOLDER,), create=True):
                    quarantine = Quarantine(self._store, store_fd)
            except OSError:
                raise self._refuse_all("store-unwritable") from None
            self._stack.callback(quarantine.close)
            self._landing = Landing(
                store_fd,
                quarantine,
                self._cache,
                self._policy,
                journal=self._open_journal(),
                tell=self._report,
            )
            self._stack.callback(self._landing.close)
            journal = self._open_journal()
            self._incoming = Incoming(self._store, store_fd, quarantine, journal)
            self._stack.callback(self._incoming.close)
        return self._landing, self._incoming

    def _open_journal(self) -> Journal:
        if self._journal is None:
            try:
                self._journal = Journal(self._open_store(), self._policy, self._actor, self._clock)
            except (OSError, HpctrackError):
                raise self._refuse_all("store-unwritable") from None
            self._stack.callback(self._journal.close)
        return self._journal

    def _answer(self, message: Message) -> bool:
        """Do what a message asks; return False after the last one."""
        incoming = self._incoming
        is_open = incoming is not None and incoming.is_open
        match message:
            case Offer() if not is_open:
                self._take_offer(message)
            case File() if not is_open:
                self._take_file(message)
            case Rows() if not is_open:
                self._take_rows(message)
            case Begin() if not is_open:
                self._begin(message)
            case Data(body) if incoming is not None and is_open:
                incoming.write(body)
            case End() if incoming is not None and is_open:
                self._end(message)
            case Done() if not is_open:
                self._finish()
                return False
            case Error(code, facts):
                raise SyncError(f"the sender gave up: {describe(code, facts)}")
            case _:
                raise ProtocolError(f"{message.kind.name} may not come here")
        return True

    def _take_offer(self, offer: Offer) -> None:
        if len(offer.items) > FRAME_MAX_ITEMS:
            raise ProtocolError(f"an offer of {len(offer.items)} items")
        answer = Answerer(self._store_fd, self._cache, self._policy).answer(offer)
        for place, wish in enumerate(answer.wishes):
            if wish in {Wish.WANTED, Wish.CONTINUED}:
                number = self._offered + place
                self._wanted[number] = offer.items[place].key
                self._tokens[number] = offer.items[place].token
        self._note_refused(offer, answer)
        self._offered += len(offer.items)
        if len(self._wanted) > WANTED_MAX_ITEMS:
            raise ProtocolError(f"more than {WANTED_MAX_ITEMS} items are wanted at a time")
        self._talk.send(answer)
        self._talk.flush()

    def _note_refused(self, offer: Offer, answer: Answer) -> None:
        """Log what was refused before any of it came."""
        refused = [place for place, wish in enumerate(answer.wishes) if wish == Wish.REFUSED]
        if refused and self._store_fd is not None:
            events = []
            for place in refused:
                code = str(answer.details[place].get("code", ""))
                result = Result(self._offered + place, Outcome.REFUSED, code)
                events.append(Event(result, offer.items[place].key))
            self._open_journal().note(events)

    def _take_file(self, file: File) -> None:
        landing, _incoming = self._open_landing()
        key = self._find_wanted(file.number)
        self._forget(file.number)
        data, limit_bytes = bytes(file.data), MAX_BYTES[key.kind]
        refusal = None
        if len(data) > limit_bytes:
            refusal = ItemRefusal("too-large", size_bytes=len(data), limit_bytes=limit_bytes)
        elif hashlib.sha256(data).digest() != file.sha256:
            refusal = ItemRefusal("hash-mismatch")
        if refusal is not None:
            landing.add_refused(key, make_result(file.number, refusal))
            return
        landing.add_small(Small(file.number, key, file.sha256.hex(), data))

    def _take_rows(self, rows: Rows) -> None:
        landing, _incoming = self._open_landing()
        key = self._find_wanted(rows.number, is_live=True)
        digest = hashlib.sha256()
        for piece in rows.tail.pieces:
            digest.update(piece.data)
        if digest.digest() != rows.sha256:
            landing.add_refused(key, make_result(rows.number, ItemRefusal("hash-mismatch")))
            return
        landing.add_rows(key, rows)

    def _begin(self, begin: Begin) -> None:
        landing, incoming = self._open_landing()
        key, token = self._find_wanted(begin.number), self._tokens[begin.number]
        if token in self._landing_tokens:
            # The same bytes for another place: the first ones are still on their way there.
            landing.finish()
            self._landing_tokens.clear()
        incoming.begin(begin, key, token.hex())

    def _end(self, end: End) -> None:
        landing, incoming = self._open_landing()
        key = self._find_wanted(end.number)
        done = incoming.end(end)
        if isinstance(done, Result):
            landing.add_refused(key, done)
        else:
            self._landing_tokens.add(self._tokens[end.number])
            landing.add_large(done)
        self._forget(end.number)

    def _find_wanted(self, number: int, *, is_live: bool = False) -> Key:
        key = self._wanted.get(number)
        if key is None:
            raise ProtocolError(f"item {number} was not asked for")
        if (key.kind == ItemKind.LIVE) != is_live:
            raise ProtocolError(f"item {number} does not come like that")
        return key

    def _forget(self, number: int) -> None:
        """Let go of what has come: of a million items few are known at a time."""
        del self._wanted[number], self._tokens[number]

    def _finish(self) -> None:
        if self._landing is not None:
            self._landing.finish()
        self._cache.save()
        # A sender that had nothing to send does not wait for this.
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._talk.send(Done())
            self._talk.flush()

    def _report(self, events: Sequence[Event]) -> None:
        """Tell what became of things; called on the landing's thread, too."""
        self._open_journal().note(events)
        for results in split_results(one.result for one in events):
            self._talk.send(Results(results))
        self._talk.flush()

    def _refuse_all(self, code: str) -> HpctrackError:
        self._tell_error(Error(code))
        return RefusedError(f"{self._store}: {describe(code, {})}")

    def _tell_error(self, error: Error) -> None:
        """Say why it ends, once, to a sender that may be gone already."""
        if self._is_told:
            return
        self._is_told = True
        with contextlib.suppress(ConnectionError, TimeoutError):
            self._talk.send(error)
            self._talk.flush()


def find_store_problem(store: Path) -> str:
    """Return the code of why there can be no store here, or nothing."""
    if store.is_dir():
        return ""
    if os.path.lexists(store):
        return "not-a-folder"
    return "" if store.parent.is_dir() else "no-parent"
