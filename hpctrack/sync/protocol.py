"""What the two sides of a push say to each other: frames and messages. Touches no stream.

A stream begins with `MAGIC`; then frames follow, little-endian::

    u32 size of the body | u8 kind | u8 0 | u16 0 | body

Every body is a JSON object, but for `Kind.DATA`, which is bytes of a file. Fields go by name;
unknown fields and unknown kinds are passed over, so that either side may be the newer one.
``docs/reference/protocol.md`` says who may say what when.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, Self

from hpctrack.errors import ProtocolError

OLDEST_VERSION = 1
NEWEST_VERSION = 1
"""The versions that this hpctrack speaks; the highest that both sides speak is used."""

MAGIC = b"\x89HPT\r\n\x1a\n"
"""What each side says first. A terminal, a text mode or a chatty login script cannot pass for it:
the bytes that those change or cannot make are all in it."""

HEADER = struct.Struct("<IBBH")

MAX_BODY_BYTES = 1024 * 1024
"""A longer frame is a broken or hostile peer; it bounds what a receiver must hold in memory."""

DATA_BYTES = 256 * 1024
"""How much of a file goes into one frame: the 8 bytes of a header are then nothing."""

INVENTORY_ITEMS = 1000
"""Items in one INVENTORY frame; each takes at most about 400 bytes, so a frame is never too long."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Fact = str | int
Facts = Mapping[str, Fact]


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    INVENTORY = 2
    BEGIN = 3
    DATA = 4
    END = 5
    RESULT = 6
    DONE = 7
    ERROR = 8


class ItemKind(StrEnum):
    """What is transferred."""

    RUN = "run"
    SWEEP = "sweep"


class Outcome(StrEnum):
    """What the receiver did with an item."""

    PUBLISHED = "published"
    REPLACED = "replaced"
    PRESENT = "present"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of an item; the names have yet to be checked."""

    kind: ItemKind
    project: str
    id: str

    def __str__(self) -> str:
        """Return what people call it."""
        return f"{self.project}/{self.id}"


@dataclass(frozen=True, slots=True)
class Item:
    """A file of one side: the sealed file of a run, or the description of a sweep.

    Parameters
    ----------
    key : Key
        What it is.
    sha256 : str
        64 hexadecimal digits.
    size_bytes : int
        At least 0.
    """

    key: Key
    sha256: str
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields of a message."""
        return {
            "kind": self.key.kind,
            "project": self.key.project,
            "id": self.key.id,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
        }

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read it back; types are checked here, names by who uses them."""
        fields = _as_object(value)
        try:
            kind = ItemKind(_take(fields, "kind", str))
        except ValueError:
            raise ProtocolError("an item is of an unknown kind") from None
        sha256, size_bytes = _take(fields, "sha256", str), _take(fields, "size_bytes", int)
        if not _SHA256.match(sha256) or size_bytes < 0:
            raise ProtocolError("an item has a hash or a size that cannot be")
        return cls(Key(kind, _take(fields, "project", str), _take(fields, "id", str)), sha256, size_bytes)


@dataclass(frozen=True, slots=True)
class Hello:
    """Both sides, first: which versions they speak."""

    oldest: int = OLDEST_VERSION
    newest: int = NEWEST_VERSION
    software: str = ""


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the sender has; the receiver answers with what it has of these."""

    items: tuple[Item, ...]
    is_last: bool


@dataclass(frozen=True, slots=True)
class Begin:
    """The bytes of an item follow."""

    number: int
    item: Item


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of the item that has begun; valid until the next message is read."""

    body: bytes | memoryview


@dataclass(frozen=True, slots=True)
class End:
    """All bytes of the item have been sent."""

    number: int


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an item; ``code`` and ``facts`` say why it was refused."""

    number: int
    outcome: Outcome
    code: str = ""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Done:
    """The sender has no more; the receiver echoes it when everything is safe."""


@dataclass(frozen=True, slots=True)
class Error:
    """The whole transfer ends here."""

    code: str
    facts: Facts = field(default_factory=dict)


Message = Hello | Inventory | Begin | Data | End | Result | Done | Error


@dataclass(frozen=True, slots=True)
class Frame:
    """One received frame; ``body`` is valid until the decoder is fed again."""

    kind: int
    body: memoryview


def encode(message: Message) -> bytes:
    """Make the frame of a message.

    Raises
    ------
    ProtocolError
        The body is longer than a frame may be.
    """
    match message:
        case Data(body):
            return pack_header(Kind.DATA, len(body)) + body
        case Hello():
            versions = {"oldest": message.oldest, "newest": message.newest}
            return _pack(Kind.HELLO, {"protocol": versions, "software": message.software})
        case Inventory(items, is_last):
            return _pack(Kind.INVENTORY, {"items": [i.to_json() for i in items], "is_last": is_last})
        case Begin(number, item):
            return _pack(Kind.BEGIN, {"number": number, **item.to_json()})
        case End(number):
            return _pack(Kind.END, {"number": number})
        case Result(number, outcome, code, facts):
            value = {"number": number, "outcome": outcome, "code": code, "facts": dict(facts)}
            return _pack(Kind.RESULT, value)
        case Done():
            return _pack(Kind.DONE, {})
        case Error(code, facts):
            return _pack(Kind.ERROR, {"code": code, "facts": dict(facts)})


