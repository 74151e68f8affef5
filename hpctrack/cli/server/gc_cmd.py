"""``hpctrack server gc``: free room in a store that others push to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from hpctrack.cli.options import find_store, json_option, print_json, read_settings, store_option
from hpctrack.cli.verify_view import show_count_bar
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.names import clean
from hpctrack.core.settings import environment
from hpctrack.errors import StoreError
from hpctrack.sync.upkeep.audit import Actor
from hpctrack.sync.upkeep.collection import KEEP_DAYS, Collection, collect


@click.command()
@store_option
@click.option("-n", "--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option(
    "--keep-days",
    type=click.FloatRange(min=0),
    default=KEEP_DAYS,
    show_default=True,
    help="How long parts of large uploads, and versions that append-only has kept, stay.",
)
@click.option(
    "--deleted-days",
    type=click.FloatRange(min=0),
    help="Also remove, for good, runs that were marked as deleted longer ago. [default: never]",
)
@json_option
def gc(
    *,
    store: Path | None,
    dry_run: bool,
    keep_days: float,
    deleted_days: float | None,
    as_json: bool,
) -> None:
    """Remove what nobody needs any more: uploads that were given up, and what is there twice.

    Quarantines of receivers that were killed (after a day), parts of large files whose sender has
    not come back, versions that append-only has kept, node files that are in the sealed file, and
    scratch files. Never an artifact, and never a sealed file but of runs that were marked as
    deleted, if --deleted-days asks for it. May run while others push.

    \b
    Examples:
      hpctrack server gc --dry-run
      hpctrack server gc --store /data/store --keep-days 30
      hpctrack server gc --deleted-days 90 --dry-run
    """
    path = find_store(read_settings(dir=store))
    actor = Actor.from_environment(environment())
    with show_count_bar("runs") as on_run:
        found = collect(
            path,
            keep_days=keep_days,
            deleted_days=deleted_days,
            dry_run=dry_run,
            actor=actor,
            on_run=on_run,
        )
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "size_bytes": found.size_bytes,
                "freed": [
                    {"kind": one.kind, "path": one.path, "size_bytes": one.size_bytes}
                    for one in found.freed
                ],
                "problems": found.problems,
            }
        )
    else:
        _tell(found, dry_run=dry_run)
    if found.problems:
        raise StoreError(f"{len(found.problems)} things could not be looked at or removed")


def _tell(found: Collection, *, dry_run: bool) -> None:
    counts: Counter[str] = Counter()
    for one in found.freed:
        counts[one.kind] += 1
        if dry_run:
            click.echo(clean(f"{one.kind}: {one.path} ({show_bytes(one.size_bytes)})"))
    for problem in found.problems:
        click.echo(clean(problem), err=True)
    verb = "would free" if dry_run else "freed"
    what = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    click.echo(f"{verb} {show_bytes(found.size_bytes)}" + (f" ({what})" if what else ""))
