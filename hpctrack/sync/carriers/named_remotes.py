"""What the names of remotes stand for. Pure; `remotes_file` reads and writes them."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from hpctrack.core.names import check_id
from hpctrack.errors import InvalidNameError, NotFoundError, SettingsError, UsageError
from hpctrack.sync.carriers.remote import LocalRemote, parse_remote

TRANSPORTS = ("auto", "paramiko", "ssh")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRemote:
    """What a name stands for.

    Parameters
    ----------
    url : str
        As `parse_remote` takes it; a path is absolute.
    transport : {"auto", "paramiko", "ssh"}
    remote_command : str or None
        How hpctrack is started there.
    identity, known_hosts, ssh_config : Path or None
        See `ConnectOptions`.
    project : str or None
        What is pushed there if nobody says otherwise.
    """

    url: str
    transport: str = "auto"
    remote_command: str | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    ssh_config: Path | None = None
    project: str | None = None

    @classmethod
    def make(cls, given: Mapping[str, Any], *, what: str) -> Self:
        """Make it from what a file or a person says.

        Raises
        ------
        UsageError, InvalidNameError
            A value cannot be used.
        SettingsError
            A key is unknown, or a value of another type; ``what`` is named.
        """
        known = [one.name for one in fields(cls)]
        for key, value in given.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
                raise SettingsError(f"unknown key {key!r} ({what})", hint=hint)
            if not isinstance(value, (str, Path)) or not str(value):
                raise SettingsError(f"{key!r} is {value!r}, not a text ({what})")
        if "url" not in given:
            raise SettingsError(f"there is no 'url' ({what})")
        where = parse_remote(str(given["url"]))
        if isinstance(where, LocalRemote):
            given = {**given, "url": str(where.path.absolute())}
        if given.get("transport", "auto") not in TRANSPORTS:
            hint = f"use one of {', '.join(TRANSPORTS)}"
            raise SettingsError(f"transport is {given['transport']!r} ({what})", hint=hint)
        if "project" in given:
            check_id(str(given["project"]), what="project")
        files = ("identity", "known_hosts", "ssh_config")
        paths = {key: Path(given[key]).expanduser().absolute() for key in files if key in given}
        return cls(**{**given, **paths})

    def to_json(self) -> dict[str, str]:
        """Return what differs from the default, as text."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {
            key: str(value)
            for key, value in values.items()
            if value is not None and (key, value) != ("transport", "auto")
        }


@dataclass(frozen=True, slots=True)
class Remotes:
    """What a file says.

    Parameters
    ----------
    known : dict
        Name and what it stands for, in the file's order.
    default : str or None
        The one that is meant if none is named.
    """

    known: dict[str, NamedRemote] = field(default_factory=dict)
    default: str | None = None

    def find(self, name: str) -> NamedRemote:
        """Return what a name stands for.

        Raises
        ------
        NotFoundError
            There is no such name.
        """
        if name in self.known:
            return self.known[name]
        near = difflib.get_close_matches(name, self.known, n=1)
        told = f"remotes: {', '.join(self.known)}" if self.known else "`hpctrack remote add` it"
        raise NotFoundError(
            f"no remote {name!r}", hint=f"did you mean {near[0]!r}?" if near else told
        )

    def choose_default(self) -> str:
        """Return the name of the one that is meant if none is named.

        Raises
        ------
        UsageError
            There is none, or there are several and none is the default.
        """
        if self.default is not None:
            return self.default
        if len(self.known) == 1:
            return next(iter(self.known))
        if self.known:
            raise UsageError(
                f"which remote? there are {', '.join(self.known)}",
                hint=f"name one, or: hpctrack remote default {next(iter(self.known))}",
            )
        raise UsageError(
            "no remote given",
            hint=(
                "hpctrack sync ssh://user@host/path/of/the/store; or name it once:"
                " hpctrack remote add NAME ssh://user@host/path/of/the/store"
            ),
        )


def parse_remotes(text: str, path: Path) -> Remotes:
    """Read what a file says; ``path`` is for messages.

    Raises
    ------
    SettingsError
        It is not TOML, or says something that cannot be.
    """
    try:
        found = tomllib.loads(text)
    except ValueError as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None
    for key in found:
        if key not in {"remotes", "default"}:
            raise SettingsError(f"unknown key {key!r} ({path})", hint="write [remotes.NAME]")
    tables, default = found.get("remotes", {}), found.get("default")
    if not isinstance(tables, dict) or any(not isinstance(one, dict) for one in tables.values()):
        raise SettingsError(f"'remotes' is no table of tables ({path})", hint="[remotes.NAME]")
    known = {}
    for name, table in tables.items():
        try:
            check_id(name, what="remote")
            known[name] = NamedRemote.make(table, what=f"{path}, remote {name}")
        except (InvalidNameError, UsageError) as error:
            if isinstance(error, SettingsError):
                raise
            told = f"{error.message} ({path}, remote {name})"
            raise SettingsError(told, hint=error.hint) from None
    if default is not None and default not in known:
        raise SettingsError(f"the default remote {default!r} is not there ({path})")
    return Remotes(known, default)
