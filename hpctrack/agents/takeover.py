"""Points that an agent has written, but was killed before it could say so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from hpctrack.agents.session import Session
from hpctrack.core.ring_reader import RingReader
from hpctrack.errors import HpctrackError
from hpctrack.store.predecessor import count_written, find_written


def pass_over_written(
    session: Session,
    ring: RingReader,
    folders: Sequence[Path],
    find_number: Callable[[str], int],
    *,
    beside: Path | None,
) -> bool:
    """Have a rank's decoder pass over what is in a file already.

    Parameters
    ----------
    session : Session
        Of a rank whose agent died; nothing of its ring was read.
    ring : RingReader
        Its ring.
    folders : sequence of Path
        Where the dead agent may have written.
    find_number : callable
        Returns the file's number for a metric's name.
    beside : Path or None
        The file of the living agent.

    Returns
    -------
    bool
        Whether that can be told; if not, some points may be recorded twice.

    Notes
    -----
    Counting is enough for the only process of a rank. Of several (``hpctrack run`` around a program
    that logs) nobody knows whose rows are whose, so theirs are recognised by what is in them.
    """
    since_wall_s = ring.find_oldest_wall_s()
    if since_wall_s is None:
        return True
    try:
        counts = [count_written(folder, session.hello, beside=beside) for folder in folders]
        known = [one for one in counts if one is not None]
        if len(known) == len(counts):
            session.decoder.skip = max(0, sum(known) - ring.points_done)
            return True
        written: Counter[bytes] = Counter()
        for folder in folders:
            written += find_written(folder, session.rank, since_wall_s, find_number, beside=beside)
    except HpctrackError:
        return False
    session.decoder.written = written
    return True
