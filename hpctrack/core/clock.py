"""The one place that asks the machine for the time; everything else is handed a clock."""

from __future__ import annotations

import time

from hpctrack.core import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Clock(Record):
    """A source of time that tests can replace.

    Parameters
    ----------
    wall_s : callable
        Seconds since 1970 UTC. May jump, in both directions.
    mono_s : callable
        Seconds since some fixed moment. Never goes back.
    cpu_s : callable
        Seconds that the calling thread has had a processor. Tells what work has cost, however
        busy the machine is.
    """

    wall_s: Callable[[], float]
    mono_s: Callable[[], float]
    cpu_s: Callable[[], float] = time.thread_time


SYSTEM_CLOCK = Clock(wall_s=time.time, mono_s=time.monotonic)
"""The machine's own time."""
