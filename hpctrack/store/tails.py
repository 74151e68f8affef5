"""What is new in a live node file, as values. Standard library only, and no files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TAIL_BYTES = 4 * 1024 * 1024
"""A tail is held in memory on both sides until its hash is known, so it is cut at this size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """How far a node file, or its replica on another machine, has come.

    Parameters
    ----------
    uuid : str
        Of the file; a replica has its original's.
    rows : mapping
        Rows of each table.
    pulse_wall_s : float
        The agent's last sign of life.
    closed_wall_s : float
        Its farewell, or 0.
    as_of_wall_s : float
        When the original was looked at, by the clock of the machine that has it.
    """

    uuid: str
    rows: Mapping[str, int] = field(default_factory=dict)
    pulse_wall_s: float = 0.0
    closed_wall_s: float = 0.0
    as_of_wall_s: float = 0.0

    @property
    def digest(self) -> bytes:
        """16 bytes that are the same on both sides when there is nothing new.

        The time of the look counts only as long as nobody has said farewell: a run that is going
        on is news even if it logged nothing, for it was still alive.
        """
        facts = [
            self.uuid,
            sorted(self.rows.items()),
            self.pulse_wall_s,
            self.closed_wall_s,
            0.0 if self.closed_wall_s else self.as_of_wall_s,
        ]
        return hashlib.sha256(json.dumps(facts).encode()).digest()[:16]


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one table, as they are in the file.

    Parameters
    ----------
    table : str
    start : int
        The number of the first row.
    data : bytes
        Whole rows.
    """

    table: str
    start: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """New rows of a node file, in the order in which they have to be written.

    Parameters
    ----------
    facts : mapping
        The attributes of the file's root: enough to begin a replica.
    pieces : tuple of Piece
        At most `TAIL_BYTES` together; a table may come twice.
    state : NodeState
        The file as it is with these rows: what the replica is to be afterwards.
    """

    facts: Mapping[str, Any]
    pieces: tuple[Piece, ...]
    state: NodeState
