"""``hpctrack media``: what a run has logged that is no number."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import click
from rich.markup import escape
from rich.table import Table

from hpctrack.cli.format import make_console, show_value
from hpctrack.cli.losses import tell_losses
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.core.names import clean
from hpctrack.errors import HpctrackError, StoreError
from hpctrack.store.media import MediaItem

PART_MAX_CHARS = 100
"""Keys become folders; file systems allow 255 bytes, and a letter may take four."""

_UNSAFE = re.compile(r"[^\w.+=@ -]|^[.\s-]|[.\s]$")
"""Anything a shell, a path or another file system could take for something else."""

_FORMAT = re.compile(r"[a-z0-9]{1,12}(\.[a-z0-9]{1,8})?\Z")


@click.command()
@click.argument("run")
@click.option("-k", "--key", help="Only this key; * and ? stand for anything.")
@click.option("-t", "--type", "kind", help="Only this type: image, audio, table, plot, ...")
@click.option("--step", type=int, help="Only this step.")
@click.option("--rank", type=int, help="Only this rank.")
@click.option(
    "--export", type=click.Path(path_type=Path, file_okay=False), help="Write files to a folder."
)
@store_option
@project_option
@json_option
def media(
    *,
    run: str,
    key: str | None,
    kind: str | None,
    step: int | None,
    rank: int | None,
    export: Path | None,
    store: Path | None,
    project: str | None,
    as_json: bool,
) -> None:
    """List or export pictures, sounds, tables, plots: what is no number.

    RUN is an id, project/id, a name, or the beginning of an id. Exported files are named
    KEY/STEP-rRANK.EXTENSION.

    \b
    Examples:
      hpctrack media lunar-harbor-998
      hpctrack media 4711.0 --key 'val/*' --type image --export pictures
    """
    found = open_store(store).run(run, project=project)
    try:
        items = found.media(key=key, type=kind, rank=rank, step=step)
        paths = [plan_path(one) for one in items]
        problems = _export(items, paths, export) if export is not None else []
        if as_json:
            entries = [
                {**one.describe(), "file": str(path)}
                for one, path in zip(items, paths, strict=True)
            ]
            print_json({"media": entries, "failed": problems, "lost": found.lost})
        elif export is None:
            _print(items)
        else:
            click.echo(f"wrote {len(items) - len(problems)} files to {export}")
        if not as_json:
            tell_losses(found)
    finally:
        found.close()
    for problem in problems:
        click.echo(f"not written: {clean(problem)}", err=True)
    if problems:
        raise StoreError(f"{len(problems)} of {len(items)} files could not be written")


def plan_path(item: MediaItem) -> Path:
    """Return where an item is exported to, relative to the folder.

    Keys are what a user's program made up: nothing in them leads out of the folder, and what had
    to be replaced is kept apart by a digest.
    """
    parts = [_safe(part) for part in item.key.split("/") if part] or ["_"]
    place = f"-{int(item.meta['index']):04d}" if isinstance(item.meta.get("index"), int) else ""
    form = item.format if _FORMAT.match(item.format) else "bin"
    name = f"{item.step:08d}-r{item.rank}{place}.{'png' if form == 'apng' else form}"
    return Path(*parts, name)


def _safe(part: str) -> str:
    kept = _UNSAFE.sub("_", part)[:PART_MAX_CHARS]
    # A folder that looks like one of our files could stand in its way.
    if kept == part and not re.search(r"-r\d", part):
        return kept
    digest = hashlib.blake2b(part.encode("utf-8", "replace"), digest_size=4).hexdigest()
    return f"{kept}-{digest}"


def _export(items: Sequence[MediaItem], paths: list[Path], folder: Path) -> list[str]:
    """Write files; the same key, step and rank logged again gets a number. Return what failed."""
    problems = []
    taken: dict[Path, int] = {}
    for number, item in enumerate(items):
        path = paths[number]
        again = taken[path] = taken.get(path, 0) + 1
        if again > 1:
            paths[number] = path.with_name(path.name.replace(".", f"-{again}.", 1))
        target = folder / paths[number]
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            item.save(target)
        except HpctrackError as error:
            problems.append(f"{paths[number]}: {error.message}")
        except OSError as error:
            problems.append(f"{paths[number]}: {error.strerror or error}")
    return problems


def _print(items: Sequence[MediaItem]) -> None:
    if not items:
        click.echo("no media")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("key", "type", "format", "what"):
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for column in ("step", "rank", "size"):
        table.add_column(column, justify="right", no_wrap=True)
    for one in items:
        words = (one.key, one.type, one.format, _describe(one))
        table.add_row(
            *(escape(show_value(word)) for word in words),
            str(one.step),
            str(one.rank),
            f"{one.size:,}",
        )
    make_console().print(table)


def _describe(item: MediaItem) -> str:
    """Say in a few words what it is."""
    meta = item.meta
    words = []
    if "width" in meta and "height" in meta:
        words.append(f"{meta['width']}x{meta['height']}")
    for key, unit in (
        ("frames", "frames"),
        ("rows", "rows"),
        ("values", "values"),
        ("points", "points"),
    ):
        if key in meta:
            words.append(f"{show_value(meta[key])} {unit}")
    if isinstance(meta.get("duration_s"), (int, float)):
        words.append(f"{meta['duration_s']:.2f} s")
    words += [str(meta[key]) for key in ("kind", "library") if key in meta]
    if isinstance(meta.get("index"), int):
        words.append(f"{meta['index'] + 1} of {meta.get('of')}")
    if item.caption:
        words.append(item.caption)
    return ", ".join(words)
