"""``hpctrack server keys``: who may push, and where to."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import pwd
import shutil
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from hpctrack.cli.byte_sizes import ByteSize
from hpctrack.cli.moments import Moment
from hpctrack.cli.options import json_option, print_json, read_settings, store_option
from hpctrack.cli.table import print_table
from hpctrack.core.byte_sizes import show_bytes
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.names import check_id, clean
from hpctrack.core.settings import environment
from hpctrack.errors import NotFoundError, UsageError
from hpctrack.sync.upkeep.key_file import add_key, ask_ssh_keygen, list_keys, revoke_keys
from hpctrack.sync.upkeep.key_lines import (
    Grant,
    KeyLine,
    find_program,
    make_expiry,
    show_expiry,
)
from hpctrack.sync.upkeep.public_key import parse_public_key

_FILE = click.Path(path_type=Path, dir_okay=False)

file_option = click.option(
    "--file",
    "keys_file",
    type=_FILE,
    help="The file that sshd reads. [default: ~/.ssh/authorized_keys of this account]",
)


@click.group()
def keys() -> None:
    """Say who may push to a store, with which key, and what.

    Each key gets a line in the authorized_keys of this account that allows one command and
    nothing else: no shell, no forwarding, no terminal.

    \b
    Examples:
      hpctrack server keys add ana.pub --user ana --project digits --store /data/store
      hpctrack server keys list
      hpctrack server keys revoke ana
    """


@keys.command()
@click.argument("key", metavar="KEY")
@click.option("--user", required=True, help="Whose key it is: the name in the log.")
@click.option("-p", "--project", "projects", multiple=True, help="May be pushed to; repeatable.")
@click.option("--all-projects", is_flag=True, help="All may be pushed to, instead of --project.")
@click.option("--append-only", is_flag=True, help="Keep what is there when more comes.")
@click.option("--quota", type=ByteSize(), help="What each project may hold, for this key: 50GB.")
@click.option("--expires", type=Moment(), help="The key is refused from then on: 2027-01-31.")
@click.option("--from", "addresses", multiple=True, help="Where it may come from: 10.1.0.0/16.")
@click.option(
    "--command-path", type=_FILE, help="The hpctrack to start. [default: the one beside this]"
)
@store_option
@file_option
@json_option
def add(
    *,
    key: str,
    user: str,
    projects: tuple[str, ...],
    all_projects: bool,
    append_only: bool,
    quota: int | None,
    expires: dt.date | None,
    addresses: tuple[str, ...],
    command_path: Path | None,
    store: Path | None,
    keys_file: Path | None,
    as_json: bool,
) -> None:
    """Allow KEY to push: a .pub file, - for standard input, or the text of the key.

    A key that is there already for the same user gets the new line instead of its old one.

    \b
    Examples:
      hpctrack server keys add ana.pub --user ana --project digits --store /data/store
      ssh-add -L | hpctrack server keys add - --user ana --project digits
      hpctrack server keys add ci.pub --user ci --all-projects --append-only --quota 50GB
      hpctrack server keys add guest.pub --user guest --project demo --expires 2027-01-31
    """
    if bool(projects) == all_projects:
        raise UsageError("say what may be pushed to", hint="--project NAME, or --all-projects")
    found = parse_public_key(_read_key(key))
    ask_ssh_keygen(found)
    program = find_program(command_path, Path(sys.executable), shutil.which("hpctrack"))
    grant = Grant(
        user=check_id(user, what="user"),
        store=str(Path(read_settings(dir=store).dir).expanduser().absolute()),
        projects=tuple(check_id(one, what="project") for one in projects),
        append_only=append_only,
        quota_bytes=quota,
        program=program,
    )
    now = dt.datetime.fromtimestamp(SYSTEM_CLOCK.wall_s(), dt.UTC)
    line = KeyLine(
        key=found,
        grant=grant,
        expires=make_expiry(expires, now) if expires else "",
        addresses=tuple(_check_address(one) for one in addresses),
    )
    path = _find_file(keys_file)
    is_replaced = add_key(path, line, is_private=keys_file is None)
    if as_json:
        print_json({**_entry(line), "file": str(path), "replaced": is_replaced})
        return
    click.echo(f"{'replaced' if is_replaced else 'added'} {found.fingerprint} of {user} in {path}")
    click.echo(f"  {line.to_bytes().decode(errors='replace').rstrip()}")
    url = f"ssh://{_own_account()}@THIS-HOST{quote(grant.store)}"
    click.echo(f"  {user} pushes with:  hpctrack sync {url}")


@keys.command("list")
@file_option
@json_option
def list_command(*, keys_file: Path | None, as_json: bool) -> None:
    """List the keys that may push, and what they may.

    Lines of authorized_keys that are not ours are not shown.

    \b
    Examples:
      hpctrack server keys list
      hpctrack server keys list --file /etc/ssh/keys/hpctrack --json
    """
    found = list_keys(_find_file(keys_file))
    if as_json:
        print_json({"keys": [_entry(one) for one in found]})
    elif found:
        headers = ["user", "fingerprint", "projects", "may", "expires", "from", "store"]
        print_table(headers, [[clean(cell) for cell in _row(one)] for one in found])
    else:
        click.echo("no keys")


@keys.command()
@click.argument("who", metavar="USER|FINGERPRINT")
@file_option
@json_option
def revoke(*, who: str, keys_file: Path | None, as_json: bool) -> None:
    """Take away all keys of a user, or one key by its fingerprint.

    Connections that are open stay open until they end; to end them, see `who` and `ps`.

    \b
    Examples:
      hpctrack server keys revoke ana
      hpctrack server keys revoke SHA256:Zc1m4bXq...
    """
    path = _find_file(keys_file)
    gone = revoke_keys(path, who)
    if as_json:
        print_json({"revoked": [_entry(one) for one in gone], "file": str(path)})
        return
    for one in gone:
        click.echo(f"revoked {one.key.fingerprint} of {one.grant.user} in {path}")
    click.echo("  connections that are open go on until they end")


def _read_key(key: str) -> str:
    if key == "-":
        return sys.stdin.read()
    if " " in key.strip() and not Path(key).exists():
        return key
    path = Path(key).expanduser()
    try:
        return path.read_text(errors="replace")
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}", hint="give a .pub file, or - for stdin") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _check_address(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text)) if "/" in text else str(ipaddress.ip_address(text))
    except ValueError as error:
        hint = "write 10.1.2.3, 10.1.0.0/16 or 2001:db8::/32"
        raise UsageError(f"--from: {error}", hint=hint) from None


def _find_file(given: Path | None) -> Path:
    if given is not None:
        return given.expanduser()
    return Path.home() / ".ssh" / "authorized_keys"


def _own_account() -> str:
    names = environment()
    try:
        return names.get("USER") or names.get("LOGNAME") or pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a number without a name
        return "me"


def _entry(line: KeyLine) -> dict[str, Any]:
    key, grant = line.key, line.grant
    return {
        "user": grant.user,
        "fingerprint": key.fingerprint,
        "kind": key.kind,
        "comment": key.comment,
        "store": grant.store,
        "projects": list(grant.projects),
        "append_only": grant.append_only,
        "quota_bytes": grant.quota_bytes,
        "expires": show_expiry(line.expires) if line.expires else None,
        "from": list(line.addresses),
        "program": list(grant.program),
    }


def _row(line: KeyLine) -> list[str]:
    grant = line.grant
    words = ["append only"] if grant.append_only else []
    words += [show_bytes(grant.quota_bytes)] if grant.quota_bytes is not None else []
    return [
        grant.user,
        line.key.fingerprint,
        " ".join(grant.projects) or "all",
        ", ".join(words) or "replace",
        show_expiry(line.expires) if line.expires else "never",
        " ".join(line.addresses) or "anywhere",
        grant.store,
    ]
