"""Options that several commands share, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hpctrack.core.settings import Settings, load_settings
from hpctrack.core.wire import make_plain
from hpctrack.errors import NotFoundError

if TYPE_CHECKING:
    from hpctrack.store.store import Store

Command = TypeVar("Command", bound=Callable[..., Any])


def store_option(command: Command) -> Command:
    """Add ``--store``; the command gets ``store``, a path or None."""
    return click.option(
        "--store",
        type=click.Path(path_type=Path),
        help="The store's folder. [default: $HPCTRACK_DIR, else ./hpctrack-store]",
    )(command)


def project_option(command: Command) -> Command:
    """Add ``--project``; None means all."""
    return click.option("-p", "--project", help="Only this project.")(command)


def json_option(command: Command) -> Command:
    """Add ``--json``; the command gets ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def read_settings(**arguments: Any) -> Settings:
    """Load the settings; a wrong one is an error here, unlike in a rank."""
    loaded = load_settings(arguments)
    if loaded.problems:
        raise loaded.problems[0]
    return loaded.values


def open_store(path: Path | None) -> Store:
    """Open the store that ``--store`` or the settings name."""
    from hpctrack.store.store import Store  # noqa: PLC0415 - brings numpy; what watches does without

    settings = read_settings(dir=path)
    return Store(settings.dir, stale_after_s=settings.stale_after_s)


def find_store(settings: Settings) -> Path:
    """Return the store's folder for commands that look at live files only.

    Raises
    ------
    NotFoundError
        There is no such folder.
    """
    folder = Path(settings.dir).expanduser()
    if not folder.is_dir():
        raise NotFoundError(f"no store at {folder}", hint="use --store, or set HPCTRACK_DIR")
    return folder


def print_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinities as null, because JSON has no form for them."""
    click.echo(json.dumps(_without_nan(value), default=make_plain, indent=2))


def print_json_line(value: Any) -> None:
    """Print a value as JSON in one line, at once: somebody may read along."""
    click.echo(json.dumps(_without_nan(value), default=make_plain))


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0:
        return None
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value
