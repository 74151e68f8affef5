"""Whether ranks on other nodes log: agents tell each other by the times of small files.

In many programs only the first rank logs. Its node's agent gives a file in the run's folder a new
time now and then, and the others look at it before they call the run silent.
"""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path
from typing import Final

from hpctrack.core.clock import Clock
from hpctrack.core.layout import RULES_FOLDER

PREFIX: Final = ".logged."
"""Before the node's number; no rule has such a name."""

TURNS: Final = 8
"""So often in the time that a rule allows is a sign given, and looked for: seldom enough for a
thousand nodes on one file system."""


class LogSigns:
    """The signs of one run, seen from one node; never raises.

    Parameters
    ----------
    folder : Path
        The run's.
    node : int
    clock : Clock

    Notes
    -----
    Clocks of the nodes of a cluster agree to seconds; rules speak of minutes. Where the folder
    cannot be written nobody gives a sign, and each node judges for itself.
    """

    def __init__(self, folder: Path, node: int, clock: Clock) -> None:
        self._folder = folder / RULES_FOLDER
        self._own = f"{PREFIX}{node}"
        self._clock = clock
        self._given_s = self._looked_s = -math.inf
        self._latest_wall_s = -math.inf

    def give(self, logged_s: float, limit_s: float) -> None:
        """Give a sign if a rank here has logged since the last one, and it is time for another.

        Parameters
        ----------
        logged_s : float
            When a rank has, on the clock that never jumps.
        limit_s : float
            What the strictest rule allows.
        """
        now_s = self._clock.mono_s()
        if logged_s <= self._given_s or now_s - self._given_s < limit_s / TURNS:
            return
        self._given_s = now_s
        wall_s = self._clock.wall_s() - (now_s - logged_s)
        path = self._folder / self._own
        with contextlib.suppress(OSError):
            try:
                os.utime(path, (wall_s, wall_s))
            except FileNotFoundError:
                self._folder.mkdir(exist_ok=True)
                path.touch()
                os.utime(path, (wall_s, wall_s))

    def find_quiet_s(self, limit_s: float) -> float:
        """Return for how long no other node has given a sign; infinite if none ever has."""
        now_s = self._clock.mono_s()
        if now_s - self._looked_s >= limit_s / TURNS:
            self._looked_s = now_s
            self._latest_wall_s = self._look()
        return self._clock.wall_s() - self._latest_wall_s

    def _look(self) -> float:
        latest_wall_s = -math.inf
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(PREFIX) and entry.name != self._own:
                    latest_wall_s = max(latest_wall_s, entry.stat().st_mtime)
        return latest_wall_s
