"""Bytes over descriptors: nobody waits for anybody who waits for him."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from hpctrack.sync.carriers.fd_stream import HELD_BYTES, FdStream

TIMEOUT_S = 20.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    mine, theirs = socket.socketpair()
    with mine, theirs:
        yield mine, theirs


def over(sock: socket.socket) -> FdStream:
    return FdStream(sock.fileno(), sock.fileno())


def read_exactly(stream: FdStream, size_bytes: int) -> bytes:
    found = bytearray()
    while len(found) < size_bytes:
        found += stream.read(size_bytes - len(found), timeout_s=TIMEOUT_S)
    return bytes(found)


@pytest.mark.parametrize("kind", ["sockets", "pipes"])
def test_two_sides_that_both_write_first_do_not_wait_for_each_other(kind: str) -> None:
    with contextlib.ExitStack() as stack:
        streams = make_socket_streams(stack) if kind == "sockets" else make_pipe_streams(stack)
        words = [os.urandom(8 * 1024 * 1024), os.urandom(8 * 1024 * 1024)]
        heard: dict[int, bytes] = {}

        def talk(number: int) -> None:
            streams[number].write(words[number])
            heard[number] = read_exactly(streams[number], len(words[1 - number]))

        threads = [threading.Thread(target=talk, args=(number,), daemon=True) for number in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT_S)
        assert heard == {0: words[1], 1: words[0]}


def make_socket_streams(stack: contextlib.ExitStack) -> list[FdStream]:
    return [over(stack.enter_context(one)) for one in socket.socketpair()]


def make_pipe_streams(stack: contextlib.ExitStack) -> list[FdStream]:
    (first_read, second_write), (second_read, first_write) = os.pipe(), os.pipe()
    for fd in (first_read, first_write, second_read, second_write):
        stack.callback(os.close, fd)
    return [FdStream(first_read, first_write), FdStream(second_read, second_write)]


def test_what_is_held_is_bounded(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hpctrack.sync.carriers.fd_stream.WRITE_TIMEOUT_S", 0.3)
    mine = over(ends[0])
    ends[1].setblocking(True)

    def shout() -> None:
        with pytest.raises(BrokenPipeError):
            ends[1].sendall(bytes(4 * HELD_BYTES))

    shouting = threading.Thread(target=shout, daemon=True)
    shouting.start()
    with pytest.raises(TimeoutError):
        mine.write(bytes(8 * 1024 * 1024))
    assert len(mine._held) < HELD_BYTES + 1024 * 1024
    ends[0].shutdown(socket.SHUT_RDWR)
    shouting.join(TIMEOUT_S)


def test_poll_tells_bytes_and_the_end(ends: tuple[socket.socket, socket.socket]) -> None:
    mine = over(ends[0])
    assert not mine.poll(0)
    assert not mine.poll(0.01)
    ends[1].sendall(b"ab")
    assert mine.poll(TIMEOUT_S)
    assert mine.read(1, timeout_s=TIMEOUT_S) == b"a"
    assert mine.poll(0)
    assert mine.read(9, timeout_s=TIMEOUT_S) == b"b"
    assert not mine.poll(0)
    ends[1].close()
    assert mine.poll(TIMEOUT_S)
    assert mine.read(1, timeout_s=TIMEOUT_S) == b""
    assert mine.poll(0)


def test_what_was_held_is_read_first_and_then_the_end(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    mine, theirs = over(ends[0]), ends[1]
    theirs.sendall(b"last words")
    theirs.shutdown(socket.SHUT_WR)
    taken: list[bytes] = []

    def take_slowly() -> None:
        while data := theirs.recv(65536):
            taken.append(data)

    thread = threading.Thread(target=take_slowly, daemon=True)
    thread.start()
    mine.write(bytes(4 * 1024 * 1024))
    assert mine.poll(0)
    assert mine.read(4, timeout_s=TIMEOUT_S) == b"last"
    assert mine.read(99, timeout_s=TIMEOUT_S) == b" words"
    assert mine.read(1, timeout_s=TIMEOUT_S) == b""
    assert mine.read(1, timeout_s=TIMEOUT_S) == b""
    ends[0].shutdown(socket.SHUT_WR)
    thread.join(TIMEOUT_S)
    assert sum(map(len, taken)) == 4 * 1024 * 1024


def test_a_peer_that_says_nothing_is_a_timeout(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(TimeoutError):
        over(ends[0]).read(1, timeout_s=0.01)


def test_a_peer_that_is_gone_cannot_be_written_to(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    mine = over(ends[0])
    ends[1].close()
    with pytest.raises(ConnectionError):
        mine.write(bytes(8 * 1024 * 1024))
    assert mine.poll(0)


def test_one_thread_may_read_while_another_one_waits_for_room() -> None:
    near, far = socket.socketpair()
    said = b"".join(number.to_bytes(4, "big") for number in range(1_000_000))
    with near, far:
        stream = FdStream(near.fileno(), near.fileno())
        # The other side says much, and listens only when it has said all of it.
        talker = threading.Thread(target=far.sendall, args=(said + b"end",))
        writer = threading.Thread(target=lambda: stream.write(bytes(4_000_000)))
        for thread in (writer, talker):
            thread.start()
        heard = bytearray()
        while not heard.endswith(b"end"):
            heard += stream.read(1000, timeout_s=TIMEOUT_S)
        assert heard == said + b"end"
        got_bytes = 0
        while got_bytes < 4_000_000:
            got_bytes += len(far.recv(1 << 20))
        for thread in (writer, talker):
            thread.join(180)
            assert not thread.is_alive()
