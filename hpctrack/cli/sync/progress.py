"""How far a push is, for a person who watches."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hpctrack.sync.sending.push_result import Progress, ProgressCallback, ignore_progress

_VERBS = {
    "connect": "connecting to",
    "read": "reading",
    "seal": "sealing",
    "send": "sending",
    "wait": "waiting for",
}

NAME_CHARS = 32
"""More of a run's name would leave no room for the bar."""


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
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=None)

        def show(progress: Progress) -> None:
            bar.update(
                task,
                description=describe(progress),
                completed=progress.done_bytes,
                total=progress.total_bytes or None,
            )

        yield show


def describe(progress: Progress) -> str:
    """Return what is being done, in a few words."""
    name = progress.name
    if len(name) > NAME_CHARS:
        name = f"{name[: NAME_CHARS - 1]}…"
    return f"{_VERBS.get(progress.phase, progress.phase)} {name}".rstrip()
