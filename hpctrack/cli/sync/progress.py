"""How far a push is, for a person who watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sync.sending.push_result import Progress, ProgressCallback, ignore_progress

DRAW_INTERVAL_S = 0.1
"""Drawing takes 10 us, and a large store asks for it 100,000 times; nobody sees more than this."""

NAME_CHARS = 28
"""More of a run's name would leave no room for the bar."""


class Tally:
    """Counts what has been worked on, and says what is being done.

    Parameters
    ----------
    clock : Clock
        Tells when it is worth drawing again.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._drawn_mono_s = -1e9
        self._phase = ""
        self._name = ""
        self._read = self._sent = 0

    def note(self, progress: Progress) -> bool:
        """Take note; return whether it is time to draw. Runs are read while others are sent."""
        is_new = progress.phase != self._phase
        if progress.phase == "read":
            self._read += 1
            if self._phase == "send":
                return False
        elif progress.phase == "send" and (is_new or progress.name != self._name):
            self._sent += 1
        self._phase, self._name = progress.phase, progress.name
        now_s = self._clock.mono_s()
        is_done = progress.total_bytes and progress.done_bytes >= progress.total_bytes
        if not (is_new or is_done) and now_s - self._drawn_mono_s < DRAW_INTERVAL_S:
            return False
        self._drawn_mono_s = now_s
        return True

    def describe(self) -> str:
        """Return what is being done, in a few words."""
        name = self._name
        if len(name) > NAME_CHARS:
            name = f"{name[: NAME_CHARS - 1]}…"
        match self._phase:
            case "read":
                return f"reading {name} ({self._read:,} runs)"
            case "send":
                return f"sending {name} ({self._sent:,} of {max(self._read, self._sent):,})"
            case "connect":
                return f"connecting to {name}"
            case phase:
                return f"{phase} {name}".strip()


@contextmanager
def show_progress(*, is_wanted: bool = True) -> Iterator[ProgressCallback]:
    """Show a bar with bytes, rate and time left, where standard error is a terminal.

    Parameters
    ----------
    is_wanted : bool
        False: nothing is shown anywhere.
    """
    if not is_wanted or not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich import progress as bars  # noqa: PLC0415 - 30 ms that a batch job need not pay
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.SpinnerColumn(),
        bars.TextColumn("{task.description}", markup=False),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(compact=True),
    )
    tally = Tally(SYSTEM_CLOCK)
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=None)

        def show(progress: Progress) -> None:
            if tally.note(progress):
                bar.update(
                    task,
                    description=tally.describe(),
                    completed=progress.done_bytes,
                    total=progress.total_bytes or None,
                )

        yield show
