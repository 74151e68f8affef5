"""``hpctrack server reindex``: make every cache of a store anew."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from hpctrack.cli.options import find_store, json_option, print_json, read_settings, store_option
from hpctrack.cli.verify_view import show_bytes_bar
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.sync.upkeep.reindexing import measure_synced, reindex


@click.command("reindex")
@store_option
@json_option
def reindex_(*, store: Path | None, as_json: bool) -> None:
    """Make the caches of a store anew: hashes of files, the listing's index, what projects hold.

    Needed only where files were changed by hand. The files are the truth: run `hpctrack server
    verify` before, because after it the hashes are those of the files as they are.

    \b
    Examples:
      hpctrack server reindex --store /data/store
    """
    path = find_store(read_settings(dir=store))
    with show_bytes_bar("hashing", measure_synced(path)) as on_bytes:
        found = reindex(path, on_bytes=on_bytes)
    if as_json:
        print_json(asdict(found))
        return
    files = "1 file" if found.files == 1 else f"{found.files} files"
    click.echo(f"hashed {files} ({show_bytes(found.size_bytes)})")
    runs = "1 run" if found.runs == 1 else f"{found.runs} runs"
    click.echo(f"listed {runs}; {found.broken} cannot be read")
    for project, size_bytes in found.usage.items():
        click.echo(f"{project} holds {show_bytes(size_bytes)}")
