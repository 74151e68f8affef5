"""What is in a bundle, said once more to a receiver that may have a part of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

from hpctrack.core import __version__
from hpctrack.errors import ProtocolError, RefusedError, StoreFormatError
from hpctrack.sync.bundles.layout import KIND_INDEX, IndexItem, iter_frames, read_magic
from hpctrack.sync.files.inventory import make_token
from hpctrack.sync.sending.push_result import ItemResult, Status, status_of
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import (
    SHA256_BYTES,
    Answer,
    Begin,
    Data,
    Done,
    End,
    Error,
    Facts,
    File,
    Hello,
    Key,
    Message,
    Offer,
    Offered,
    Outcome,
    Result,
    Results,
    Rows,
    Wish,
)
from hpctrack.sync.wire.protocol import decode, negotiate
from hpctrack.sync.wire.refusal import describe

ANSWER_TIMEOUT_S = 900.0
"""The receiver is a thread of this process; only a disk that hangs holds it up."""


class Replay:
    """Says to a receiver what is in a bundle, without what it has already.

    Parameters
    ----------
    talk : Conversation
        With the receiver.
    items : sequence of IndexItem
        What the bundle's index says, if it could be read before.
    on_read : callable
        Told how many bytes of the bundle have been read.

    Attributes
    ----------
    sent_bytes, read_bytes : int
        Of files and rows that the receiver was given; of the bundle.
    problem : str
        What is wrong with the bundle, if anything is.
    """

    def __init__(
        self, talk: Conversation, items: Sequence[IndexItem], on_read: Callable[[int], None]
    ) -> None:
        self.sent_bytes = 0
        self.read_bytes = 0
        self.problem = ""
        self._talk = talk
        self._items = items
        self._on_read = on_read
        self._keys: list[Key] = []
        self._wishes: list[tuple[int, Mapping[str, Any]]] = []
        self._results: dict[int, ItemResult] = {}
        self._begun: int | None = None

    @property
    def results(self) -> list[ItemResult]:
        """What became of everything that was offered and has come."""
        return list(self._results.values())

    def run(self, file: BinaryIO, name: str) -> None:
        """Say all of it.

        Raises
        ------
        StoreFormatError
            It is no bundle, or a newer hpctrack made it.
        RefusedError
            The store cannot be used.
        EOFError, ConnectionError, TimeoutError
            The receiver has ended.
        """
        read_magic(file, name)
        self._talk.greet()
        self._talk.send(Hello(software=f"hpctrack {__version__}"))
        self._talk.expect_greeting(timeout_s=ANSWER_TIMEOUT_S)
        self._talk.receive_hello()
        for message in self._iter_messages(file):
            self._say(message, name)
        self._give_up_file()
        self._talk.send(Done())
        while not isinstance(message := self._talk.receive(), Done):
            self._take(message)

    def _iter_messages(self, file: BinaryIO) -> Iterator[Message]:
        """Yield what can be read; note what is wrong with the rest."""
        frames = iter_frames(file)
        while True:
            try:
                frame, raw = next(frames)
            except EOFError:
                self.problem = "it was cut off"
                return
            except ProtocolError:
                self.problem = "it is damaged"
                return
            if frame.kind == KIND_INDEX:
                return
            self.read_bytes += len(raw)
            self._on_read(self.read_bytes)
            try:
                yield from decode(frame)
            except ProtocolError:
                self.problem = "a part of it cannot be read"

    def _say(self, message: Message, name: str) -> None:
        if not isinstance(message, Data | End):
            self._give_up_file()
        match message:
            case Hello():
                _check_version(message, name)
            case Offer():
                self._offer(message)
            case File(number, sha256, data) if self._wants(number, sha256.hex()):
                self._send(message, number, len(data), sha256.hex())
            case Rows(number, _sha256, tail) if self._wants(number, "", tail.state.uuid):
                self._send(message, number, sum(len(one.data) for one in tail.pieces))
            case Begin(number) if self._wants(number, self._find_hash(number)):
                self._begun = number
                self._talk.send(replace(message, offset_bytes=0))
            case Data(body) if self._begun is not None:
                self._talk.send(message)
                self.sent_bytes += len(body)
            case End(number, sha256) if self._begun is not None:
                self._begun = None
                self._send(message, number, 0, sha256.hex())
            case _:
                pass
        while self._talk.has_message():
            self._take(self._talk.receive())

    def _give_up_file(self) -> None:
        """End a large file whose rest is missing: the receiver counts, and refuses it."""
        if self._begun is not None:
            number, self._begun = self._begun, None
            self._send(End(number, bytes(SHA256_BYTES)), number, 0)

    def _offer(self, offer: Offer) -> None:
        """Offer what the bundle holds, and wait for what is wanted of it."""
        start = len(self._keys)
        self._keys += [one.key for one in offer.items]
        self._talk.send(
            Offer(tuple(self._improve(start + at, one) for at, one in enumerate(offer.items)))
        )
        while not isinstance(message := self._talk.receive(), Answer):
            self._take(message)
        if len(message.wishes) != len(offer.items):
            raise ProtocolError("the store answers what was not offered")
        for place, wish in enumerate(message.wishes):
            details = message.details.get(place, {})
            self._wishes.append((wish, details))
            if wish == Wish.PRESENT:
                self._note(start + place, Status.PRESENT)
            elif wish == Wish.REFUSED:
                facts = details.get("facts")
                shown = facts if isinstance(facts, dict) else {}
                self._refuse(start + place, str(details.get("code", "")), shown)

    def _improve(self, number: int, offered: Offered) -> Offered:
        """Offer a file by its hash: when the bundle was begun it may not have been read yet."""
        sha256 = self._find_hash(number)
        if not sha256 or self._items[number].key != offered.key:
            return offered
        return replace(offered, token=make_token(sha256), is_hashed=True)

    def _find_hash(self, number: int) -> str:
        return self._items[number].sha256 if number < len(self._items) else ""

    def _wants(self, number: int, sha256: str, uuid: str = "") -> bool:
        if number >= len(self._wishes):
            return False  # the offer was in a part that cannot be read
        wish, details = self._wishes[number]
        if wish not in {Wish.WANTED, Wish.CONTINUED}:
            return False
        sealed = details.get("sealed")
        is_there = sha256 and sha256 == details.get("sha256")
        is_there = is_there or (uuid and isinstance(sealed, list) and uuid in sealed)
        if is_there:
            self._note(number, Status.PRESENT)
        return not is_there

    def _send(self, message: Message, number: int, size_bytes: int, sha256: str = "") -> None:
        self._talk.send(message)
        self.sent_bytes += size_bytes
        if number not in self._results:
            size = self._items[number].size_bytes if number < len(self._items) else size_bytes
            self._note(number, Status.SKIPPED, size_bytes=size, sha256=sha256)

    # -- what becomes of it --------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        match message:
            case Results(results):
                for one in results:
                    self._take_result(one)
            case Error(code, facts):
                raise RefusedError(describe(code, facts))
            case _:
                raise ProtocolError(f"the store says {message.kind.name} out of turn")

    def _take_result(self, result: Result) -> None:
        if result.outcome == Outcome.REFUSED:
            self._refuse(result.number, result.code, result.facts)
            return
        before = self._results[result.number]
        if before.status != Status.REFUSED:
            self._results[result.number] = replace(before, status=status_of(result.outcome))

    def _refuse(self, number: int, code: str, facts: Facts) -> None:
        self._note(number, Status.REFUSED, reason=code, text=describe(code, facts))

    def _note(self, number: int, status: Status, **more: Any) -> None:
        self._results[number] = ItemResult(key=self._keys[number], status=status, **more)


def _check_version(theirs: Hello, name: str) -> None:
    try:
        negotiate(Hello(), theirs)
    except ProtocolError as error:
        made = f" by {theirs.software}" if theirs.software else ""
        raise StoreFormatError(f"{name} was made{made}: {error.message}", hint=error.hint) from None
