from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hpctrack.errors import ProtocolError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import Done, End, Hello
from hpctrack.sync.wire.protocol import MAGIC, encode

Pair = tuple[socket.socket, Conversation]


@pytest.fixture
def pair() -> Iterator[Pair]:
    near, far = socket.socketpair()
    with near, far:
        yield far, Conversation(FdStream(near.fileno(), near.fileno()), timeout_s=0.2)


def test_a_greeting_in_pieces_is_a_greeting(pair: Pair) -> None:
    far, talk = pair
    for byte in MAGIC + encode(Hello()):
        far.sendall(bytes([byte]))
    talk.expect_greeting(timeout_s=5)
    assert talk.receive() == Hello()


@pytest.mark.parametrize(
    ("said", "quoted"),
    [
        (b"Welcome to the cluster!\nmore\n", "Welcome to the cluster!"),
        (b"\nWelcome\n", "Welcome"),
        (b"no newline", "no newline"),
        (MAGIC[:4] + b"\n", "\ufffdHPT"),
        (b"x" * 1000, "x" * 200),
    ],
)
def test_the_first_line_of_a_chatty_shell_is_quoted(pair: Pair, said: bytes, quoted: str) -> None:
    far, talk = pair
    far.sendall(said)
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(ProtocolError) as caught:
        talk.expect_greeting(timeout_s=5)
    assert repr(quoted) in caught.value.message
    assert ".bashrc" in str(caught.value.hint)


@pytest.mark.parametrize("end", range(len(MAGIC)))
def test_an_end_before_or_in_the_greeting_is_noticed(pair: Pair, end: int) -> None:
    far, talk = pair
    far.sendall(MAGIC[:end])
    far.shutdown(socket.SHUT_WR)
    with pytest.raises((EOFError, ProtocolError)):
        talk.expect_greeting(timeout_s=5)


def test_silence_is_a_timeout(pair: Pair) -> None:
    _far, talk = pair
    with pytest.raises(TimeoutError):
        talk.receive()


@pytest.mark.parametrize("end", range(len(encode(End(7)))))
def test_an_end_at_every_byte_of_a_message_is_noticed(pair: Pair, end: int) -> None:
    far, talk = pair
    far.sendall(encode(Done()) + encode(End(7))[:end])
    far.shutdown(socket.SHUT_WR)
    assert talk.receive() == Done()
    with pytest.raises(ProtocolError if end else EOFError):
        talk.receive()
