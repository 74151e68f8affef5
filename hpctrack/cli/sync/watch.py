"""``hpctrack sync --watch``: one push after the other, through losses of the connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import AuthError, HostKeyError, ProtocolError, RefusedError, SyncError

BACK_OFF_MAX_S = 300.0
"""A login node that is down for maintenance is asked this often at least."""

BUSY_SHARE = 1.0
"""After a push that took long the pause is at least as long: the store's disk and the other side
are shared with others."""

_ANSWERS = (HostKeyError, AuthError, ProtocolError, RefusedError)
"""The other side was there and has said no: trying again would not help, and may lock us out."""


OnLoss = Callable[[SyncError, float], None]
"""Told why the connection is lost, and after how many seconds it is tried again; only once before
it is back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """When to push.

    Parameters
    ----------
    interval_s : float
        From the beginning of one push to that of the next.
    clock : Clock
    sleep : callable
        Waits, seconds.
    """

    interval_s: float
    clock: Clock = SYSTEM_CLOCK
    sleep: Callable[[float], None] = time.sleep


def keep_pushing(push: Callable[[], bool], on_loss: OnLoss, pace: Pace) -> None:
    """Push again and again.

    Parameters
    ----------
    push : callable
        Pushes, and returns whether that was the last time.
    on_loss : callable
    pace : Pace

    Raises
    ------
    SyncError
        The first push fails: nobody has seen this work yet. Later ones are tried again if the
        connection was lost; an answer that is a no ends it at any time.
    """
    has_worked = is_lost = False
    back_off_s = pace.interval_s
    while True:
        began_s = pace.clock.mono_s()
        try:
            is_last = push()
        except SyncError as error:
            if not has_worked or isinstance(error, _ANSWERS):
                raise
            if not is_lost:
                on_loss(error, back_off_s)
                is_lost = True
            pace.sleep(back_off_s)
            back_off_s = min(2 * back_off_s, max(BACK_OFF_MAX_S, pace.interval_s))
            continue
        has_worked, is_lost, back_off_s = True, False, pace.interval_s
        if is_last:
            return
        took_s = pace.clock.mono_s() - began_s
        pace.sleep(max(pace.interval_s - took_s, min(BUSY_SHARE * took_s, pace.interval_s)))
