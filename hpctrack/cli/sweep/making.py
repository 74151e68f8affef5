"""From what people type to a sweep: a file makes one, an id names one."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.cli.options import read_settings
from hpctrack.core.settings import Settings
from hpctrack.errors import UsageError
from hpctrack.sweeps.sweep import Sweep, load_sweep, make_sweep

FILE_SUFFIXES = {".yaml", ".yml", ".json"}


def is_file(target: str) -> bool:
    """Tell whether somebody means a file, which may not be there, rather than an id."""
    path = Path(target)
    return path.is_file() or path.suffix in FILE_SUFFIXES


def make_from_file(
    settings: Settings, file: Path, project: str | None, sweep_id: str | None = None
) -> Sweep:
    """Return a new sweep; the project is the argument, the file's, or the settings'."""
    if file.is_dir():
        raise UsageError(f"{file} is a folder", hint="give the sweep file in it")
    made = make_sweep(settings.dir, file, project=project, sweep_id=sweep_id)
    if project or made.file.project:
        return made
    return make_sweep(settings.dir, file, project=settings.project, sweep_id=made.id)


def find_target(target: str, store: Path | None, project: str | None) -> tuple[Sweep, bool]:
    """Return a sweep, and whether it is new and has to be stored."""
    settings = read_settings(dir=store)
    if is_file(target):
        return make_from_file(settings, Path(target), project), True
    return load_sweep(settings.dir, target, project=project), False


def tell_made(made: Sweep) -> None:
    """Say on stderr that a sweep was created, before anything else can fail."""
    click.echo(f"created sweep {made.id} in project {made.project}", err=True)
    print_notes(made)


def print_notes(one: Sweep) -> None:
    """Say what the user should know about a file."""
    for note in one.file.notes:
        click.echo(f"note: {note}", err=True)
    program = one.file.program
    if program.endswith(".py") and not (one.directory / program).is_file():
        click.echo(
            f"note: there is no {program} in {one.directory}, where the trials will start", err=True
        )
