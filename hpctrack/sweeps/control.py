"""What people want of a sweep that runs: a small file that its workers look at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import StoreFormatError
from hpctrack.sweeps.folder import SweepFolder, read_json, write_json

TARGET = "target"
"""Who wishes STOP when a trial has reached what the sweep was to find."""


class Wish(StrEnum):
    """What workers are to do."""

    RUN = "run"
    """Take trials."""
    PAUSE = "pause"
    """Finish what has begun, take nothing new until somebody says RUN."""
    STOP = "stop"
    """Finish what has begun, then leave."""
    CANCEL = "cancel"
    """End what has begun, and leave."""


@dataclass(frozen=True, slots=True)
class Control:
    """A wish, and whose it is."""

    wish: Wish = Wish.RUN
    who: str = ""
    wall_s: float = 0.0


def read_control(folder: SweepFolder) -> Control:
    """Return what is wished; a file that is not there or cannot be read wishes nothing."""
    try:
        value = read_json(folder.control)
        return Control(Wish(value["wish"]), str(value["who"]), float(value["wall_s"]))
    except (FileNotFoundError, StoreFormatError, KeyError, TypeError, ValueError):
        return Control()


def write_control(
    folder: SweepFolder, wish: Wish, *, who: str = "", clock: Clock = SYSTEM_CLOCK
) -> None:
    """Wish something, in place of what was wished before.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    write_json(folder.control, {"wish": wish.value, "who": who, "wall_s": clock.wall_s()})
