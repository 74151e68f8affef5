"""A receiver that has nothing, wants everything, and writes down what it is told."""

from __future__ import annotations

from dataclasses import replace

from hpctrack.core import __version__
from hpctrack.errors import ProtocolError
from hpctrack.sync.bundles.layout import BundleWriter, IndexItem
from hpctrack.sync.wire.messages import (
    Answer,
    Begin,
    Data,
    Done,
    End,
    File,
    Hello,
    ItemKind,
    Message,
    Offer,
    Outcome,
    Result,
    Results,
    Rows,
    Wish,
)
from hpctrack.sync.wire.packing import ZSTD, can_pack
from hpctrack.sync.wire.protocol import MAGIC, Decoder, decode, encode


class Recording:
    """A `Transport` to a bundle instead of a receiver: a `Sender` does not see the difference.

    Parameters
    ----------
    writer : BundleWriter
        Where everything goes that is said, from HELLO to DONE.
    name : str
        What people call the bundle.

    Attributes
    ----------
    items : list of IndexItem
        What has been offered so far, and what has come of it.
    problem : OSError or None
        Why the file could not be written. The sender sees a connection that is lost.
    """

    def __init__(self, writer: BundleWriter, name: str) -> None:
        self.items: list[IndexItem] = []
        self.problem: OSError | None = None
        self.carrier, self.reason = "file", ""
        self.peer = name
        self._writer = writer
        self._decoder = Decoder()
        self._greeting = b""
        self._answers = bytearray()

    def write(self, data: bytes) -> None:
        """Take what the sender says, and answer."""
        missing = len(MAGIC) - len(self._greeting)
        if missing:
            self._greeting += data[:missing]
            data = data[missing:]
            if self._greeting == MAGIC:
                self._answers += MAGIC
        if not data:
            return
        try:
            self._writer.write(data)
        except OSError as error:
            self.problem = error
            raise ConnectionError(str(error)) from None
        for frame in self._decoder.feed(data):
            for message in decode(frame):
                self._take(message)

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        """Return what was answered; there is always an answer when one is waited for."""
        del timeout_s
        data = bytes(self._answers[:max_bytes])
        del self._answers[:max_bytes]
        return data

    def poll(self, timeout_s: float) -> bool:
        """Tell whether there is an answer."""
        del timeout_s
        return bool(self._answers)

    def read_stderr(self) -> str:
        """Return nothing: nobody prints anything."""
        return ""

    def wait(self, timeout_s: float) -> int | None:
        """Return an exit status."""
        del timeout_s
        return 0

    def close(self) -> None:
        """Do nothing."""

    def _take(self, message: Message) -> None:
        match message:
            case Hello():
                packs = (ZSTD,) if can_pack() else ()
                self._answer(Hello(software=f"hpctrack {__version__}", unpacks=packs))
            case Offer():
                self.items += [IndexItem(one.key, 0) for one in message.items]
                self._answer(Answer(bytes([Wish.WANTED] * len(message.items))))
            case File():
                self._count(message.number, len(message.data))
                self._confirm(message.number, message.sha256)
            case Begin():
                self._count(message.number, message.size_bytes)
            case End():
                self._confirm(message.number, message.sha256)
            case Rows():
                self._count(message.number, sum(len(one.data) for one in message.tail.pieces))
                self._confirm(message.number)
            case Data():
                pass
            case Done():
                self._answer(Done())
            case _:
                raise ProtocolError(f"{message.kind.name} does not belong into a bundle")

    def _count(self, number: int, size_bytes: int) -> None:
        item = self.items[number]
        self.items[number] = replace(item, size_bytes=item.size_bytes + size_bytes)

    def _confirm(self, number: int, sha256: bytes = b"") -> None:
        self.items[number] = replace(self.items[number], sha256=sha256.hex())
        is_live = self.items[number].key.kind == ItemKind.LIVE
        outcome = Outcome.APPENDED if is_live else Outcome.PUBLISHED
        self._answer(Results((Result(number, outcome),)))

    def _answer(self, message: Message) -> None:
        self._answers += encode(message)