def pack_header(kind: int, size_bytes: int) -> bytes:
    """Make the header of a frame, for who writes the body from its own buffer.

    Raises
    ------
    ProtocolError
        The body is longer than a frame may be.
    """
    if size_bytes > MAX_BODY_BYTES:
        raise ProtocolError(f"{size_bytes} bytes do not fit in a frame of {MAX_BODY_BYTES}")
    return HEADER.pack(size_bytes, kind, 0, 0)


def decode(frame: Frame) -> Message | None:
    """Read a message, or None for a kind that a newer peer knows.

    Raises
    ------
    ProtocolError
        The body is not what its kind says.
    """
    if frame.kind == Kind.DATA:
        return Data(frame.body)
    if frame.kind not in set(Kind):
        return None
    fields = _parse(frame)
    match Kind(frame.kind):
        case Kind.HELLO:
            versions = _as_object(fields.get("protocol"))
            oldest, newest = _take(versions, "oldest", int), _take(versions, "newest", int)
            return Hello(oldest, newest, str(fields.get("software", ""))[:100])
        case Kind.INVENTORY:
            items = tuple(Item.from_json(one) for one in _take(fields, "items", list))
            return Inventory(items, _take(fields, "is_last", bool))
        case Kind.BEGIN:
            return Begin(_take(fields, "number", int), Item.from_json(fields))
        case Kind.END:
            return End(_take(fields, "number", int))
        case Kind.RESULT:
            return _decode_result(fields)
        case Kind.DONE:
            return Done()
        case _:
            return Error(_take(fields, "code", str), _take_facts(fields))


def split_inventory(items: Sequence[Item]) -> Iterator[Inventory]:
    """Cut a list of items into messages; at least one, and only the last says that it is."""
    starts = range(0, max(len(items), 1), INVENTORY_ITEMS)
    for start in starts:
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
        older = "the other side" if theirs.newest < ours.oldest else "this side"
        raise ProtocolError(
            f"this side speaks protocol {_span(ours)}, the other {_span(theirs)}"
            + (f" ({theirs.software})" if theirs.software else ""),
            hint=f"update hpctrack on {older}",
        )
    return version


class Decoder:
    """Cuts a stream of bytes into frames; keeps the unfinished rest."""

    def __init__(self) -> None:
        self._rest = bytearray()

    @property
    def pending_bytes(self) -> int:
        """How many bytes of an unfinished frame are held; 0 between two frames."""
        return len(self._rest)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes.

        Raises
        ------
        ProtocolError
            A header announces a body longer than `MAX_BODY_BYTES`.
        """
        if self._rest:
            self._rest += data
            data = bytes(self._rest)
        view, start = memoryview(data), 0
        while len(data) - start >= HEADER.size:
            size_bytes, kind, _zero, _zeros = HEADER.unpack_from(data, start)
            if size_bytes > MAX_BODY_BYTES:
                raise ProtocolError(
                    f"a frame announces {size_bytes} bytes, at most {MAX_BODY_BYTES} are allowed"
                )
            body = start + HEADER.size
            if len(data) - body < size_bytes:
                break
            start = body + size_bytes
            yield Frame(kind, view[body:start])
        self._rest = bytearray(view[start:])


def _pack(kind: Kind, value: Mapping[str, Any]) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return pack_header(kind, len(body)) + body


def _parse(frame: Frame) -> dict[str, Any]:
    try:
        value = json.loads(bytes(frame.body))
    except (ValueError, RecursionError):
        raise ProtocolError(f"a frame of kind {frame.kind} is not JSON") from None
    return _as_object(value)


def _decode_result(fields: Mapping[str, Any]) -> Result:
    try:
        outcome = Outcome(_take(fields, "outcome", str))
    except ValueError:
        raise ProtocolError("a result has an unknown outcome") from None
    code = str(fields.get("code", ""))
    return Result(_take(fields, "number", int), outcome, code, _take_facts(fields))


def _take_facts(fields: Mapping[str, Any]) -> dict[str, Fact]:
    """Return what can be shown; a peer's nested values are not."""
    facts = fields.get("facts")
    if not isinstance(facts, dict):
        return {}
    return {str(key): one for key, one in facts.items() if isinstance(one, (str, int))}


def _as_object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError("a message is not a JSON object")
    return value


def _take(fields: Mapping[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    # True is an int for Python and is none here.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ProtocolError(f"a message lacks {name!r}, or it is no {kind.__name__}")
    return value


def _span(hello: Hello) -> str:
    return str(hello.newest) if hello.oldest == hello.newest else f"{hello.oldest} to {hello.newest}"
