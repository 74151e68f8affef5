"""Which store is meant by the word REMOTE, and how it is reached."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from hpctrack.cli.options import Command
from hpctrack.core.settings import environment
from hpctrack.errors import HpctrackError, NotFoundError
from hpctrack.sync.carriers.named_remotes import TRANSPORTS, NamedRemote
from hpctrack.sync.carriers.remotes_file import find_remotes_file, read_remotes
from hpctrack.sync.carriers.transport import ConnectOptions

_FILE = click.Path(path_type=Path, dir_okay=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A store to push to.

    Parameters
    ----------
    name : str or None
        Of the named remote.
    url : str
    connect : ConnectOptions
    project : str or None
        What the named remote is for.
    """

    name: str | None
    url: str
    connect: ConnectOptions
    project: str | None = None

    def __str__(self) -> str:
        """Return what people call it."""
        return self.name or self.url


class RemoteName(click.ParamType[str]):
    """The word REMOTE, completed from the user's names."""

    name = "remote"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin so; folders are completed by the shell if there is none."""
        del ctx, param
        try:
            known = read_remotes(find_remotes_file(environment())).known
        except (HpctrackError, OSError):
            return []
        found = [
            CompletionItem(name, help=one.url)
            for name, one in known.items()
            if name.startswith(incomplete)
        ]
        return found or [CompletionItem(incomplete, type="dir")]


def connect_options(command: Command) -> Command:
    """Add the options that say how a remote is reached; the command gets them by name."""
    added: list[Callable[[Command], Command]] = [
        click.option(
            "--transport",
            type=click.Choice(TRANSPORTS),
            help="What carries it: paramiko, or the system's ssh.  [default: auto]",
        ),
        click.option("--remote-command", help="What starts hpctrack there.  [default: hpctrack]"),
        click.option("-i", "--identity", type=_FILE, help="The private key to use, and no other."),
        click.option("--known-hosts", type=_FILE, help="Trusted keys, instead of the user's."),
        click.option("--ssh-config", type=_FILE, help="Instead of ~/.ssh/config."),
    ]
    for one in reversed(added):
        command = one(command)
    return command


def find_destination(word: str | None, given: dict[str, Any]) -> Destination:
    """Find out what is meant.

    Parameters
    ----------
    word : str or None
        A name, a URL, a path, or nothing: the default remote.
    given : dict
        What the options of `connect_options` say; it beats what the name stands for.

    Raises
    ------
    UsageError
        Nothing is named and there is no default.
    NotFoundError
        It is a bare word, and neither a remote nor a folder.
    SettingsError
        The user's remotes cannot be read.
    """
    if word is not None and is_place(word):
        return Destination(name=None, url=word, connect=_make_options(None, given))
    remotes = read_remotes(find_remotes_file(environment()))
    name = remotes.choose_default() if word is None else word
    if name not in remotes.known and Path(name).is_dir():
        return Destination(name=None, url=name, connect=_make_options(None, given))
    try:
        found = remotes.find(name)
    except NotFoundError as error:
        told = f"{error.message}, and no folder of that name"
        raise NotFoundError(told, hint=f"{error.hint}; a new folder is ./{name}") from None
    return Destination(
        name=name, url=found.url, connect=_make_options(found, given), project=found.project
    )


def is_place(word: str) -> bool:
    """Tell whether a word can only be a URL or a path, also ``host:path``, which has a hint."""
    return "/" in word or ":" in word or word in {"", ".", ".."} or word.startswith("~")


def _make_options(remote: NamedRemote | None, given: dict[str, Any]) -> ConnectOptions:
    def choose(key: str) -> Any:
        value = given.get(key)
        return getattr(remote, key) if value is None and remote is not None else value

    return ConnectOptions(
        transport=choose("transport") or "auto",
        remote_command=choose("remote_command"),
        identity=choose("identity"),
        known_hosts=choose("known_hosts"),
        ssh_config=choose("ssh_config"),
    )
