"""``hpctrack sync``: push what another store does not have."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from hpctrack.cli.format import show_duration
from hpctrack.cli.losses import describe_run
from hpctrack.cli.options import (
    json_option,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.sync_accounting import ask_before_sync
from hpctrack.errors import RefusedError, StoreError, UsageError
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.candidates import Skipped
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import (
    ItemResult,
    Progress,
    ProgressCallback,
    PushResult,
    Status,
    ignore_progress,
)
from hpctrack.sync.wire.messages import ItemKind

_FILE = click.Path(path_type=Path, dir_okay=False)
_UNITS = ("B", "kB", "MB", "GB", "TB")


@click.command()
@click.argument("remote", required=False)
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@store_option
@project_option
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be sent.")
@click.option("--seal/--no-seal", default=True, help="Seal runs that have ended.  [default: seal]")
@click.option(
    "--accounting/--no-accounting",
    default=None,
    help="Ask sacct about the runs first, where there is one. [default: accounting]",
)
@click.option("--remote-command", help="How hpctrack is started there.  [default: hpctrack]")
@click.option("-i", "--identity", type=_FILE, help="The private key to use, and no other.")
@click.option("--known-hosts", type=_FILE, help="Trusted host keys, instead of the user's.")
@json_option
def sync(
    *,
    remote: str | None,
    runs: tuple[str, ...],
    store: Path | None,
    project: str | None,
    dry_run: bool,
    seal: bool,
    accounting: bool | None,
    remote_command: str | None,
    identity: Path | None,
    known_hosts: Path | None,
    as_json: bool,
) -> None:
    """Push runs to the store REMOTE: all that it does not have, or only the RUNs named.

    REMOTE is ssh://user@host:port/path, or the path of a store of this machine. The host's key
    must be known, as for ssh. Safe to repeat and to interrupt: nothing is sent twice, and nobody
    sees half a run.

    \b
    Examples:
      hpctrack sync ssh://me@login/data/store
      hpctrack sync ssh://me@login:2222/~/store lunar-harbor-998
      hpctrack sync ssh://login/data/store --remote-command '~/venv/bin/hpctrack'
      hpctrack sync --dry-run /mnt/usb/store
    """
    if remote is None:
        raise UsageError("no remote given", hint="hpctrack sync ssh://user@host/path/of/the/store")
    settings = read_settings(dir=store, sync_accounting=accounting)
    if settings.sync_accounting and not dry_run:
        problem = ask_before_sync(settings, runs, project)
        if problem:
            click.echo(f"accounting: {problem}", err=True)
    with _progress_bar() as on_progress:
        result = push(
            settings.dir,
            remote,
            runs=runs,
            project=project,
            seal=seal,
            dry_run=dry_run,
            connect=ConnectOptions(
                remote_command=remote_command, identity=identity, known_hosts=known_hosts
            ),
            stale_after_s=settings.stale_after_s,
            on_progress=on_progress,
        )
    if as_json:
        print_json(result.to_json())
    else:
        for line in _describe(result, dry_run=dry_run):
            click.echo(line)
        for one in result.runs:
            for line in describe_run(str(one.key), one.ledger):
                click.echo(line, err=True)
    _raise_for(result)


@contextmanager
def _progress_bar() -> Iterator[ProgressCallback]:
    """Show a bar with bytes, rate and time left, where a person is watching."""
    if not sys.stderr.isatty():
        yield ignore_progress
        return
    from rich import progress as bars  # noqa: PLC0415 - 30 ms that a batch job need not pay
    from rich.console import Console  # noqa: PLC0415

    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.DownloadColumn(),
        bars.TransferSpeedColumn(),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("connecting", total=None)

        def show(progress: Progress) -> None:
            verb = {"connect": "connecting to", "read": "reading", "send": "sending"}
            bar.update(
                task,
                description=f"{verb[progress.phase]} {progress.name}",
                completed=progress.done_bytes,
                total=progress.total_bytes or None,
            )

        yield show


def _describe(result: PushResult, *, dry_run: bool) -> Iterator[str]:
    for one in result.items:
        if one.status in {Status.REFUSED, Status.SKIPPED}:
            yield f"{_name(one)}: {one.status}: {_reason(one)}"
        elif one.status == Status.WOULD_SEND:
            first = "would be sealed and sent" if one.reason else "would be sent"
            yield f"{_name(one)}: {first}"
    yield _summarise(result, dry_run=dry_run)


def _name(one: ItemResult) -> str:
    what = {ItemKind.SWEEP: "sweep ", ItemKind.ACCOUNTING: "accounting of "}
    return f"{what.get(one.key.kind, '')}{one.key}"


def _reason(one: ItemResult) -> str:
    if one.status == Status.REFUSED or one.reason == Skipped.UNREADABLE:
        return one.text or one.reason
    return one.reason


def _summarise(result: PushResult, *, dry_run: bool) -> str:
    there = f"{_count(result.present, 'run')} already there"
    if dry_run:
        return f"would send {_count(result.would_send, 'run')}; {there}"
    sent_sweeps = sum(one.status in {Status.SENT, Status.REPLACED} for one in result.sweeps)
    parts = []
    news = sum(one.status in {Status.SENT, Status.REPLACED} for one in result.accountings)
    if result.sent or sent_sweeps or news:
        what = [_count(result.sent, "run")] if result.sent else []
        what += [_count(sent_sweeps, "sweep")] if sent_sweeps else []
        what += [f"the accounting of {_count(news, 'run')}"] if news else []
        size, time = show_bytes(result.size_bytes), show_duration(result.duration_s)
        parts.append(f"sent {' and '.join(what)} ({size} in {time})")
    else:
        parts.append("nothing new")
    if result.present or not result.sent:
        parts.append(there)
    if result.refused:
        parts.append(f"{result.refused} refused")
    left = result.skipped - result.present
    if left:
        parts.append(f"{left} skipped")
    return "; ".join(parts)


def show_bytes(size_bytes: float) -> str:
    """Return a size that people can read."""
    for unit in _UNITS:
        if size_bytes < 1000 or unit == _UNITS[-1]:  # noqa: PLR2004 - kilo
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    raise AssertionError


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _raise_for(result: PushResult) -> None:
    """Turn what is not well into the exit code; running runs are well."""
    # What Slurm counted is an extra: it is told, and no reason to fail.
    refused = [
        one
        for one in result.items
        if one.status == Status.REFUSED and one.key.kind != ItemKind.ACCOUNTING
    ]
    if refused:
        raise RefusedError(
            f"{result.remote} refused {len(refused)} of {len(result.items)}:"
            f" {refused[0].key}: {refused[0].text}"
        )
    broken = [one for one in result.items if one.reason == Skipped.UNREADABLE]
    if broken:
        raise StoreError(
            f"{_count(len(broken), 'run')} could not be read and stayed here",
            hint=f"`hpctrack show {broken[0].key}` tells more",
        )
