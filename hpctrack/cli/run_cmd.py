"""``hpctrack run``: track any program, in any language, from outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import click

from hpctrack.client.launch import LAUNCH_VARIABLE, make_launch_token
from hpctrack.client.run import Run
from hpctrack.client.session import init
from hpctrack.core.settings import environment

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""What a scheduler or a user sends to the wrapper is meant for the program."""

SHELL_SIGNAL_BASE = 128
"""A program ended by signal n has exit code 128 + n in every shell."""


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("-p", "--project", help="Project of the run.")
@click.option("--name", help="Display name.")
@click.option("--id", "run_id", help="Id of the run.")
@click.option("--group", help="Group of the run.")
@click.option("--tag", "tags", multiple=True, help="A tag; may be repeated.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(
    *,
    project: str | None,
    name: str | None,
    run_id: str | None,
    group: str | None,
    tags: tuple[str, ...],
    command: tuple[str, ...],
) -> None:
    """Run COMMAND as a run: its command line, exit code and duration are recorded.

    A Python program that calls hpctrack.init() logs into the same run. Signals are passed on, and
    the exit code is the program's own. Works under srun and mpiexec, one wrapper per rank.

    \b
    Examples:
      hpctrack run -- ./simulate --steps 1000
      srun -n 4 hpctrack run --project cfd -- python train.py
    """
    tracked = init(
        project, name=name, id=run_id, group=group, tags=tags or None,
        config={"command": _without_secrets(command), "cwd": str(Path.cwd())},
    )  # fmt: skip
    code = _run_program(tracked, list(command))
    tracked.finish(code)
    sys.exit(code)


def _without_secrets(command: tuple[str, ...]) -> list[str]:
    from hpctrack.telemetry.provenance.masking import Masker  # noqa: PLC0415 - only here

    return Masker(environment()).arguments(command)


def _run_program(tracked: Run, command: list[str]) -> int:
    environ = environment()
    inherited = {
        **environ,
        LAUNCH_VARIABLE: make_launch_token(environ, tracked.place),
        "HPCTRACK_RUN_ID": tracked.id,
        "HPCTRACK_PROJECT": tracked.project,
    }
    try:
        child = subprocess.Popen(command, env=inherited)
    except OSError as error:
        click.echo(f"hpctrack: {command[0]}: {error.strerror}", err=True)
        return 127 if isinstance(error, FileNotFoundError) else 126

    def forward(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else SHELL_SIGNAL_BASE - code
