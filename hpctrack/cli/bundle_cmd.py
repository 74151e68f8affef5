"""``hpctrack bundle``: runs in one file, for where no network goes."""

from __future__ import annotations

import datetime as dt
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from hpctrack.cli.moments import Since, find_wall_s
from hpctrack.cli.options import (
    json_option,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.sync.progress import show_progress
from hpctrack.cli.sync.summary import iter_notes, iter_projects, raise_for, summarise
from hpctrack.cli.table import print_table
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.counting import show_count
from hpctrack.errors import NotFoundError, StoreFormatError, UsageError
from hpctrack.store.record import State
from hpctrack.sync.bundles.creation import create_bundle, opened_for_bundle
from hpctrack.sync.bundles.layout import IndexItem, read_index
from hpctrack.sync.bundles.taking import import_bundle
from hpctrack.sync.sending.push_result import PushResult
from hpctrack.sync.wire.messages import ItemKind
from hpctrack.sync.wire.packing import Compress

STREAM = "-"


@click.group()
def bundle() -> None:
    """Carry runs in one file, where no network goes.

    \b
    Examples:
      hpctrack bundle create /media/usb/runs.hpb
      hpctrack bundle import /media/usb/runs.hpb --store /data/store
    """


@bundle.command()
@click.argument("file")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@store_option
@project_option
@click.option("--since", type=Since(), help="Since then: 2026-05-01, or 7d ago.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([one.value for one in State if one != State.LOST]),
    help="Runs in this state; may be repeated.",
)
@click.option("--seal/--no-seal", default=True, help="Seal runs that have ended.  [default: seal]")
@click.option(
    "--live/--no-live", default=True, help="What runs that go on have so far. [default: live]"
)
@click.option(
    "--compress",
    type=click.Choice([one.value for one in Compress]),
    default=Compress.ON.value,
    show_default=True,
    help="off is quicker.",
)
@json_option
def create(
    *,
    file: str,
    runs: tuple[str, ...],
    store: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Write all runs, or only those that are chosen, into FILE, or to standard output: -.

    FILE gets its name when it is whole. What is in it is checked when it is imported, to the last
    byte; importing it where a part of it is known takes only the rest.

    \b
    Examples:
      hpctrack bundle create /media/usb/runs.hpb
      hpctrack bundle create runs.hpb --project digits --since 30d
      hpctrack bundle create - night-3 | ssh me@login hpctrack bundle import - --store /data/store
    """
    settings = read_settings(dir=store)
    options = {
        "runs": runs,
        "project": given["project"],
        "states": given["states"],
        "since_wall_s": _find_since(given["since"]),
        "seal": given["seal"],
        "live": given["live"],
        "compress": Compress(given["compress"]),
        "stale_after_s": settings.stale_after_s,
    }
    with _opened_target(file) as target, show_progress() as on_progress:
        result = create_bundle(settings.dir, target, name=file, on_progress=on_progress, **options)
    # Standard output may be the bundle.
    _tell(result, as_json=as_json, err=file == STREAM, verb="wrote")
    raise_for(result)


@bundle.command("import")
@click.argument("file")
@store_option
@click.option("--partial", "is_partial", is_flag=True, help="What is whole of a damaged bundle.")
@json_option
def import_(*, file: str, store: Path | None, is_partial: bool, as_json: bool) -> None:
    """Take what the store does not have out of FILE, or of standard input: -.

    Everything is checked as if it came over a network, and nobody sees half a run. Nothing is
    taken out of a FILE that was cut off or damaged: it is told how much of it is whole.

    \b
    Examples:
      hpctrack bundle import /media/usb/runs.hpb --store /data/store
      hpctrack bundle import torn.hpb --partial
    """
    folder = Path(read_settings(dir=store).dir).expanduser().absolute()
    with _opened_source(file) as source, show_progress() as on_progress:
        imported = import_bundle(
            source, folder, name=file, is_partial=is_partial, on_progress=on_progress
        )
    _tell(imported.result, as_json=as_json, err=False, verb="took")
    if imported.problem:
        raise StoreFormatError(
            f"{file} is not whole: {imported.problem}", hint="what is whole of it was taken"
        )
    raise_for(imported.result)


@bundle.command("list")
@click.argument("file")
@json_option
def list_(*, file: str, as_json: bool) -> None:
    """Show what is in FILE, by its index: a moment, however large it is.

    \b
    Examples:
      hpctrack bundle list runs.hpb
      hpctrack bundle list runs.hpb --json
    """
    if file == STREAM:
        raise UsageError("a bundle is listed by its end: not from a pipe")
    with _opened_source(file) as source:
        items = read_index(source, file)
    runs = _group(items)
    if as_json:
        rows = [
            {"project": project, "id": run, "bytes": sum(one.size_bytes for one in some)}
            | {"parts": sorted({one.key.kind for one in some})}
            for (project, run), some in runs.items()
        ]
        others = [one for one in items if one.key.kind not in _OF_RUNS]
        print_json({"runs": rows, "others": [one.to_json() for one in others]})
        return
    print_table(
        ["run", "size", "what"],
        [
            [
                f"{project}/{run}",
                show_bytes(sum(one.size_bytes for one in some)),
                ", ".join(sorted({_WORDS[one.key.kind] for one in some})),
            ]
            for (project, run), some in runs.items()
        ],
        right=frozenset({1}),
    )
    size = show_bytes(sum(one.size_bytes for one in items))
    what = [show_count(len(runs), "run")]
    for kind, noun in ((ItemKind.SWEEP, "sweep"), (ItemKind.BLOB, "blob")):
        number = sum(one.key.kind == kind for one in items)
        what += [show_count(number, noun)] if number else []
    click.echo(f"{', '.join(what)}; {size} without compression")


_WORDS = {
    ItemKind.RUN: "sealed",
    ItemKind.LIVE: "running",
    ItemKind.ACCOUNTING: "accounting",
    ItemKind.ANNOTATIONS: "notes",
}
_OF_RUNS = frozenset(_WORDS)


def _group(items: list[IndexItem]) -> dict[tuple[str, str], list[IndexItem]]:
    runs: dict[tuple[str, str], list[IndexItem]] = defaultdict(list)
    for one in items:
        if one.key.kind in _OF_RUNS:
            runs[one.key.project, one.key.id].append(one)
    return dict(sorted(runs.items()))


def _find_since(since: float | dt.date | None) -> float | None:
    return None if since is None else find_wall_s(since, SYSTEM_CLOCK.wall_s())


@contextmanager
def _opened_target(file: str) -> Iterator[BinaryIO]:
    if file != STREAM:
        with opened_for_bundle(Path(file)) as target:
            yield target
        return
    if sys.stdout.isatty():
        raise UsageError("a bundle is not for a terminal", hint="redirect it, or name a file")
    yield sys.stdout.buffer
    sys.stdout.buffer.flush()


@contextmanager
def _opened_source(file: str) -> Iterator[BinaryIO]:
    if file == STREAM:
        yield sys.stdin.buffer
        return
    try:
        source = Path(file).open("rb")  # noqa: SIM115 - closed below
    except FileNotFoundError:
        raise NotFoundError(f"there is no {file}") from None
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from None
    with source:
        yield source


def _tell(result: PushResult, *, as_json: bool, err: bool, verb: str) -> None:
    if as_json:
        if err:
            return  # the bundle is what is printed
        print_json(result.to_json())
        return
    for line in (*iter_notes(result), *iter_projects(result)):
        click.echo(line, err=err)
    click.echo(summarise(result, dry_run=False, verb=verb), err=err)
