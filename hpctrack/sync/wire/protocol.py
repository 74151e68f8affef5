"""How messages become bytes and bytes messages. Pure: touches no stream.

A stream begins with `MAGIC`; then frames follow, little-endian::

    u32 size of the body | u8 kind | u8 0 | u16 0 | body

Every body is a JSON object, but for `Kind.DATA`, which is bytes of a file. Fields go by name;
unknown fields and unknown kinds are passed over, so that either side may be the newer one.
``docs/reference/protocol.md`` says who may say what when.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from hpctrack.errors import ProtocolError
from hpctrack.sync.wire.messages import (
    Begin,
    Data,
    Done,
    End,
    Error,
    Fields,
    Hello,
    Inventory,
    Item,
    Kind,
    Message,
    Result,
    as_object,
)

MAGIC = b"\x89HPT\r\n\x1a\n"
"""What each side says first. A terminal, a text mode or a chatty login script cannot pass for it:
the bytes that those change or cannot make are all in it."""

HEADER = struct.Struct("<IBBH")

MAX_BODY_BYTES = 1024 * 1024
"""A longer frame is a broken or hostile peer; it bounds what a receiver must hold in memory."""

DATA_BYTES = 256 * 1024
"""How much of a file goes into one frame: the 8 bytes of a header are then nothing."""

INVENTORY_ITEMS = 1000
"""Items in one INVENTORY frame: at most 400 bytes each, well below `MAX_BODY_BYTES`."""

_READERS: dict[int, Callable[[Fields], Message]] = {
    one.kind: one.from_json for one in (Hello, Inventory, Begin, End, Result, Done, Error)
}


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
    if isinstance(message, Data):
        body: bytes | memoryview = message.body
    else:
        body = json.dumps(message.to_json(), separators=(",", ":")).encode()
    if len(body) > MAX_BODY_BYTES:
        raise ProtocolError(f"{len(body)} bytes do not fit in a frame of {MAX_BODY_BYTES}")
    return HEADER.pack(len(body), message.kind, 0, 0) + body


def decode(frame: Frame) -> Message | None:
    """Read a message, or None for a kind that only a newer hpctrack knows.

    Raises
    ------
    ProtocolError
        The body is not what its kind says.
    """
    if frame.kind == Kind.DATA:
        return Data(frame.body)
    read = _READERS.get(frame.kind)
    if read is None:
        return None
    try:
        value = json.loads(bytes(frame.body))
    except (ValueError, RecursionError):
        raise ProtocolError(f"a frame of kind {frame.kind} is not JSON") from None
    return read(as_object(value))


def split_inventory(items: Sequence[Item]) -> Iterator[Inventory]:
    """Cut a list of items into messages; at least one, and only the last says that it is."""
    for start in range(0, max(len(items), 1), INVENTORY_ITEMS):
        end = start + INVENTORY_ITEMS
        yield Inventory(tuple(items[start:end]), is_last=end >= len(items))


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
