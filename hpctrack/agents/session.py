"""One rank's connection, as the node file knows it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpctrack.agents.console import ConsoleDrain
from hpctrack.agents.points import PointDecoder
from hpctrack.agents.unwritten import Unwritten
from hpctrack.core.ring_reader import RingReader
from hpctrack.core.wire import change_config
from hpctrack.errors import ProtocolError


@dataclass(slots=True)
class Session:
    """What a rank has said and how much of it is where.

    Parameters
    ----------
    number : int
        In the file.
    ring : RingReader or None
        None for a client that sends its points by the socket.
    console : ConsoleDrain or None
        What the agent can do for the rank's terminal.
    pid : int
        The process, as the agent sees it: in a container the rank may know another number.
    names_left : int
        Names that come by the socket before the ring can be read.
    frames_seen : int
        Frames of the socket that were understood so far.
    unwritten : Unwritten
        Those of them that are not in a file yet.
    ledger : dict
        What the rank, and the agent for it, had to drop.
    config : dict
        The configuration; a rank says what has changed in it, files hold the whole of it.
    """

    number: int
    rank: int
    hello: dict[str, Any]
    decoder: PointDecoder
    ring: RingReader | None = None
    console: ConsoleDrain | None = None
    pid: int = 0
    names_left: int = 0
    frames_seen: int = 0
    ledger: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    is_config_new: bool = False
    is_open: bool = True
    is_ring_broken: bool = False
    unwritten: Unwritten = field(default_factory=Unwritten)

    @property
    def has_news(self) -> bool:
        """Whether the ring holds something that was not read."""
        if self.ring is None or self.is_ring_broken or self.names_left > 0:
            return False
        return self.ring.has_news()

    def read_ring(self, note: Callable[[str, str], None], *, is_last: bool) -> None:
        """Decode what waits in the ring; a ring that holds nonsense is not looked at again."""
        if self.ring is None or self.is_ring_broken or self.names_left > 0:
            return
        try:
            for view in self.ring.read(is_last=is_last):
                self.decoder.add_run(view)
        except (ProtocolError, struct.error, ValueError) as error:
            self.is_ring_broken = True
            note("ring", f"rank {self.rank}: {error}; no more points are taken from it")

    def confirm(self) -> None:
        """Tell the rank that what was read is in a file; let go of the ring of a rank that left."""
        if self.ring is None:
            return
        frames = self.unwritten.count_written(self.frames_seen)
        self.ring.confirm(self.decoder.points, frames)
        if not self.is_open:
            self.ring.close()
            self.ring = None

    def take_config(self, told: dict[str, Any], *, is_whole: bool) -> None:
        """Take the rank's configuration, or a change, see `hpctrack.core.wire.change_config`."""
        if is_whole:
            self.config = told
        else:
            change_config(self.config, told)
        self.is_config_new = True

    def update_ledger(self) -> bool:
        """Count what the ring and the decoder had to drop; return whether that is new."""
        counted = {
            "dropped_points": self.ring.dropped_points if self.ring else 0,
            "unnamed_points": self.decoder.unnamed,
        }
        found = {key: count for key, count in counted.items() if count}
        if all(self.ledger.get(key) == count for key, count in found.items()):
            return False
        self.ledger.update(found)
        return True


def make_session(
    number: int,
    hello: dict[str, Any],
    find_number: Callable[[str], int],
    ring: RingReader | None = None,
) -> Session:
    """Return a session for a rank that has just said HELLO, its names included.

    Parameters
    ----------
    number : int
        In the file.
    hello : dict
        As it came; ``names`` and ``names_follow`` are taken out of it.
    find_number : callable
        Returns the file's number for a metric's name.
    """
    rank = int(hello["rank"])
    decoder = PointDecoder(rank, find_number)
    for metric, name in enumerate(hello.pop("names", None) or ()):
        decoder.set_name(metric, str(name))
    if ring is not None:
        decoder.points = ring.points_done
    names_left = int(hello.pop("names_follow", 0))
    pid = int(hello.get("pid", 0))
    return Session(number, rank, hello, decoder, ring, pid=pid, names_left=names_left)


def have_all_left(sessions: Sequence[Session]) -> bool:
    """Tell whether all ranks that a node has of a run came and went."""
    if not sessions or any(one.is_open for one in sessions):
        return False
    local_size = max(int(one.hello.get("local_size", 1)) for one in sessions)
    return len({one.rank for one in sessions}) >= local_size
