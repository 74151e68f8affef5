"""Things that could be sent, and those that stay here."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum

from hpctrack.core.layout import FileStamp
from hpctrack.sync.files.inventory import HashCache, identify, make_stamp_token, make_token
from hpctrack.sync.wire.messages import Key, Offered


class Skipped(StrEnum):
    """Why a run is not offered to the other side."""

    RUNNING = "running"
    BUSY = "being sealed"
    UNSEALED = "not sealed"
    TO_SEAL = "to be sealed"
    """Only said by a dry run: the real one seals and sends it."""
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class LeftRun:
    """A run that stays here.

    Parameters
    ----------
    key : Key
    why : Skipped
    text : str
        More about it, for people.
    """

    key: Key
    why: Skipped
    text: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file that can be offered.

    Parameters
    ----------
    key : Key
    path : str
    name : str
        The same within the store, as the cache of hashes has it.
    stamp : FileStamp
        As it was when it was found: a tenth of what ``stat`` returns, which counts for 100,000.
    digest : str
        SHA-256 of the file, or the digest of a node file's state, in hexadecimal digits; empty if
        it was not read yet.
    alive_until_s : float
        Of a node file of a run that is going on: as long as nobody writes it, its run goes on up to
        this time. 0 of others.
    by_stamp : bool
        Offer it as if it had not been read: the other side then tells its own file's hash, or that
        it has this very file.
    """

    key: Key
    path: str
    name: str
    stamp: FileStamp
    digest: str
    alive_until_s: float = 0.0
    by_stamp: bool = False

    @classmethod
    def find(cls, key: Key, store: str, name: str, cache: HashCache) -> Candidate:
        """Make it of a file that may have been hashed before.

        Raises
        ------
        OSError
            It is not there (any more).
        """
        path = f"{store}/{name}"
        stamp = identify(os.stat(path))  # noqa: PTH116 - 100,000 files
        digest, _, until = cache.find(name, stamp).partition(" ")
        try:
            return cls(key, path, name, stamp, digest, float(until or 0))
        except ValueError:  # of another version
            return cls(key, path, name, stamp, "")

    def remember(self, cache: HashCache) -> None:
        """Keep what has been found out: none of it is asked again as long as nobody writes it."""
        until = f" {self.alive_until_s!r}" if self.alive_until_s else ""
        cache.remember(self.name, self.stamp, f"{self.digest}{until}")

    @property
    def offered(self) -> Offered:
        """What is said of it."""
        if self.digest and not self.by_stamp:
            return Offered(self.key, make_token(self.digest))
        return Offered(self.key, make_stamp_token(self.name, self.stamp), is_hashed=False)


@dataclass(slots=True)
class Chunk:
    """Some of what there is."""

    candidates: list[Candidate] = field(default_factory=list)
    left: list[LeftRun] = field(default_factory=list)
