from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hpctrack.errors import ProtocolError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import Data, Done, End, File, Hello
from hpctrack.sync.wire.packing import Compress, pack
from hpctrack.sync.wire.protocol import HEADER, MAGIC, encode

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
    talk.expect_greeting(timeout_s=90)
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
        talk.expect_greeting(timeout_s=90)
    assert repr(quoted) in caught.value.message
    assert ".bashrc" in str(caught.value.hint)


@pytest.mark.parametrize("end", range(len(MAGIC)))
def test_an_end_before_or_in_the_greeting_is_noticed(pair: Pair, end: int) -> None:
    far, talk = pair
    far.sendall(MAGIC[:end])
    far.shutdown(socket.SHUT_WR)
    with pytest.raises((EOFError, ProtocolError)):
        talk.expect_greeting(timeout_s=90)


def test_silence_is_a_timeout(pair: Pair) -> None:
    _far, talk = pair
    with pytest.raises(TimeoutError):
        talk.receive()


@pytest.mark.parametrize("end", range(len(encode(End(7, bytes(32))))))
def test_an_end_at_every_byte_of_a_message_is_noticed(pair: Pair, end: int) -> None:
    far, talk = pair
    far.sendall(encode(Done()) + encode(End(7, bytes(32)))[:end])
    far.shutdown(socket.SHUT_WR)
    assert talk.receive() == Done()
    with pytest.raises(ProtocolError if end else EOFError):
        talk.receive()


def test_what_is_sent_goes_out_together_and_before_an_answer_is_waited_for(pair: Pair) -> None:
    far, talk = pair
    for number in range(3):
        talk.send(End(number, bytes(32)))
    far.setblocking(False)
    with pytest.raises(BlockingIOError):
        far.recv(1)
    with pytest.raises(TimeoutError):
        talk.receive()
    assert far.recv(10_000) == b"".join(encode(End(number, bytes(32))) for number in range(3))
    assert talk.sent_bytes == 3 * len(encode(End(0, bytes(32))))


def test_nobody_waits_to_learn_that_nothing_has_come(pair: Pair) -> None:
    far, talk = pair
    assert not talk.has_message()
    frame = encode(End(7, bytes(32)))
    far.sendall(frame[:5])
    assert not talk.has_message()
    far.sendall(frame[5:] + encode(Done()))
    assert talk.has_message()
    assert talk.receive() == End(7, bytes(32))
    assert talk.has_message()
    assert talk.receive() == Done()
    assert not talk.has_message()
    far.shutdown(socket.SHUT_WR)
    with pytest.raises(EOFError):
        talk.has_message()


def test_packs_are_read_and_made_only_when_that_was_agreed(pair: Pair) -> None:
    far, talk = pair
    body = pack(encode(Data(bytes(2000))) + encode(Done()))
    far.sendall(HEADER.pack(len(body), 24, 0, 0) + body)
    assert talk.receive() == Data(bytes(2000))
    assert talk.receive() == Done()
    file = File(1, bytes(32), bytes(20_000))
    talk.send(file)
    talk.flush()
    assert far.recv(100_000) == encode(file)
    talk.compress(Compress.ON)
    talk.send(file)
    talk.send(Done())
    talk.flush()
    frame = far.recv(100_000)
    assert frame[4] == 24
    assert len(frame) < 200
    far.sendall(frame)
    assert talk.receive() == file
    assert talk.receive() == Done()
