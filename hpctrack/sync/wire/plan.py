"""Which of two files of one run to keep. Pure: touches no file.

The rules of convergence: of data, what the job has written wins, and of two files of one run the
one that holds more of it. What has once arrived is never given up for less.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hpctrack.sync.wire.messages import Outcome
from hpctrack.sync.wire.refusal import ItemRefusal


@dataclass(frozen=True, slots=True)
class Extent:
    """How much a file holds.

    Parameters
    ----------
    points, attempts : int
        Of a sealed file.
    asked_wall_s : float
        When an accounting was asked for.
    nodes : frozenset of str
        The node files that went into a sealed file, by their uuid.
    """

    points: int = 0
    attempts: int = 0
    asked_wall_s: float = 0.0
    nodes: frozenset[str] = field(default_factory=frozenset)


def choose_outcome(incoming: Extent, there: Extent | None, *, append_only: bool = False) -> Outcome:
    """Decide whether a file that has come is to replace the one that is there.

    A requeued run that is sealed again has grown: it replaces. A file with fewer points or
    fewer attempts is older, or another run under the same id: nobody's points are thrown away.

    Parameters
    ----------
    incoming : Extent
        Of the file that has come; its hash is another one.
    there : Extent or None
        Of the file that is there; None if there is none, or none that can be read.
    append_only : bool
        Whoever pushes may add, and replace nothing by something else: everything that went into
        the file that is there must have gone into the one that has come.

    Raises
    ------
    ItemRefusal
        The one that is there holds more.
    """
    if there is None:
        return Outcome.PUBLISHED
    if incoming.points < there.points or incoming.attempts < there.attempts:
        raise ItemRefusal(
            "fewer-points",
            points=incoming.points,
            attempts=incoming.attempts,
            points_there=there.points,
            attempts_there=there.attempts,
        )
    if append_only and not there.nodes <= incoming.nodes:
        raise ItemRefusal("append-only")
    return Outcome.REPLACED


def choose_newest(incoming: Extent, there: Extent | None) -> Outcome:
    """Decide the same about an accounting: what was asked for later counts, nothing is refused."""
    if there is None:
        return Outcome.PUBLISHED
    return Outcome.REPLACED if incoming.asked_wall_s > there.asked_wall_s else Outcome.PRESENT
