"""Commands that are imported when they are wanted, ours and those of other packages."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import click

from hpctrack.errors import MissingPackageError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint, EntryPoints

PLUGIN_GROUP = "hpctrack.commands"
"""Entry points that are commands: the dashboard comes this way, so the library never imports it."""


def load_command(module: str, name: str) -> click.Command | None:
    """Import one of our commands: the click command in a module that has its name, or ``name_``."""
    loaded = importlib.import_module(module)
    found = (getattr(loaded, one, None) for one in (name, f"{name}_"))
    return next((one for one in found if isinstance(one, click.Command)), None)


def find_plugins() -> EntryPoints:
    """Return the commands of other packages, not loaded."""
    # 4 MB that a command of ours does without: `top` stays for days.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return entry_points(group=PLUGIN_GROUP)


def find_plugin(name: str) -> click.Command | None:
    """Load the command of another package; None if there is none of that name."""
    for plugin in find_plugins():
        if plugin.name == name:
            return _load(plugin)
    return None


def _load(plugin: EntryPoint) -> click.Command:
    """Load a command; one that cannot be loaded says so when it is called."""
    try:
        loaded: click.Command = plugin.load()
    except ImportError as error:
        return make_broken(plugin.name, error.name or str(error))
    return loaded


def make_broken(name: str, package: str) -> click.Command:
    """Return a command that takes anything and says which package it misses."""

    @click.command(name, context_settings={"ignore_unknown_options": True})
    @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
    def broken(*, arguments: tuple[str, ...]) -> None:
        del arguments
        raise MissingPackageError(package, extra=name)

    broken.help = f"(Not installed: pip install 'hpctrack[{name}]'.)"
    return broken
