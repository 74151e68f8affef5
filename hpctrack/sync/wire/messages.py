"""The messages of a push, as types. `protocol` turns them into frames and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import Any, ClassVar, Self

from hpctrack.errors import ProtocolError

OLDEST_VERSION = 1
NEWEST_VERSION = 2
"""The versions that this hpctrack speaks; the highest that both sides speak is used."""

ACCOUNTING_VERSION = 2
"""From this one on, what Slurm counted of a run goes along."""

SOFTWARE_MAX_CHARS = 100
"""A peer's name for itself is shown to people, so it is cut."""

_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Fact = str | int
Facts = Mapping[str, Fact]
Fields = Mapping[str, Any]


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
    ACCOUNTING = "accounting"
    """What the scheduler counted of a run: its key is the run's."""


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
    """A file of one side: a run's sealed file or its accounting, or a sweep's description.

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
        fields = as_object(value)
        try:
            kind = ItemKind(take(fields, "kind", str))
        except ValueError:
            raise ProtocolError("an item is of an unknown kind") from None
        sha256, size_bytes = take(fields, "sha256", str), take(fields, "size_bytes", int)
        if not _SHA256.match(sha256) or size_bytes < 0:
            raise ProtocolError("an item has a hash or a size that cannot be")
        key = Key(kind, take(fields, "project", str), take(fields, "id", str))
        return cls(key, sha256, size_bytes)


@dataclass(frozen=True, slots=True)
class Hello:
    """Both sides, first: which versions they speak."""

    kind: ClassVar[Kind] = Kind.HELLO
    oldest: int = OLDEST_VERSION
    newest: int = NEWEST_VERSION
    software: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        versions = {"oldest": self.oldest, "newest": self.newest}
        return {"protocol": versions, "software": self.software}

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read the body."""
        versions = as_object(fields.get("protocol"))
        oldest, newest = take(versions, "oldest", int), take(versions, "newest", int)
        return cls(oldest, newest, str(fields.get("software", ""))[:SOFTWARE_MAX_CHARS])


@dataclass(frozen=True, slots=True)
class Inventory:
    """What the sender has; the receiver answers with what it has of these."""

    kind: ClassVar[Kind] = Kind.INVENTORY
    items: tuple[Item, ...]
    is_last: bool

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        return {"items": [one.to_json() for one in self.items], "is_last": self.is_last}

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read the body."""
        items = tuple(Item.from_json(one) for one in take(fields, "items", list))
        return cls(items, take(fields, "is_last", bool))


@dataclass(frozen=True, slots=True)
class Begin:
    """The bytes of an item follow."""

    kind: ClassVar[Kind] = Kind.BEGIN
    number: int
    item: Item

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        return {"number": self.number, "item": self.item.to_json()}

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read the body."""
        return cls(take(fields, "number", int), Item.from_json(fields.get("item")))


@dataclass(frozen=True, slots=True)
class Data:
    """Bytes of the item that has begun; valid until the next message is read."""

    kind: ClassVar[Kind] = Kind.DATA
    body: bytes | memoryview


@dataclass(frozen=True, slots=True)
class End:
    """All bytes of the item have been sent."""

    kind: ClassVar[Kind] = Kind.END
    number: int

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        return {"number": self.number}

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read the body."""
        return cls(take(fields, "number", int))


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an item; ``code`` and ``facts`` say why it was refused."""

    kind: ClassVar[Kind] = Kind.RESULT
    number: int
    outcome: Outcome
    code: str = ""
    facts: Facts = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        return {
            "number": self.number,
            "outcome": self.outcome,
            "code": self.code,
            "facts": dict(self.facts),
        }

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read the body."""
        try:
            outcome = Outcome(take(fields, "outcome", str))
        except ValueError:
            raise ProtocolError("a result has an unknown outcome") from None
        code = str(fields.get("code", ""))
        return cls(take(fields, "number", int), outcome, code, take_facts(fields))


@dataclass(frozen=True, slots=True)
class Done:
    """The sender has no more; the receiver echoes it when everything is safe."""

    kind: ClassVar[Kind] = Kind.DONE

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        return {}

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read the body: there is nothing in it."""
        del fields
        return cls()


@dataclass(frozen=True, slots=True)
class Error:
    """The whole transfer ends here."""

    kind: ClassVar[Kind] = Kind.ERROR
    code: str
    facts: Facts = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the body."""
        return {"code": self.code, "facts": dict(self.facts)}

    @classmethod
    def from_json(cls, fields: Fields) -> Self:
        """Read the body."""
        return cls(take(fields, "code", str), take_facts(fields))


Message = Hello | Inventory | Begin | Data | End | Result | Done | Error


def take_facts(fields: Fields) -> dict[str, Fact]:
    """Return what can be shown; a peer's nested values are not."""
    facts = fields.get("facts")
    if not isinstance(facts, dict):
        return {}
    return {str(key): one for key, one in facts.items() if isinstance(one, (str, int))}


def as_object(value: object) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    ProtocolError
        It is none.
    """
    if not isinstance(value, dict):
        raise ProtocolError("a message is not a JSON object")
    return value


def take(fields: Fields, name: str, kind: type) -> Any:
    """Return a field of a type.

    Raises
    ------
    ProtocolError
        It is not there, or of another type.
    """
    value = fields.get(name)
    # True is an int for Python and is none here.
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ProtocolError(f"a message lacks {name!r}, or it is no {kind.__name__}")
    return value
