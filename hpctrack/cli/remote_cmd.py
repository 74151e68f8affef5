"""``hpctrack remote``: names for the stores that are pushed to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import click

from hpctrack.cli.format import show_duration
from hpctrack.cli.options import json_option, print_json, read_settings
from hpctrack.cli.sync.destination import (
    Destination,
    RemoteName,
    connect_options,
    find_destination,
)
from hpctrack.cli.table import print_table
from hpctrack.core.settings import environment
from hpctrack.errors import RefusedError
from hpctrack.sync.carriers.named_remotes import NamedRemote
from hpctrack.sync.carriers.remotes_file import (
    add_remote,
    find_remotes_file,
    read_remotes,
    remove_remote,
    set_default,
)
from hpctrack.sync.sending.probe import Probe, probe

SKEW_MIN_S = 0.5
"""Clocks that are kept by NTP differ by less."""


@click.group()
def remote() -> None:
    """Name the stores that `hpctrack sync` pushes to.

    They are kept in ~/.config/hpctrack/remotes.toml, which may also be edited by hand.

    \b
    Examples:
      hpctrack remote add login ssh://me@login.site.org/data/store
      hpctrack sync login
      hpctrack remote test login
    """


@remote.command()
@click.argument("name")
@click.argument("url")
@connect_options
@click.option("-p", "--project", help="Push only this one there, unless sync says otherwise.")
@click.option("--default", "is_default", is_flag=True, help="Meant by `sync` without a REMOTE.")
@click.option("--replace", is_flag=True, help="Change a remote that is there.")
def add(*, name: str, url: str, is_default: bool, replace: bool, **given: Any) -> None:
    """Give a store a NAME.

    URL is ssh://[user@]host[:port]/path, where host may be an alias of ~/.ssh/config;
    ssh://host/~/path is below the home folder there; file:///path or a path is a folder of this
    machine, such as a disk that is shared. The only remote is the default one.

    \b
    Examples:
      hpctrack remote add login ssh://me@login.site.org/data/store --default
      hpctrack remote add team ssh://transfer/~/store --remote-command '~/venv/bin/hpctrack'
      hpctrack remote add group ssh://me@gate/data/store --transport ssh --project digits
    """
    said = {key: value for key, value in given.items() if value is not None}
    made = NamedRemote.make({"url": url, **said}, what="the command line")
    path = find_remotes_file(environment())
    add_remote(path, name, made, is_default=is_default, replace=replace)
    click.echo(f"{name}: {made.url}")


@remote.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """Show what the names stand for.

    \b
    Examples:
      hpctrack remote list
      hpctrack remote list --json
    """
    remotes = read_remotes(find_remotes_file(environment()))
    default = remotes.default or (next(iter(remotes.known)) if len(remotes.known) == 1 else None)
    if as_json:
        rows = [
            {"name": name, "is_default": name == default, **one.to_json()}
            for name, one in remotes.known.items()
        ]
        print_json({"remotes": rows})
        return
    if not remotes.known:
        click.echo("no remotes; hpctrack remote add NAME ssh://user@host/path/of/the/store")
        return
    print_table(
        ["", "name", "url", "project", "options"],
        [
            ["*" if name == default else "", name, one.url, one.project or "", _show_options(one)]
            for name, one in remotes.known.items()
        ],
    )


def _show_options(one: NamedRemote) -> str:
    shown = {key: value for key, value in one.to_json().items() if key not in {"url", "project"}}
    return ", ".join(f"{key} {value}" for key, value in shown.items())


@remote.command()
@click.argument("name", type=RemoteName())
def remove(*, name: str) -> None:
    """Forget a NAME; the store there stays as it is.

    \b
    Examples:
      hpctrack remote remove login
    """
    was = remove_remote(find_remotes_file(environment()), name)
    click.echo(f"{name}: forgotten ({was.url})")


@remote.command()
@click.argument("name", type=RemoteName())
def default(*, name: str) -> None:
    """Make NAME the remote that `hpctrack sync` means if none is named.

    \b
    Examples:
      hpctrack remote default login
    """
    set_default(find_remotes_file(environment()), name)
    click.echo(f"{name}: the default")


@remote.command()
@click.argument("name", type=RemoteName(), required=False)
@connect_options
@click.option("-p", "--project", help="Would it take this one's runs? [default: its own]")
@json_option
def test(*, name: str | None, project: str | None, as_json: bool, **given: Any) -> None:
    """Connect to NAME, or to a URL, and tell what is there; nothing is pushed.

    It says what carries it and why, which hpctrack and protocol are there, how far its clock is
    from this one, how long a round trip takes, and whether it would take runs of the project. The
    exit code is that of a sync.

    \b
    Examples:
      hpctrack remote test login
      hpctrack remote test ssh://me@login/data/store --transport ssh
    """
    destination = find_destination(name, given)
    project = project or destination.project or read_settings().project
    found = probe(destination.url, project=project, connect=destination.connect)
    if as_json:
        print_json({"url": destination.url, "project": project, **asdict(found)})
    else:
        for line in _describe(destination, found, project):
            click.echo(line)
    if found.refusal:
        raise RefusedError(f"{destination} takes no runs of {project}: {found.refusal}")


def _describe(destination: Destination, found: Probe, project: str) -> Iterator[str]:
    why = f": {found.reason}" if found.reason else ""
    packs = "compresses" if found.unpacks else "does not compress: no zstandard there"
    yield f"{destination.name}: {destination.url}" if destination.name else destination.url
    yield f"  reached     {found.peer} by {found.carrier}{why}"
    yield f"  there       {found.software}, protocol {found.version}, {packs}"
    yield f"  clock       {_describe_skew(found)}"
    took = f"{1000 * found.round_trip_s:.1f} ms; connecting took {found.connect_s:.2f} s"
    yield f"  round trip  {took}"
    word = f"refused: {found.refusal}" if found.refusal else "taken"
    yield f"  runs        of {project}: {word}"


def _describe_skew(found: Probe) -> str:
    skew_s = found.skew_s
    if abs(skew_s) < max(SKEW_MIN_S, found.round_trip_s):
        return "as here"
    shown = show_duration(abs(skew_s))
    return f"{shown} {'ahead of' if skew_s > 0 else 'behind'} this one; nothing depends on it"
