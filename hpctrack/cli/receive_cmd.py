"""``hpctrack receive``: the other end of ``hpctrack sync``, started through SSH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hpctrack.cli.byte_sizes import ByteSize
from hpctrack.cli.options import read_settings, store_option
from hpctrack.core.names import check_id
from hpctrack.core.settings import environment
from hpctrack.errors import HpctrackError, UsageError
from hpctrack.sync.carriers.fd_stream import FdStream
from hpctrack.sync.receiving.policy import Policy
from hpctrack.sync.receiving.receive import Receiver
from hpctrack.sync.upkeep.audit import Actor

INTERNAL_STATUS = 70
"""EX_SOFTWARE of sysexits(3)."""


@click.command()
@store_option
@click.option(
    "-p",
    "--project",
    "projects",
    multiple=True,
    help="Take runs of this project only; may be repeated.",
)
@click.option("--append-only", is_flag=True, help="Add runs and rows; replace nothing by less.")
@click.option("--quota", type=ByteSize(), help="How large a project may become, such as 50GB.")
@click.option("--user", default="", help="Whose runs they are; those of others are refused.")
def receive(
    *,
    store: Path | None,
    projects: tuple[str, ...],
    append_only: bool,
    quota: int | None,
    user: str,
) -> int:
    """Take runs from `hpctrack sync`, through standard input and output.

    Started by the sender, through SSH; not by people. Each run is checked before anybody can
    see it. The store is made if its parent folder is there. In a line of authorized_keys, which
    `hpctrack server keys add` writes, it is all that a key can do.

    \b
    Examples:
      hpctrack receive --store /data/store        what `hpctrack sync` runs on this machine
      hpctrack sync ssh://me@here/data/store      what starts it, on another one
      hpctrack receive --store /data/store --project digits --user ada --append-only --quota 50GB
    """
    if sys.stdin.isatty() or sys.stdout.isatty():
        raise UsageError(
            "`hpctrack receive` talks to `hpctrack sync`, not to people",
            hint="on the machine with the runs: hpctrack sync ssh://user@host/path/of/the/store",
        )
    policy = Policy(
        projects=tuple(check_id(one, what="project") for one in projects),
        append_only=append_only,
        quota_bytes=quota,
        user=user,
    )
    path = Path(read_settings(dir=store).dir).expanduser().absolute()
    code = _serve(path, policy, user)
    growing = sys.modules.get("hpctrack.store.growing_file")
    if growing is not None and growing.has_abandoned_files():
        sys.stderr.flush()
        os._exit(code)  # a disk has failed under HDF5, whose farewell nobody should wait for
    return code


def _serve(path: Path, policy: Policy, user: str) -> int:
    stream = _take_standard_streams()
    try:
        actor = Actor.from_environment(environment(), user=user)
        Receiver(path, stream, policy=policy, actor=actor).serve()
    except HpctrackError as error:
        # The sender has been told what it may know. What is printed here reaches it too: only
        # the code, because messages name paths of this machine.
        click.echo(f"hpctrack receive: {error.code}", err=True)
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - a traceback would tell the sender our paths
        click.echo(f"hpctrack receive: internal error: {type(error).__name__}", err=True)
        return INTERNAL_STATUS
    return 0


def _take_standard_streams() -> FdStream:
    """Keep the streams to ourselves: whatever else is printed must not end up between frames."""
    sys.stdout.flush()
    read_fd, write_fd = os.dup(0), os.dup(1)
    null_fd = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null_fd, 0)
    os.close(null_fd)
    os.dup2(2, 1)
    return FdStream(read_fd, write_fd)
