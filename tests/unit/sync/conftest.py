"""A store with three real runs, made once; and the receiving side, driven over a socket pair."""

from __future__ import annotations

import hashlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.receive import Receiver
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import (
    Answer,
    Begin,
    Data,
    Done,
    End,
    File,
    Hello,
    Message,
    Offer,
    Result,
    Results,
    Wish,
)
from tests.unit.sync.made_stores import Item, log_runs

ANSWER_TIMEOUT_S = 30.0


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with digits/one, digits/two and other/one; not to be changed."""
    store = tmp_path_factory.mktemp("template") / "store"
    log_runs(store, "digits/one", "digits/two", "other/one")
    return store


@pytest.fixture
def source(template: Path, tmp_path: Path) -> Path:
    """A copy of the template that may be changed."""
    return Path(shutil.copytree(template, tmp_path / "source"))


@pytest.fixture
def outside(template: Path, tmp_path: Path) -> Path:
    """Another copy, to which only links lead."""
    return Path(shutil.copytree(template, tmp_path / "outside"))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where things go; not made yet."""
    return tmp_path / "target"


class Peer:
    """A sender that says whatever a test wants; the receiver runs in a thread."""

    def __init__(
        self, store: Path, *, policy: Policy | None = None, clock: Clock = SYSTEM_CLOCK
    ) -> None:
        self.store = store
        self.error: HpctrackError | None = None
        self.next_number = 0
        self._policy, self._clock = policy, clock
        self._mine, theirs = socket.socketpair()
        self.stream = FdStream(self._mine.fileno(), self._mine.fileno())
        self.talk = Conversation(self.stream, timeout_s=ANSWER_TIMEOUT_S)
        self._thread = threading.Thread(target=self._serve, args=(theirs,), daemon=True)
        self._thread.start()

    def _serve(self, theirs: socket.socket) -> None:
        with theirs:
            stream = FdStream(theirs.fileno(), theirs.fileno())
            try:
                Receiver(self.store, stream, policy=self._policy, clock=self._clock).serve()
            except HpctrackError as error:
                self.error = error

    def greet(self) -> Peer:
        """Say and hear the usual words."""
        self.talk.greet()
        self.talk.send(Hello())
        self.talk.expect_greeting(timeout_s=ANSWER_TIMEOUT_S)
        assert isinstance(self.talk.receive(), Hello)
        return self

    def send(self, *messages: Message) -> None:
        """Send messages."""
        for message in messages:
            self.talk.send(message)
        self.talk.flush()

    def offer(self, *items: Item, is_hashed: bool = True) -> Answer:
        """Offer items and return the answer; the first one's number was `next_number`."""
        self.next_number += len(items)
        self.send(Offer(tuple(one.offered(is_hashed=is_hashed) for one in items)))
        answer = self.talk.receive()
        assert isinstance(answer, Answer)
        assert len(answer.wishes) == len(items)
        return answer

    def ask_for(self, item: Item) -> int:
        """Offer an item that has to be wanted, and return its number."""
        number = self.next_number
        answer = self.offer(item)
        assert answer.wishes[0] in {Wish.WANTED, Wish.CONTINUED}, answer
        return number

    def give(self, item: Item, *, sha256: bytes | None = None) -> Result:
        """Offer an item, send it whole, and return what became of it."""
        number = self.ask_for(item)
        self.send(File(number, sha256 or hashlib.sha256(item.data).digest(), item.data))
        return self.expect_result(number)

    def give_in_pieces(self, item: Item, *, offset_bytes: int = 0) -> Result:
        """Offer an item, send it in three pieces, and return what became of it."""
        number = self.ask_for(item)
        self.begin(number, item, offset_bytes=offset_bytes)
        self.send(End(number, item.digest))
        return self.expect_result(number)

    def begin(self, number: int, item: Item, *, offset_bytes: int = 0, end: int = -1) -> None:
        """Begin an item and send its bytes up to ``end``, in two pieces."""
        data = item.data[offset_bytes : end if end >= 0 else len(item.data)]
        half = len(data) // 2
        begin = Begin(number, len(item.data), offset_bytes)
        self.send(begin, Data(data[:half]), Data(data[half:]))

    def expect_result(self, number: int) -> Result:
        """Return the only result that comes next."""
        (result,) = self.expect_results(1)
        assert result.number == number
        return result

    def expect_results(self, count: int) -> list[Result]:
        """Return the results that come next, in their order."""
        found: list[Result] = []
        while len(found) < count:
            message = self.talk.receive()
            assert isinstance(message, Results), message
            found += message.results
        assert len(found) == count
        return found

    def finish(self) -> None:
        """End in peace: proves that the connection has survived."""
        self.send(Done())
        assert self.talk.receive() == Done()
        self.leave()
        assert self.error is None

    def leave(self) -> None:
        """Hang up and wait until the receiver has ended."""
        self._mine.close()
        self._thread.join(ANSWER_TIMEOUT_S)
        assert not self._thread.is_alive()


Connect = Callable[..., Peer]


@pytest.fixture
def connect(target: Path) -> Iterator[Connect]:
    """Return a function that starts a receiver for the target and connects to it."""
    peers: list[Peer] = []

    def start(*, policy: Policy | None = None, clock: Clock = SYSTEM_CLOCK) -> Peer:
        peers.append(Peer(target, policy=policy, clock=clock))
        return peers[-1]

    yield start
    for peer in peers:
        peer.leave()
