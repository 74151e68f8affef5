"""What is in a bundle: the frames of a push, an index of them, and a seal.

::

    MAGIC | HELLO, OFFER, FILE ... DONE | INDEX ... | SEAL | u64 start of the first INDEX | TAIL

Everything up to the first INDEX is what a sender says to a receiver that has nothing, frame for
frame as in ``docs/reference/protocol.md``. The index names each item in the order of the items'
numbers; the seal has the SHA-256 of all that is before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from hpctrack.errors import ProtocolError, StoreFormatError
from hpctrack.sync.wire.messages import ItemKind, Key
from hpctrack.sync.wire.protocol import HEADER, MAX_BODY_BYTES, Frame

MAGIC = b"\x89HPB\r\n\x1a\n"
TAIL = b"HPBundle"

KIND_INDEX = 0xB0
KIND_SEAL = 0xB1
"""Far from the kinds of the protocol, which a bundle shares its frames with."""

INDEX_ITEMS = 8192
"""In one frame: at most 400 bytes each."""

_FOOTER = struct.Struct(f"<Q{len(TAIL)}s")
_ITEM_FIELDS = 6


@dataclass(frozen=True, slots=True)
class IndexItem:
    """One thing in a bundle.

    Parameters
    ----------
    key : Key
    size_bytes : int
        Of the file, or of the rows.
    sha256 : str
        Of the file; empty for rows.
    """

    key: Key
    size_bytes: int
    sha256: str = ""

    def to_json(self) -> list[Any]:
        """Return it as it is in the index."""
        key = self.key
        return [key.kind, key.project, key.id, key.part, self.size_bytes, self.sha256]

    @classmethod
    def from_json(cls, value: object) -> IndexItem:
        """Read it back.

        Raises
        ------
        StoreFormatError
            It is none.
        """
        if isinstance(value, list) and len(value) == _ITEM_FIELDS:
            kind, *names, size_bytes, sha256 = value
            is_right = all(isinstance(one, str) for one in (*names, sha256))
            if is_right and isinstance(size_bytes, int) and kind in list(ItemKind):
                return cls(Key(ItemKind(kind), *names), size_bytes, sha256)
        raise StoreFormatError("the index of the bundle cannot be read")


class BundleWriter:
    """Writes a bundle, from its beginning to its end.

    Parameters
    ----------
    file : binary file
        Need not be seekable.

    Attributes
    ----------
    size_bytes : int
        Written so far.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.size_bytes = 0
        self._file = file
        self._hash = hashlib.sha256()

    def begin(self) -> None:
        """Write the first bytes."""
        self.write(MAGIC)

    def write(self, data: bytes) -> None:
        """Write frames."""
        self._file.write(data)
        self._hash.update(data)
        self.size_bytes += len(data)

    def finish(self, items: Sequence[IndexItem]) -> None:
        """Write the index and the seal."""
        index_start = self.size_bytes
        for start in range(0, max(len(items), 1), INDEX_ITEMS):
            part = [one.to_json() for one in items[start : start + INDEX_ITEMS]]
            self.write(_frame(KIND_INDEX, {"items": part}))
        seal = {
            "items": len(items),
            "size_bytes": self.size_bytes,
            "sha256": self._hash.hexdigest(),
        }
        self.write(_frame(KIND_SEAL, seal))
        self.write(_FOOTER.pack(index_start, TAIL))


def read_magic(file: BinaryIO, name: str) -> None:
    """Read the first bytes.

    Raises
    ------
    StoreFormatError
        It is no bundle.
    """
    if _read_exactly(file, len(MAGIC)) != MAGIC:
        raise StoreFormatError(f"{name} is no bundle", hint="`hpctrack bundle create` makes one")


def iter_frames(file: BinaryIO) -> Iterator[tuple[Frame, bytes]]:
    """Yield each frame, and its bytes as they are in the file.

    Raises
    ------
    EOFError
        The file ends within a frame, or before one.
    ProtocolError
        What comes is no frame.
    """
    while True:
        head = _read_exactly(file, HEADER.size)
        if len(head) < HEADER.size:
            raise EOFError
        size_bytes, kind, *_zeros = HEADER.unpack(head)
        if size_bytes > MAX_BODY_BYTES:
            raise ProtocolError("a frame of the bundle is longer than frames are")
        body = _read_exactly(file, size_bytes)
        if len(body) < size_bytes:
            raise EOFError
        yield Frame(kind, memoryview(body)), head + body


def has_footer(file: BinaryIO) -> bool:
    """Tell whether a footer comes next, and nothing behind it."""
    footer = _read_exactly(file, _FOOTER.size + 1)
    return len(footer) == _FOOTER.size and footer.endswith(TAIL)


def read_index(file: BinaryIO, name: str) -> list[IndexItem]:
    """Return what a bundle says that it holds, without reading all of it.

    Parameters
    ----------
    file : binary file
        Seekable.
    name : str
        For messages.

    Raises
    ------
    StoreFormatError
        It is no bundle, or has no end.
    """
    file.seek(0)
    read_magic(file, name)
    size_bytes = file.seek(0, 2)
    file.seek(max(0, size_bytes - _FOOTER.size))
    footer = file.read(_FOOTER.size)
    start, tail = _FOOTER.unpack(footer) if len(footer) == _FOOTER.size else (0, b"")
    if tail != TAIL or not len(MAGIC) <= start < size_bytes:
        raise StoreFormatError(f"{name} has no end: it was cut off", hint="copy it once more")
    file.seek(start)
    items: list[IndexItem] = []
    with contextlib.suppress(EOFError, ProtocolError):
        for frame, _raw in iter_frames(file):
            if frame.kind == KIND_SEAL:
                return items
            items += read_index_frame(frame)
    raise StoreFormatError(f"the index of {name} is damaged", hint="copy it once more")


def read_index_frame(frame: Frame) -> list[IndexItem]:
    """Return the items in an INDEX frame.

    Raises
    ------
    StoreFormatError
        It is damaged.
    """
    found = _load(frame).get("items") if frame.kind == KIND_INDEX else None
    if not isinstance(found, list):
        raise StoreFormatError("the index of the bundle cannot be read")
    return [IndexItem.from_json(one) for one in found]


def read_seal_frame(frame: Frame) -> str:
    """Return the SHA-256 that a SEAL frame says; empty if it is damaged."""
    try:
        return str(_load(frame).get("sha256", ""))
    except StoreFormatError:
        return ""


def _load(frame: Frame) -> dict[str, Any]:
    try:
        found = json.loads(bytes(frame.body))
    except (ValueError, RecursionError):
        raise StoreFormatError("the bundle is damaged") from None
    return found if isinstance(found, dict) else {}


def _frame(kind: int, value: object) -> bytes:
    body = json.dumps(value, separators=(",", ":")).encode()
    return HEADER.pack(len(body), kind, 0, 0) + body


def _read_exactly(file: BinaryIO, size_bytes: int) -> bytes:
    """Read so many bytes, or what there is: a pipe gives less at a time."""
    parts, left = [], size_bytes
    while left > 0:
        data = file.read(left)
        if not data:
            break
        parts.append(data)
        left -= len(data)
    return parts[0] if len(parts) == 1 else b"".join(parts)
