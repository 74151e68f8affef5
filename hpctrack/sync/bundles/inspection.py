"""Whether a bundle is whole, and if not, how much of it is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import BinaryIO

from hpctrack.errors import HpctrackError, ProtocolError, StoreFormatError
from hpctrack.sync.bundles.layout import (
    KIND_INDEX,
    KIND_SEAL,
    MAGIC,
    IndexItem,
    has_footer,
    iter_frames,
    read_index_frame,
    read_magic,
    read_seal_frame,
)
from hpctrack.sync.wire.messages import Begin, Data, End, File, Message, Offer, Rows
from hpctrack.sync.wire.protocol import decode


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspection:
    """What was found in a bundle that was read from its beginning to its end.

    Parameters
    ----------
    problem : str
        What is wrong with it; empty if it is whole.
    items : tuple of IndexItem
        By number; empty if it is not whole.
    size_bytes : int
        What of it could be read.
    """

    problem: str
    items: tuple[IndexItem, ...]
    size_bytes: int


def inspect_bundle(file: BinaryIO, name: str) -> Inspection:
    """Read a bundle and compare it with its seal.

    Parameters
    ----------
    file : binary file
        At its beginning.
    name : str
        What people call it.

    Raises
    ------
    StoreFormatError
        It is no bundle at all.
    """
    read_magic(file, name)
    hash_, size_bytes = hashlib.sha256(MAGIC), len(MAGIC)
    items: list[IndexItem] = []
    problem = ""
    try:
        for frame, raw in iter_frames(file):
            if frame.kind == KIND_SEAL:
                if read_seal_frame(frame) != hash_.hexdigest():
                    problem = "it is damaged: it does not have the SHA-256 that its end says"
                elif not has_footer(file):
                    problem = "its last bytes are not what they should be"
                break
            if frame.kind == KIND_INDEX:
                items += read_index_frame(frame)
            hash_.update(raw)
            size_bytes += len(raw)
    except EOFError:
        problem = f"it was cut off after {size_bytes} bytes"
    except (ProtocolError, StoreFormatError):
        problem = f"it is damaged {size_bytes} bytes from its beginning"
    return Inspection(problem=problem, items=() if problem else tuple(items), size_bytes=size_bytes)


@dataclass(frozen=True, slots=True)
class Good:
    """How much of a damaged bundle can be used.

    Parameters
    ----------
    whole, known : int
        Things that are whole, and that the bundle is known to hold or have held.
    """

    whole: int
    known: int


def count_good(file: BinaryIO, name: str) -> Good:
    """Count what is whole in a bundle that is not, by the hashes of its items.

    Parameters
    ----------
    file : binary file
        At its beginning.
    name : str
        What people call it.
    """
    read_magic(file, name)
    counter = _Counter()
    try:
        for frame, _raw in iter_frames(file):
            try:
                for message in decode(frame):
                    counter.take(message)
            except HpctrackError:
                continue  # a pack that is damaged; the next one may be whole
    except (EOFError, ProtocolError):
        pass
    return Good(len(counter.whole), max(counter.known, len(counter.whole)))


class _Counter:
    def __init__(self) -> None:
        self.whole: set[int] = set()
        self.known = 0
        self._hash = hashlib.sha256()
        self._begun: tuple[int, int] = (-1, 0)

    def take(self, message: Message) -> None:
        match message:
            case Offer():
                self.known += len(message.items)
            case File():
                if hashlib.sha256(message.data).digest() == message.sha256:
                    self.whole.add(message.number)
            case Begin():
                self._hash, self._begun = hashlib.sha256(), (message.number, message.size_bytes)
            case Data():
                self._hash.update(message.body)
            case End():
                is_same = self._hash.digest() == message.sha256
                if is_same and self._begun[0] == message.number:
                    self.whole.add(message.number)
            case Rows():
                self.whole.add(message.number)
            case _:
                pass
