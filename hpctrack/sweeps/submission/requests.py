"""Doing what was asked for from elsewhere: once, and not against what is wished here. ADR 0023."""

from __future__ import annotations

import socket

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import HpctrackError
from hpctrack.sweeps.control import read_control
from hpctrack.sweeps.request import (
    Request,
    Taken,
    Taking,
    is_weaker,
    read_taken,
    write_taken,
)
from hpctrack.sweeps.submission.wishing import make_wish
from hpctrack.sweeps.sweep import Sweep


def take_request(sweep: Sweep, request: Request, *, clock: Clock = SYSTEM_CLOCK) -> Taken | None:
    """Do what was asked for; None if that was done before.

    A request for more than is wished here is always done. One for less, such as to go on, is done
    only if the asker saw what is wished here: who stopped the sweep meanwhile meant it.

    Raises
    ------
    StoreError
        It cannot be noted that it is done.
    """
    before = read_taken(sweep.folder)
    if before is not None and before.id == request.id:
        return None
    wished = read_control(sweep.folder).wish
    taking, note = Taking.DONE, ""
    if is_weaker(request.wish, wished) and wished != request.seen:
        taking, note = Taking.OVERTAKEN, f"{wished.value} was wished here meanwhile"
    else:
        try:
            end = make_wish(sweep, request.wish, who=request.who, clock=clock)
            note = "; ".join(end.problems)
        except HpctrackError as error:
            taking, note = Taking.FAILED, error.in_a_line()
    taken = Taken(
        id=request.id,
        taking=taking,
        wall_s=clock.wall_s(),
        host=socket.gethostname(),
        note=note[:400],
    )
    write_taken(sweep.folder, taken)
    return taken
