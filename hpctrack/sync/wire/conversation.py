"""Messages over a stream of bytes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.byte_stream import ByteStream
from hpctrack.sync.wire.messages import Hello, Kind, Message
from hpctrack.sync.wire.packing import Chooser, Compress, pack
from hpctrack.sync.wire.protocol import HEADER, MAGIC, MAX_BODY_BYTES, Decoder, decode, encode

READ_BYTES = 1024 * 1024

PACK_BYTES = 1024 * 1024
"""So much is collected before it is sent, unless an answer is waited for."""

PACK_MIN_BYTES = 512
"""Less is not worth a compressor."""

LINE_MAX_BYTES = 200
"""How much of a line that is not ours is quoted."""

REST_OF_LINE_TIMEOUT_S = 1.0
"""What is no greeting is quoted in a message; its rest is not waited for longer than this."""


class CutOffError(ProtocolError):
    """The connection has ended in the middle of a message: a loss, not a peer that is wrong."""


class Conversation:
    """Sends and receives messages.

    What is sent is collected and goes out in large writes: with `flush`, when there is enough of
    it, and before an answer is waited for. One thread may receive while others send.

    Parameters
    ----------
    stream : ByteStream
        Where to.
    timeout_s : float
        A peer that is silent for longer than this, when an answer is due, is taken for gone.

    Attributes
    ----------
    sent_bytes : int
        Bytes that were given to the stream.
    """

    def __init__(self, stream: ByteStream, *, timeout_s: float) -> None:
        self.sent_bytes = 0
        self._stream = stream
        self._timeout_s = timeout_s
        self._decoder = Decoder()
        self._waiting: Iterator[Message] = iter(())
        self._next: Message | None = None
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._chooser = Chooser(Compress.OFF)
        self._lock = threading.Lock()

    def compress(self, mode: Compress) -> None:
        """Compress what is sent from now on, if it pays; the peer has said that it can read it."""
        with self._lock:
            self._chooser = Chooser(mode)

    def greet(self) -> None:
        """Send `MAGIC`, with whatever follows."""
        with self._lock:
            self._unsent.append(MAGIC)
            self._unsent_bytes += len(MAGIC)

    def expect_greeting(self, *, timeout_s: float) -> None:
        """Read the peer's `MAGIC`.

        Raises
        ------
        ProtocolError
            Something else came; its first line is in the message.
        EOFError
            Nothing came.
        """
        self.flush()
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
        """Send a message, or collect it; may block while the peer is slow."""
        frame = encode(message)
        with self._lock:
            self._unsent.append(frame)
            self._unsent_bytes += len(frame)
            if self._unsent_bytes >= PACK_BYTES:
                self._write()

    def flush(self) -> None:
        """Send what was collected."""
        with self._lock:
            self._write()

    def has_message(self) -> bool:
        """Tell whether a message can be received at once."""
        if self._next is None:
            self._next = next(self._waiting, None)
        while self._next is None and self._stream.poll(0.0):
            self._read()
            self._next = next(self._waiting, None)
        return self._next is not None

    def receive(self) -> Message:
        """Return the next message; kinds that only a newer hpctrack knows are passed over.

        Raises
        ------
        EOFError
            The peer has ended, between two frames.
        CutOffError
            It has ended within a frame.
        ProtocolError
            The frame is not what it should be.
        TimeoutError, ConnectionError
            As `ByteStream.read`.
        """
        message, self._next = self._next, None
        while message is None:
            message = next(self._waiting, None)
            if message is None:
                self.flush()
                self._read()
        return message

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

    def _read(self) -> None:
        data = self._stream.read(READ_BYTES, timeout_s=self._timeout_s)
        if not data:
            if self._decoder.held_bytes:
                raise CutOffError("the connection ended in the middle of a message")
            raise EOFError
        self._waiting = self._decode(data)

    def _decode(self, data: bytes) -> Iterator[Message]:
        for frame in self._decoder.feed(data):
            yield from decode(frame)

    def _write(self) -> None:
        """Write what was collected, as it is or packed; the lock is held."""
        if not self._unsent:
            return
        data = self._unsent[0] if len(self._unsent) == 1 else b"".join(self._unsent)
        self._unsent, self._unsent_bytes = [], 0
        chooser = self._chooser
        if len(data) >= PACK_MIN_BYTES and chooser.should_pack():
            raw_bytes, start_s = len(data), time.perf_counter()
            body = pack(data)
            chooser.note_packing(raw_bytes, len(body), time.perf_counter() - start_s)
            if len(body) < min(raw_bytes, MAX_BODY_BYTES):
                data = HEADER.pack(len(body), Kind.PACKED, 0, 0) + body
        else:
            sample = chooser.find_sample(data)
            if sample is not None:
                start_s = time.perf_counter()
                body = pack(sample)
                chooser.note_packing(len(sample), len(body), time.perf_counter() - start_s)
        start_s = time.perf_counter()
        self._stream.write(data)
        self.sent_bytes += len(data)
        chooser.note_sending(len(data), time.perf_counter() - start_s)

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
