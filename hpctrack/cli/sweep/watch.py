"""The live view of a sweep: drawn over itself in a terminal, lines elsewhere."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
from rich.console import Group
from rich.live import Live
from rich.text import Text

from hpctrack.cli.format import make_console
from hpctrack.cli.options import print_json_line
from hpctrack.cli.sweep.results_view import iter_head, make_trial_lines
from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.sweeps.results.status import SweepReader
from hpctrack.sweeps.results.trial_status import SweepStatus
from hpctrack.sweeps.worker.result import TrialState

QUEUE_INTERVAL_S = 15.0
"""Between two questions to Slurm, whose controller serves everybody."""

BUSY_SHARE = 10.0
"""Looking may take a tenth of the time: thousands of files on a shared disk are not free."""

SHOWN_TRIALS = 16
"""Rows of the live view: what runs, then what ended last."""


def watch_sweep(
    reader: SweepReader, *, interval_s: float, as_json: bool, clock: Clock = SYSTEM_CLOCK
) -> None:
    """Show a sweep until it is over.

    Parameters
    ----------
    reader : SweepReader
        Of the sweep.
    interval_s : float
        From one look to the next; longer if a look takes long.
    as_json : bool
        Whether to print a JSON object a line instead.
    clock : Clock, optional
        For tests.
    """
    console = make_console()
    looks = _iter_looks(reader, interval_s, clock)
    if as_json or not console.is_terminal:
        shown: object = None
        for status in looks:
            told = (status.counts(), status.wish)
            if told != shown:
                _print_line(status, as_json=as_json)
            shown = told
        return
    with _leaving_at_ctrl_c() as has_had_enough, Live(console=console, auto_refresh=False) as live:
        for status in looks:
            live.update(_draw(status, console.size.height), refresh=True)
            if has_had_enough():
                raise KeyboardInterrupt


@contextmanager
def _leaving_at_ctrl_c() -> Iterator[Callable[[], bool]]:
    """Note Ctrl-C besides raising it: raised in a callback of the interpreter, it would be lost."""
    pressed: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        pressed.append(number)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _iter_looks(reader: SweepReader, interval_s: float, clock: Clock) -> Iterator[SweepStatus]:
    """Yield how the sweep stands, again and again, until it is over."""
    next_ask_s = clock.mono_s()
    while True:
        began_s = clock.mono_s()
        asks_queue = began_s >= next_ask_s
        if asks_queue:
            next_ask_s = began_s + QUEUE_INTERVAL_S
        status = reader.read(asks_queue=asks_queue)
        yield status
        if status.is_done:
            return
        time.sleep(max(interval_s, BUSY_SHARE * (clock.mono_s() - began_s)))


def _draw(status: SweepStatus, height: int) -> Group:
    head = [Text.from_markup(line) for line in iter_head(status)]
    running = [one for one in status.trials if one.state == TrialState.RUNNING]
    ended = [one for one in status.trials if one.state.is_over]
    ended.sort(key=lambda one: (one.result.ended_wall_s or 0.0) if one.result else 0.0)
    room = max(min(SHOWN_TRIALS, height - len(head) - 2), 1)
    shown = running[-room:]
    left = room - len(shown)
    shown += reversed(ended[-left:]) if left else []
    rows = make_trial_lines(status, shown) if shown else []
    return Group(*head, *(Text.from_ansi(row, no_wrap=True) for row in rows))


def _print_line(status: SweepStatus, *, as_json: bool) -> None:
    if as_json:
        whole = status.to_json()
        del whole["trials"]
        print_json_line(whole)
        return
    lines = [Text.from_markup(line).plain for line in iter_head(status, has_bar=False)]
    click.echo("; ".join(lines))
