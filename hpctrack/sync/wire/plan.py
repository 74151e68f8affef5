"""What to send, and which of two files of one run to keep. Pure: touches no file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hpctrack.sync.wire.messages import Item, ItemKind, Outcome
from hpctrack.sync.wire.refusal import ItemRefusal


@dataclass(frozen=True, slots=True)
class Plan:
    """What a push has to do.

    Parameters
    ----------
    send : tuple of Item
        Sweeps first, so that nobody sees a trial of an unknown sweep; then runs, then their
        accounting, which is not taken without the run; each by project and id.
    present : tuple of Item
        The other side has exactly these.
    """

    send: tuple[Item, ...]
    present: tuple[Item, ...]

    @property
    def size_bytes(self) -> int:
        """How much has to be sent."""
        return sum(one.size_bytes for one in self.send)


_ORDER = (ItemKind.SWEEP, ItemKind.RUN, ItemKind.ACCOUNTING)


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
        The ``uuid`` of each node file that went into a sealed one.
    """

    points: int
    attempts: int
    asked_wall_s: float = 0.0
    nodes: frozenset[str] = frozenset()


def make_plan(local: Iterable[Item], remote: Iterable[Item]) -> Plan:
    """Compare two inventories.

    Parameters
    ----------
    local : iterable of Item
        What could be sent; the last of several with the same key counts.
    remote : iterable of Item
        What the other side has; may say more than was asked.
    """
    there = {one.key: one.sha256 for one in remote}
    mine = {one.key: one for one in local}
    ordered = sorted(mine.values(), key=lambda one: (_ORDER.index(one.key.kind), one.key))
    return Plan(
        send=tuple(one for one in ordered if there.get(one.key) != one.sha256),
        present=tuple(one for one in ordered if there.get(one.key) == one.sha256),
    )


def choose_outcome(incoming: Extent, there: Extent | None) -> Outcome:
    """Decide whether a file that has come is to replace the one that is there.

    A requeued run that is sealed again has grown: it replaces. A file with fewer points or
    fewer attempts is older, or another run under the same id: nobody's points are thrown away.

    Parameters
    ----------
    incoming : Extent
        Of the file that has come; its hash is another one.
    there : Extent or None
        Of the file that is there; None if there is none, or none that can be read.

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
    return Outcome.REPLACED


def choose_newest(incoming: Extent, there: Extent | None) -> Outcome:
    """Decide the same about an accounting: what was asked for later counts, nothing is refused."""
    if there is None:
        return Outcome.PUBLISHED
    return Outcome.REPLACED if incoming.asked_wall_s > there.asked_wall_s else Outcome.PRESENT
