"""A store with three real runs, made once; and the receiving side, driven over a socket pair."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpctrack.errors import HpctrackError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.receiving.receive import Receiver
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import Begin, Data, Done, End, Hello, Item, Message, Result
from tests.unit.sync.made_stores import log_runs

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


class Peer:
    """A sender that says whatever a test wants; the receiver runs in a thread."""

    def __init__(self, store: Path) -> None:
        self.store = store
        self.error: HpctrackError | None = None
        self._mine, theirs = socket.socketpair()
        self.stream = FdStream(self._mine.fileno(), self._mine.fileno())
        self.talk = Conversation(self.stream, timeout_s=ANSWER_TIMEOUT_S)
        self._thread = threading.Thread(target=self._serve, args=(theirs,), daemon=True)
        self._thread.start()

    def _serve(self, theirs: socket.socket) -> None:
        with theirs:
            try:
                Receiver(self.store, FdStream(theirs.fileno(), theirs.fileno())).serve()
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

    def offer(self, item: Item, data: bytes, number: int = 0) -> Result:
        """Send an item in two pieces and return the answer."""
        half = len(data) // 2
        self.send(Begin(number, item), Data(data[:half]), Data(data[half:]), End(number))
        answer = self.talk.receive()
        assert isinstance(answer, Result)
        assert answer.number == number
        return answer

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


@pytest.fixture
def connect(tmp_path: Path) -> Iterator[Callable[[], Peer]]:
    """Return a function that starts a receiver for ``tmp_path/target`` and connects to it."""
    peers: list[Peer] = []

    def start() -> Peer:
        peers.append(Peer(tmp_path / "target"))
        return peers[-1]

    yield start
    for peer in peers:
        peer.leave()
