"""Messages over a stream of bytes."""

from __future__ import annotations

from collections.abc import Iterator

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.byte_stream import ByteStream
from hpctrack.sync.wire.messages import Hello, Message
from hpctrack.sync.wire.protocol import MAGIC, Decoder, decode, encode

READ_BYTES = 256 * 1024

LINE_MAX_BYTES = 200
"""How much of a line that is not ours is quoted."""

REST_OF_LINE_TIMEOUT_S = 1.0
"""What is no greeting is quoted in a message; its rest is not waited for longer than this."""


class Conversation:
    """Sends and receives messages; not safe for several threads.

    Parameters
    ----------
    stream : ByteStream
        Where to.
    timeout_s : float
        A peer that is silent for longer than this, when an answer is due, is taken for gone.
    """

    def __init__(self, stream: ByteStream, *, timeout_s: float) -> None:
        self._stream = stream
        self._timeout_s = timeout_s
        self._decoder = Decoder()
        self._waiting: Iterator[Message] = iter(())

    def greet(self) -> None:
        """Send `MAGIC`."""
        self._stream.write(MAGIC)

    def expect_greeting(self, *, timeout_s: float) -> None:
        """Read the peer's `MAGIC`.

        Raises
        ------
        ProtocolError
            Something else came; its first line is in the message.
        EOFError
            Nothing came.
        """
        found = b""
        while len(found) < len(MAGIC):
            data = self._stream.read(len(MAGIC) - len(found), timeout_s=timeout_s)
            found += data
            if not MAGIC.startswith(found) or (found and not data):
                line = self._rest_of_line(found)
                raise ProtocolError(
                    f"the other side said {line!r} before its greeting",
                    hint="its .bashrc must print nothing where there is no terminal",
                )
            if not data:
                raise EOFError

    def send(self, message: Message) -> None:
        """Send a message; blocks while the peer is slow."""
        self._stream.write(encode(message))

    def receive(self) -> Message:
        """Return the next message; kinds that only a newer hpctrack knows are passed over.

        Raises
        ------
        EOFError
            The peer has ended, between two frames.
        ProtocolError
            It has ended within a frame, or the frame is not what it should be.
        TimeoutError, ConnectionError
            As `ByteStream.read`.
        """
        while True:
            for message in self._waiting:
                return message
            data = self._stream.read(READ_BYTES, timeout_s=self._timeout_s)
            if not data:
                if self._decoder.held_bytes:
                    raise ProtocolError("the connection ended in the middle of a message")
                raise EOFError
            self._waiting = self._decode(data)

    def receive_hello(self) -> Hello:
        """Return the first message.

        Raises
        ------
        ProtocolError
            It is something else.
        """
        message = self.receive()
        if not isinstance(message, Hello):
            raise ProtocolError(f"the first message is {message.kind.name}, not HELLO")
        return message

    def _decode(self, data: bytes) -> Iterator[Message]:
        for frame in self._decoder.feed(data):
            message = decode(frame)
            if message is not None:
                yield message

    def _rest_of_line(self, found: bytes) -> str:
        try:
            while b"\n" not in found.lstrip() and len(found) < LINE_MAX_BYTES:
                data = self._stream.read(LINE_MAX_BYTES, timeout_s=REST_OF_LINE_TIMEOUT_S)
                if not data:
                    break
                found += data
        except (TimeoutError, ConnectionError):
            pass
        lines = found[:LINE_MAX_BYTES].decode("utf-8", "replace").strip().splitlines()
        return lines[0] if lines else ""
