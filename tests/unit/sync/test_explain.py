"""What a sender says when its connection ends."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from hpctrack.errors import ProtocolError, SyncError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.sending.explain import Explainer
from hpctrack.sync.wire.conversation import Conversation
from hpctrack.sync.wire.messages import Answer
from hpctrack.sync.wire.protocol import encode


class Transport(FdStream):
    """A stream to a command that has been killed."""

    peer = "login"
    carrier = "test"
    reason = ""

    def read_stderr(self) -> str:
        return ""

    def wait(self, _timeout_s: float) -> int | None:
        return None

    def close(self) -> None:
        return


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Transport]]:
    far, near = socket.socketpair()
    with far, near:
        yield far, Transport(near.fileno(), near.fileno())


@pytest.mark.parametrize("cut_bytes", [0, 1, 7, 8, 20])
def test_a_connection_that_ends_within_a_message_is_lost_and_no_wrong_protocol(
    pair: tuple[socket.socket, Transport], cut_bytes: int
) -> None:
    """Whoever pushes again and again goes on after a loss, and ends after a wrong answer."""
    far, transport = pair
    far.sendall(encode(Answer(bytes(30)))[:cut_bytes])
    far.shutdown(socket.SHUT_WR)
    talk = Conversation(transport, timeout_s=5)
    lost = pytest.raises(SyncError, match="the connection to login was lost")
    with lost as caught, Explainer(transport, talk).translated():
        talk.receive()
    assert not isinstance(caught.value, ProtocolError)
    assert "run the same command again" in str(caught.value.hint)
