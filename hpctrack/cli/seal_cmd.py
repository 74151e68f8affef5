"""``hpctrack seal``: many node files become one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from hpctrack.cli.losses import describe_run
from hpctrack.cli.options import (
    json_option,
    open_store,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.core.settings import environment
from hpctrack.errors import BusyError, HpctrackError
from hpctrack.store.ledger import list_losses
from hpctrack.store.parallel_seal import seal_together
from hpctrack.store.seal import seal_run
from hpctrack.store.sealed_file import SealedReader
from hpctrack.store.store import Store
from hpctrack.store.world import World, join_world

LONG_POINTS = 1_000_000
"""Sealing fewer than these takes less time than it takes to look."""

Outcome = tuple[dict[str, Any], HpctrackError | None]


@click.command()
@click.argument("runs", nargs=-1)
@store_option
@project_option
@click.option("--all", "seal_all", is_flag=True, help="All runs that have ended.")
@click.option("--force", is_flag=True, help="Also a run that seems to be running.")
@click.option(
    "--mpi/--no-mpi",
    "use_mpi",
    default=None,
    help="Share the work with the other ranks. [default: if mpirun or srun started this process]",
)
@json_option
def seal(
    *,
    runs: tuple[str, ...],
    store: Path | None,
    project: str | None,
    seal_all: bool,
    force: bool,
    use_mpi: bool | None,
    as_json: bool,
) -> None:
    """Turn the node files of runs into one compressed file each.

    Safe to repeat and to interrupt: node files are removed only after the sealed file was read
    back and found to hold the same points.

    Under mpirun, or srun, the processes share the work: the metrics of a run that was named, or,
    with --all, the runs.

    \b
    Examples:
      hpctrack seal 4711.0
      hpctrack seal --all --project digits
      mpirun -n 8 hpctrack seal 4711.0
    """
    if not runs and not seal_all:
        raise click.UsageError("name runs, or use --all")
    world = join_world(environment(), use_mpi=use_mpi)
    if world.is_idle:
        return
    folders, broken = world.share(
        lambda: _list_folders(open_store(store), () if seal_all else runs, project)
    )
    entries: list[dict[str, Any]] = []
    problem: HpctrackError | None = None
    with _progress_bar() as on_progress:
        options = Options(force=force, on_progress=on_progress)
        sealed = _seal_each(folders, world, options, is_shared=not seal_all)
        for entry, error in chain(broken, sealed):
            entries.append(entry)
            if world.is_first and not as_json:
                click.echo(_line(entry), err=(entry, error) in broken)
                for line in describe_run(_name(entry), entry.get("ledger", {})):
                    click.echo(line, err=True)
            if not (seal_all and isinstance(error, BusyError)):
                problem = problem or error
    if world.is_first and as_json:
        print_json({"runs": entries})
    if problem:
        # Of several processes the first says what is wrong.
        raise problem if world.is_first else SystemExit(problem.exit_code)


def _list_folders(
    store: Store, runs: Sequence[str], project: str | None
) -> tuple[list[Path], list[Outcome]]:
    """Return the folders of the runs that are meant, or of all; and those that cannot be read."""
    if runs:
        return [store.run(one, project=project).folder for one in runs], []
    readable, broken = store.listing(project=project)
    return [run.folder for run in readable], [_fail(run.folder, error) for run, error in broken]


def _fail(folder: Path, error: HpctrackError) -> Outcome:
    entry: dict[str, Any] = {"id": folder.name, "project": folder.parent.name, "sealed": False}
    return {**entry, "error": error.code, "message": error.message}, error


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How runs are sealed."""

    force: bool
    on_progress: Callable[[int, int], None] | None


def _seal_each(
    folders: Sequence[Path], world: World, options: Options, *, is_shared: bool
) -> Iterator[Outcome]:
    """Seal runs and yield what came of it: together, or each process some of them."""
    stale_after_s = read_settings().stale_after_s

    def seal_one(folder: Path) -> Outcome:
        entry: dict[str, Any] = {"id": folder.name, "project": folder.parent.name}
        more: dict[str, Any] = {
            "force": options.force,
            "on_progress": options.on_progress,
            "stale_after_s": stale_after_s,
        }
        try:
            if is_shared and world.comm:
                done = seal_together(folder, world, **more)
            else:
                done = seal_run(folder, **more)
        except HpctrackError as error:
            return _fail(folder, error)
        # Of all runs, those that were sealed before are many, and nobody has asked about them.
        is_asked = is_shared and not done.node_files
        ledger = SealedReader(done.path).read_record().ledger if is_asked else done.ledger
        facts = {
            "sealed": True,
            "points": done.points,
            "node_files": done.node_files,
            "ledger": ledger,
            "lost": list_losses(ledger),
        }
        return {**entry, **facts}, None

    if is_shared or not world.comm:
        yield from map(seal_one, folders)
        return
    mine = range(world.rank, len(folders), world.size)
    parts = world.gather(lambda: {number: seal_one(folders[number]) for number in mine})
    found = {number: outcome for part in parts for number, outcome in part.items()}
    yield from (found[number] for number in range(len(folders)))


def _name(entry: dict[str, Any]) -> str:
    return f"{entry['project']}/{entry['id']}"


def _line(entry: dict[str, Any]) -> str:
    name = _name(entry)
    if not entry["sealed"]:
        return f"{name}: not sealed: {entry['message']}"
    if not entry["node_files"]:
        return f"{name}: is sealed ({entry['points']} points)"
    return f"{name}: sealed {entry['points']} points from {entry['node_files']} node files"


@contextmanager
def _progress_bar() -> Iterator[Callable[[int, int], None] | None]:
    """Show a bar for what takes long, if somebody looks: standard error is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (
        TextColumn("sealing"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("sealing", total=None, visible=False)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=total > LONG_POINTS)

        yield show
