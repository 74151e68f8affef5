"""What somebody asked of a sweep from elsewhere, and what became of that.

A sweep runs on a cluster; people look at it on a server that the cluster pushes to and that cannot
reach back. Who asks there leaves ``request.json`` beside the sweep's description; the next push
brings it to the sweep's own folder, where it is done once, and ``taken.json`` says so. ADR 0023.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.layout import REQUEST_NAME, TAKEN_NAME
from hpctrack.errors import StoreFormatError, UsageError
from hpctrack.sweeps.control import Wish
from hpctrack.sweeps.folder import SweepFolder, read_json, write_json

REQUEST_MAX_BYTES = 4096
WHO_MAX_CHARS = 100
ID_BYTES = 8

ASKABLE = (Wish.RUN, Wish.PAUSE, Wish.STOP)
"""From elsewhere; CANCEL kills programs, and is said where they run."""

_STRENGTH = {Wish.RUN: 0, Wish.PAUSE: 1, Wish.STOP: 2, Wish.CANCEL: 3}


class Taking(StrEnum):
    """What became of a request."""

    DONE = "done"
    OVERTAKEN = "overtaken"
    """Somebody at the sweep had wished more by then, of which the asker knew nothing."""
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody asked for.

    Parameters
    ----------
    id : str
        Drawn when it was asked.
    wish : Wish
        One of `ASKABLE`.
    seen : Wish
        What was wished of the sweep as far as the asker could see.
    who : str
        By whom.
    wall_s : float
        When, by the clock of the asker's side; for people only.
    """

    id: str
    wish: Wish
    seen: Wish
    who: str = ""
    wall_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """Return what is stored."""
        return {"format": 1, **asdict(self)}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Read it back.

        Raises
        ------
        StoreFormatError
            It is none, or asks for what cannot be asked for.
        """
        try:
            found = cls(
                id=str(value["id"]),
                wish=Wish(value["wish"]),
                seen=Wish(value["seen"]),
                who=str(value.get("who", ""))[:WHO_MAX_CHARS],
                wall_s=float(value.get("wall_s", 0.0)),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise StoreFormatError(f"what was asked of the sweep is garbled: {error}") from None
        if found.wish not in ASKABLE or not 0 < len(found.id) <= 4 * ID_BYTES:
            raise StoreFormatError("what was asked of the sweep cannot be asked for")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of the last request that came.

    Parameters
    ----------
    id : str
        The request's.
    taking : Taking
    wall_s : float
        When, by the clock of the sweep's side.
    host : str
        Where.
    note : str
        Why it failed.
    """

    id: str
    taking: Taking
    wall_s: float = 0.0
    host: str = ""
    note: str = ""

    @classmethod
    def from_json(cls, value: Any) -> Self | None:
        """Read it back; None if it is none."""
        try:
            return cls(
                id=str(value["id"]),
                taking=Taking(value["taking"]),
                wall_s=float(value["wall_s"]),
                host=str(value.get("host", "")),
                note=str(value.get("note", "")),
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return None


def is_weaker(wish: Wish, than: Wish) -> bool:
    """Tell whether a wish asks less of the workers: to go on instead of to stop."""
    return _STRENGTH[wish] < _STRENGTH[than]


def write_request(
    folder: SweepFolder, wish: Wish, *, seen: Wish, who: str = "", clock: Clock = SYSTEM_CLOCK
) -> Request:
    """Leave a request for whoever comes from the sweep, in place of the one before.

    Raises
    ------
    UsageError
        That cannot be asked for from elsewhere.
    StoreError
        It cannot be written.
    """
    if wish not in ASKABLE:
        raise UsageError(
            f"{wish.value} cannot be asked for from here", hint="say it where the sweep runs"
        )
    request = Request(
        id=secrets.token_hex(ID_BYTES),
        wish=wish,
        seen=seen,
        who=who[:WHO_MAX_CHARS],
        wall_s=clock.wall_s(),
    )
    write_json(folder.path / REQUEST_NAME, request.to_json())
    return request


def parse_request(text: str) -> Request:
    """Read a request that has travelled.

    Raises
    ------
    StoreFormatError
        It is none.
    """
    try:
        return Request.from_json(json.loads(text))
    except (ValueError, RecursionError):
        raise StoreFormatError("what was asked of the sweep is no JSON") from None


def read_request(folder: SweepFolder) -> Request | None:
    """Return what was asked last; None if nothing was, or nobody can read it."""
    try:
        return Request.from_json(read_json(folder.path / REQUEST_NAME))
    except (FileNotFoundError, StoreFormatError):
        return None


def read_taken(folder: SweepFolder) -> Taken | None:
    """Return what became of the last request that came; None if none has come."""
    try:
        return Taken.from_json(read_json(folder.path / TAKEN_NAME))
    except (FileNotFoundError, StoreFormatError):
        return None


def write_taken(folder: SweepFolder, taken: Taken) -> None:
    """Say what became of a request.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    path: Path = folder.path / TAKEN_NAME
    write_json(path, asdict(taken))
