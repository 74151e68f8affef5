"""How messages become frames and frames messages. Pure: touches no stream.

A stream begins with `MAGIC`; then frames follow, little-endian::

    u32 size of the body | u8 kind | u8 0 | u16 0 | body

`bodies` knows what is in them. Fields go by name; unknown fields and unknown kinds are passed over,
so that either side may be the newer one. ``docs/reference/protocol.md`` says who may say what when.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.bodies import read_body, write_body
from hpctrack.sync.wire.messages import Hello, Kind, Message
from hpctrack.sync.wire.packing import unpack

MAGIC = b"\x89HPT\r\n\x1a\n"
"""What each side says first. A terminal, a text mode or a chatty login script cannot pass for it:
the bytes that those change or cannot make are all in it."""

HEADER = struct.Struct("<IBBH")

MAX_BODY_BYTES = 5 * 1024 * 1024
"""A longer frame is a broken or hostile peer; it bounds what a receiver must hold in memory."""

DATA_BYTES = 512 * 1024
"""How much of a file goes into one frame: the 8 bytes of a header are then nothing."""

SMALL_BYTES = 1024 * 1024
"""A file up to this size travels in one frame."""

OFFER_ITEMS = 8192
"""Items in one OFFER frame: at most 150 bytes each, well below `MAX_BODY_BYTES`."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One received frame."""

    kind: int
    body: memoryview


def encode(message: Message) -> bytes:
    """Make the frame of a message.

    Raises
    ------
    ProtocolError
        The body is longer than a frame may be.
    """
    body = write_body(message)
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(f"{len(body)} bytes do not fit in a frame of {MAX_BODY_BYTES}")
    return HEADER.pack(len(body), message.kind, 0, 0) + body


def decode(frame: Frame) -> Iterator[Message]:
    """Read the message of a frame; several of a packed one, none of a kind that is not known.

    Raises
    ------
    ProtocolError
        The body is not what its kind says.
    """
    if frame.kind != Kind.PACKED:
        message = read_body(frame.kind, frame.body)
        if message is not None:
            yield message
        return
    for inner in _split(unpack(frame.body, max_bytes=2 * MAX_BODY_BYTES)):
        if inner.kind == Kind.PACKED:
            raise ProtocolError("a pack is in another one")
        yield from decode(inner)


def negotiate(ours: Hello, theirs: Hello) -> int:
    """Return the version to speak: the highest that both know.

    Raises
    ------
    ProtocolError
        There is none; the message names both sides' versions.
    """
    version = min(ours.newest, theirs.newest)
    if version < max(ours.oldest, theirs.oldest):
        behind = "the other side" if theirs.newest < ours.oldest else "this side"
        raise ProtocolError(
            f"this side speaks protocol {_span(ours)}, the other {_span(theirs)}"
            + (f" ({theirs.software})" if theirs.software else ""),
            hint=f"update hpctrack on {behind}",
        )
    return version


class Decoder:
    """Cuts a stream of bytes into frames; keeps the unfinished rest.

    What has come of a frame is joined once, when the frame is whole: a long frame that arrives
    in small pieces is not copied for each of them.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._held_bytes = 0
        self._wanted_bytes = HEADER.size

    @property
    def held_bytes(self) -> int:
        """How many bytes of an unfinished frame are held; 0 between two frames."""
        return self._held_bytes

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes. Read all of them before feeding more.

        Raises
        ------
        ProtocolError
            A header announces a body longer than `MAX_BODY_BYTES`.
        """
        self._parts.append(data)
        self._held_bytes += len(data)
        if self._held_bytes < self._wanted_bytes:
            return
        whole, start = b"".join(self._parts), 0
        while True:
            self._wanted_bytes, kind = _measure(whole, start)
            end = start + self._wanted_bytes
            if end > len(whole):
                break
            if kind is not None:
                yield Frame(kind, memoryview(whole)[start + HEADER.size : end])
                start = end
        self._parts, self._held_bytes = [whole[start:]], len(whole) - start


def _split(data: bytes) -> Iterator[Frame]:
    """Yield the frames of a pack, which holds whole ones."""
    start, view = 0, memoryview(data)
    while start < len(data):
        size_bytes, kind = _measure(data, start)
        if kind is None or start + size_bytes > len(data):
            raise ProtocolError("a pack ends in the middle of a message")
        yield Frame(kind, view[start + HEADER.size : start + size_bytes])
        start += size_bytes


def _measure(data: bytes, start: int) -> tuple[int, int | None]:
    """Return size and kind of the frame at ``start``; its header's size and None before that."""
    if len(data) - start < HEADER.size:
        return HEADER.size, None
    size_bytes, kind, _zero, _zeros = HEADER.unpack_from(data, start)
    if size_bytes > MAX_BODY_BYTES:
        raise ProtocolError(
            f"a frame announces {size_bytes} bytes, at most {MAX_BODY_BYTES} are allowed"
        )
    return HEADER.size + size_bytes, kind


def _span(hello: Hello) -> str:
    """Name a range of versions."""
    if hello.oldest == hello.newest:
        return str(hello.newest)
    return f"{hello.oldest} to {hello.newest}"
