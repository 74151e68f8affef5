"""``hpctrack remote``: names for the stores that are pushed to."""

from __future__ import annotations

from typing import Any

import click

from hpctrack.cli.options import json_option, print_json
from hpctrack.cli.sync.destination import RemoteName, connect_options
from hpctrack.cli.table import print_table
from hpctrack.core.settings import environment
from hpctrack.sync.carriers.named_remotes import NamedRemote
from hpctrack.sync.carriers.remotes_file import (
    add_remote,
    find_remotes_file,
    read_remotes,
    remove_remote,
    set_default,
)


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
