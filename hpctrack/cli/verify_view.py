"""How a person is told what is wrong with files, and how long looking will take."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click

from hpctrack.core.names import clean
from hpctrack.store.verify import Report, Severity


def describe_report(report: Report, *, quiet: bool) -> Iterator[str]:
    """Yield the lines that tell of a run; with ``quiet`` only what is wrong."""
    name = "/".join(one for one in (report.project, report.run) if one)
    if not report.is_intact:
        yield f"{name}: {click.style('damaged', fg='red')}"
    elif not quiet:
        files = "1 file" if report.files == 1 else f"{report.files} files"
        points = f", {report.points:,} points" if not report.run.startswith(".") else ""
        yield f"{name}: intact ({files}{points})"
    for one in report.findings:
        if not quiet or one.severity == Severity.ERROR:
            where = f"{clean(one.file)}: " if one.file else ""
            yield f"  {one.severity}: {where}{clean(one.what)}"


@contextmanager
def show_bytes_bar(verb: str, total_bytes: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar where a person is watching; what is yielded is told how many bytes more."""
    if not sys.stderr.isatty():
        yield lambda _size_bytes: None
        return
    from rich import progress as bars  # noqa: PLC0415 - 30 ms that a script need not pay
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn(verb),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=total_bytes)
        yield lambda size_bytes: bar.advance(task, size_bytes)


@contextmanager
def show_count_bar(verb: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar where a person is watching; what is yielded is told how many of how many."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich import progress as bars  # noqa: PLC0415 - as above
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn(verb),
        bars.BarColumn(),
        bars.MofNCompleteColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
