"""Events as readers see them: parsed, or passed over when they are not whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hpctrack.core.wire import NAME_HEAD
from hpctrack.store.vocabulary import Place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one file.

    Parameters
    ----------
    body : bytes
        What is in the heap; empty for what lies elsewhere.
    place, offset, size : int
        Where the bytes are.
    """

    kind: int
    wall_s: float
    rank: int
    session: int
    body: bytes
    place: int = Place.HEAP
    offset: int = 0
    size: int = 0

    def json(self) -> dict[str, Any]:
        """Return the body as an object; an empty one if it is broken."""
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def metric_name(self) -> tuple[int, str]:
        """Return number and name of a `EventKind.NAME` event."""
        (number,) = NAME_HEAD.unpack_from(self.body)
        return number, self.body[NAME_HEAD.size :].decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class NodeEvents:
    """What one node file says besides its numbers.

    Parameters
    ----------
    facts : dict
        The root attributes, and ``points``, the number of rows.
    pulse_wall_s : float
        Last sign of life.
    is_closed : bool
        The agent has left the file for good.
    events : list of Event
        In the order of writing, without `EventKind.NAME`.
    as_of_wall_s : float or None
        Of a replica, when its original was looked at.
    """

    facts: dict[str, Any]
    pulse_wall_s: float
    is_closed: bool
    events: list[Event] = field(default_factory=list)
    as_of_wall_s: float | None = None

    def is_live(self, now_wall_s: float, stale_after_s: float) -> bool:
        """Tell whether somebody writes it: it is not closed, and not silent for so long.

        A replica is judged as of the last look at its original: until somebody looks again, nobody
        knows better, and the clocks of the two machines need not agree.
        """
        as_of_wall_s = now_wall_s if self.as_of_wall_s is None else self.as_of_wall_s
        return not self.is_closed and as_of_wall_s - self.pulse_wall_s < stale_after_s


def iter_events(rows: NDArray[np.void], heap: NDArray[np.uint8]) -> Iterator[Event]:
    """Yield events whose bytes are in the heap, or elsewhere; a torn tail is passed over."""
    data = heap.tobytes()
    for wall_s, offset, size, kind, place, rank, session, _node in rows.tolist():
        is_here = place == Place.HEAP
        if is_here and offset + size > len(data):
            continue
        body = data[offset : offset + size] if is_here else b""
        yield Event(kind, wall_s, rank, session, body, place, offset, size)
