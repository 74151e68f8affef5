"""``hpctrack server backup``: a copy of a store that is in use."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import click

from hpctrack.cli.options import find_store, json_option, print_json, read_settings, store_option
from hpctrack.cli.verify_view import show_bytes_bar
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.names import clean
from hpctrack.errors import StoreError, StoreFormatError, UsageError
from hpctrack.sync.upkeep.backup import BackUp, back_up, find_backup
from hpctrack.sync.upkeep.manifest import check_backup, read_manifest
from hpctrack.sync.upkeep.server_folder import open_store
from hpctrack.sync.upkeep.tree import iter_files


@click.command()
@click.argument("destination", metavar="DEST", type=click.Path(path_type=Path, file_okay=False))
@store_option
@click.option(
    "--incremental/--full",
    default=True,
    help="Share unchanged files with the backup before, by hard links. [default: incremental]",
)
@click.option("--keep", type=click.IntRange(min=1), help="Remove older backups beyond so many.")
@click.option("--verify", "is_check", is_flag=True, help="Make none: check the newest, or DEST.")
@json_option
def backup(
    *,
    destination: Path,
    store: Path | None,
    incremental: bool,
    keep: int | None,
    is_check: bool,
    as_json: bool,
) -> None:
    """Copy a store into a folder of DEST while others push to it.

    Each backup is a folder with a date for a name, DEST/latest leads to the newest, and each is a
    store: look at it with --store DEST/latest, copy it to restore it. Nobody sees half a backup.
    Exit code 4 if a file could not be read, or, with --verify, is not as it was written.

    \b
    Examples:
      hpctrack server backup /backup/store --store /data/store
      hpctrack server backup /backup/store --keep 30
      hpctrack server backup /backup/store --verify
      hpctrack ls --store /backup/store/latest
    """
    destination = destination.expanduser()
    if is_check:
        if keep is not None:
            raise UsageError("--verify makes no backup and removes none", hint="leave --keep out")
        _check(destination, as_json=as_json)
        return
    path = find_store(read_settings(dir=store))
    with show_bytes_bar("copying", _measure(path)) as on_bytes:
        made = back_up(path, destination, incremental=incremental, keep=keep, on_bytes=on_bytes)
    if as_json:
        print_json({**asdict(made), "path": str(made.path)})
    else:
        _tell(made)
    if made.problems:
        raise StoreError(f"{len(made.problems)} files of {path} are not in {made.path}")


def _measure(store: Path) -> int | None:
    """Return how much is to be copied, about, where somebody watches: it means a look at all."""
    if not sys.stderr.isatty():
        return None
    with open_store(store) as fd:
        return sum(status.st_size for _folders, _name, status in iter_files(fd))


def _tell(made: BackUp) -> None:
    for one in made.problems:
        click.echo(clean(one), err=True)
    for name in made.removed:
        click.echo(f"removed {name}")
    files = "1 file" if made.copied_files == 1 else f"{made.copied_files} files"
    parts = [f"{files} copied ({show_bytes(made.copied_bytes)})"]
    if made.linked_files:
        parts.append(f"{made.linked_files} unchanged ({show_bytes(made.linked_bytes)})")
    click.echo(f"{made.path}: {', '.join(parts)}")


def _check(destination: Path, *, as_json: bool) -> None:
    path = find_backup(destination)
    entries = read_manifest(path).entries
    with show_bytes_bar("reading", sum(one.size_bytes for one in entries.values())) as on_bytes:
        wrong = list(check_backup(path, on_bytes=on_bytes))
    if as_json:
        found = [{"path": name, "what": what} for name, what in wrong]
        print_json({"path": str(path), "files": len(entries), "wrong": found})
    else:
        for name, what in wrong:
            click.echo(clean(f"{name}: {what}"))
    if wrong:
        raise StoreFormatError(f"{len(wrong)} files of {path} are not as they were written")
    if not as_json:
        click.echo(f"{path}: all {len(entries)} files are as they were written")
