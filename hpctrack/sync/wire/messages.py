"""The messages of a push, as values. `bodies` turns them into bytes and back.

There are few, and each is small enough to be drawn on a napkin: the sender offers what it has
(`Offer`), the receiver answers what it wants (`Answer`), files and new rows travel (`File`,
`Begin`, `Data`, `End`, `Rows`), and the receiver says what became of each (`Results`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, ClassVar

from hpctrack.sync.wire.tails import Tail

OLDEST_VERSION = 3
NEWEST_VERSION = 3
"""The versions that this hpctrack speaks; the highest that both sides speak is used."""

SOFTWARE_MAX_CHARS = 100
"""A peer's name for itself is shown to people, so it is cut."""

TOKEN_BYTES = 16
"""Half of a SHA-256: enough to tell whether two sides have the same, while each of them names only
its own files. Whole hashes travel with the files."""

SHA256_BYTES = 32

REQUEST_MAX_CHARS = 4096
"""Of what is asked of a sweep; it goes along with an answer."""

Fact = str | int
Facts = Mapping[str, Fact]


class Kind(IntEnum):
    """What a frame is. 2 to 6 were spoken by versions 1 and 2."""

    HELLO = 1
    DONE = 7
    ERROR = 8
    OFFER = 16
    ANSWER = 17
    FILE = 18
    BEGIN = 19
    DATA = 20
    END = 21
    ROWS = 22
    RESULTS = 23
    PACKED = 24
    """Other frames, compressed together; see `packing`."""


class ItemKind(StrEnum):
    """What is transferred."""

    SWEEP = "sweep"
    RUN = "run"
    """The sealed file of a run."""
    LIVE = "live"
    """A node file of a run that is not sealed; ``part`` of its key is the file's name."""
    ACCOUNTING = "accounting"
    """What the scheduler counted of a run: its key is the run's."""
    ANNOTATIONS = "annotations"
    """Name, notes and tags that people have given a run since."""
    PROGRESS = "progress"
    """How a sweep stands; offered only to who says in its HELLO that it takes it."""
    BLOB = "blob"
    """Bytes that are named by their SHA-256, once in a project."""
    UNKNOWN = "unknown"
    """Something that only a newer sender has. It is refused; what is offered with it is not."""


class Outcome(StrEnum):
    """What the receiver did with an item."""

    PUBLISHED = "published"
    REPLACED = "replaced"
    APPENDED = "appended"
    MERGED = "merged"
    PRESENT = "present"
    REFUSED = "refused"


class Wish(IntEnum):
    """What the receiver wants of an item that was offered."""

    WANTED = 0
    PRESENT = 1
    """It has the same."""
    CONTINUED = 2
    """It has a part, or another one: the details say from where to go on."""
    REFUSED = 3
    """It would not take it: the details say why."""


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of an item; the names have yet to be checked."""

    kind: ItemKind
    project: str
    id: str
    part: str = ""

    def __str__(self) -> str:
        """Return what people call it."""
        return f"{self.project}/{self.id}"


@dataclass(frozen=True, slots=True)
class Hello:
    """Both sides, first: which versions they speak.

    Parameters
    ----------
    oldest, newest : int
        Versions of the protocol.
    software : str
        For people.
    unpacks : tuple of str
        Compressions that this side can read.
    now_wall_s : float
        Its clock, for the message about clocks that differ; nothing else depends on it.
    takes : tuple of str
        Kinds of items that it knows beyond those of the version's beginning.
    """

    kind: ClassVar[Kind] = Kind.HELLO
    oldest: int = OLDEST_VERSION
    newest: int = NEWEST_VERSION
    software: str = ""
    unpacks: tuple[str, ...] = ()
    now_wall_s: float = 0.0
    takes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Offered:
    """What the sender says of one thing that it has.

    Parameters
    ----------
    key : Key
    token : bytes
        `TOKEN_BYTES` long: the beginning of its SHA-256, or of its state's for a node file. If it
        was never read, something that stays the same as long as the file does.
    is_hashed : bool
        Whether the token is made of the content.
    """

    key: Key
    token: bytes
    is_hashed: bool = True


@dataclass(frozen=True, slots=True)
class Offer:
    """Some of what the sender has. Items are numbered through all offers of a push, from 0."""

    kind: ClassVar[Kind] = Kind.OFFER
    items: tuple[Offered, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver wants of one offer.

    Parameters
    ----------
    wishes : bytes
        One `Wish` for each item of the offer.
    details : mapping
        By position in the offer: ``offset`` (bytes of it that are there), ``sha256`` (of the file
        that is there), ``rows`` and ``uuid`` (of the replica), ``annotations`` (of the other side),
        ``request`` (what was asked of a sweep there), ``code`` and ``facts`` (why it is refused).
    """

    kind: ClassVar[Kind] = Kind.ANSWER
    wishes: bytes
    details: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class File:
    """A small file, whole."""

    kind: ClassVar[Kind] = Kind.FILE
    number: int
    sha256: bytes
    data: bytes | memoryview


@dataclass(frozen=True, slots=True)
class Begin:
    """The bytes of a file follow, from an offset on."""

    kind: ClassVar[Kind] = Kind.BEGIN
    number: int
    size_bytes: int
    offset_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of the file that has begun; valid until the next message is read."""

    kind: ClassVar[Kind] = Kind.DATA
    body: bytes | memoryview


@dataclass(frozen=True, slots=True)
class End:
    """All bytes of the file have been sent; the hash is that of the whole file."""

    kind: ClassVar[Kind] = Kind.END
    number: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Rows:
    """New rows of a node file."""

    kind: ClassVar[Kind] = Kind.ROWS
    number: int
    sha256: bytes
    """Of all pieces, one after the other."""
    tail: Tail


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an item; ``code`` and ``facts`` say why it was refused."""

    number: int
    outcome: Outcome
    code: str = ""
    facts: Facts = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Results:
    """What became of some items; what is published is on the disk."""

    kind: ClassVar[Kind] = Kind.RESULTS
    results: tuple[Result, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """The sender has no more; the receiver echoes it when everything is safe."""

    kind: ClassVar[Kind] = Kind.DONE


@dataclass(frozen=True, slots=True)
class Error:
    """The whole transfer ends here."""

    kind: ClassVar[Kind] = Kind.ERROR
    code: str
    facts: Facts = field(default_factory=dict)


Message = Hello | Offer | Answer | File | Begin | Data | End | Rows | Results | Done | Error
