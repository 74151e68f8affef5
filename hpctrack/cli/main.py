"""``hpctrack``: the group that finds the commands, and where errors become exit codes."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from hpctrack.cli.plugins import find_plugin, find_plugins, load_command
from hpctrack.core import __version__
from hpctrack.core.settings import environment
from hpctrack.errors import HpctrackError

COMMANDS = {
    "run": "hpctrack.cli.run_cmd",
    "ls": "hpctrack.cli.ls_cmd",
    "top": "hpctrack.cli.top_cmd",
    "tail": "hpctrack.cli.tail_cmd",
    "show": "hpctrack.cli.show_cmd",
    "diff": "hpctrack.cli.diff_cmd",
    "rerun": "hpctrack.cli.rerun_cmd",
    "stragglers": "hpctrack.cli.stragglers_cmd",
    "media": "hpctrack.cli.media_cmd",
    "stop": "hpctrack.cli.stop_cmd",
    "logs": "hpctrack.cli.logs_cmd",
    "edit": "hpctrack.cli.edit_cmd",
    "seal": "hpctrack.cli.seal_cmd",
    "verify": "hpctrack.cli.verify_cmd",
    "repair": "hpctrack.cli.repair_cmd",
    "sacct": "hpctrack.cli.sacct_cmd",
    "sync": "hpctrack.cli.sync_cmd",
    "remote": "hpctrack.cli.remote_cmd",
    "bundle": "hpctrack.cli.bundle_cmd",
    "receive": "hpctrack.cli.receive_cmd",
    "server": "hpctrack.cli.server_cmd",
    "sweep": "hpctrack.cli.sweep_cmd",
    "doctor": "hpctrack.cli.doctor_cmd",
    "config": "hpctrack.cli.config_cmd",
    "cflags": "hpctrack.cli.cflags_cmd",
}
"""Command and the module with a click command of the same name (``config`` has ``config_``)."""

EXIT_CODES = """\b
Exit codes:
  0 success            5 busy, try again      9 protocol
  1 other error        6 transfer failed     10 refused by the server
  2 wrong usage        7 host key            11 sweep failed
  3 not found          8 not accepted        12 package missing
  4 store problem     13 scheduler          130 interrupted"""


class LazyGroup(click.Group):
    """A group whose commands are imported one at a time: completion and help stay quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return all commands in the order of a run's life."""
        del ctx
        plugins = {one.name for one in find_plugins()} - COMMANDS.keys()
        return [*COMMANDS, *sorted(plugins)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command."""
        del ctx
        if cmd_name in COMMANDS:
            return load_command(COMMANDS[cmd_name], cmd_name)
        return find_plugin(cmd_name)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]}, epilog=EXIT_CODES
)
@click.version_option(__version__, "-V", "--version", prog_name="hpctrack")
def hpctrack() -> None:
    """Track experiments on machines that cannot phone home.

    \b
    Examples:
      hpctrack ls                                  the runs of ./hpctrack-store
      hpctrack show lunar-harbor-998               one run, with its ranks
      hpctrack sync ssh://me@login/data/store      push what is new
      hpctrack server --store /data/store          look at it in a browser
    """


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with the code of what happened."""
    if "HDF5_USE_FILE_LOCKING" in environment():
        from hpctrack.store.hdf5 import ignore_locks  # noqa: PLC0415 - most never need it

        ignore_locks()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        result: Any = hpctrack.main(args=arguments, prog_name="hpctrack", standalone_mode=False)
    except (HpctrackError, FileNotFoundError) as error:
        return _report(_translate(error), as_json="--json" in arguments)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has what it wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return result if isinstance(result, int) else 0


def _translate(error: HpctrackError | FileNotFoundError) -> HpctrackError:
    """Return what to tell of an error; raise it again if it is a mistake of ours."""
    if isinstance(error, HpctrackError):
        return error
    try:
        os.getcwd()  # noqa: PTH109 - without another module
    except FileNotFoundError:
        from hpctrack.errors import NotFoundError  # noqa: PLC0415 - seldom

        hint = "go to one that is there: cd"
        return NotFoundError("the working folder is gone", hint=hint)
    raise error


def _report(error: HpctrackError, *, as_json: bool) -> int:
    if as_json:
        fields = {"error": error.code, "message": error.message, "hint": error.hint}
        click.echo(json.dumps(fields), err=True)
    else:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error.message}", err=True)
        if error.hint:
            click.echo(f"  {click.style('hint:', fg='cyan')} {error.hint}", err=True)
    return error.exit_code
