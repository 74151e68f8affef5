"""``hpctrack run``: track any program, in any language, from outside."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hpctrack.cli.wrapped import HeldSignals, start_program, wait_for_program
from hpctrack.client.session import init
from hpctrack.core.settings import environment


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
    """Run COMMAND as a run: its command line, output, exit code and duration are recorded.

    A Python program that calls hpctrack.init(), and one in C, C++ or Fortran that calls
    hpct_init(), logs into the same run. Descriptors and signals are passed on, and the exit code is
    the program's own. Works under srun and mpiexec, one wrapper per rank.

    \b
    Examples:
      hpctrack run -- ./simulate --steps 1000
      srun -n 4 hpctrack run --project cfd -- python train.py
    """
    # Before any thread begins: each would take signals that are meant for the program.
    with HeldSignals() as signals:
        tracked = init(
            project, name=name, id=run_id, group=group, tags=tags or None,
            config={"command": _without_secrets(command), "cwd": str(Path.cwd())},
        )  # fmt: skip
        more = {**environment(), **tracked.make_environment()}
        try:
            program = start_program(command, more, signals)
        except OSError as error:
            click.echo(f"hpctrack: {command[0]}: {error.strerror}", err=True)
            code = 127 if isinstance(error, FileNotFoundError) else 126
        else:
            code = wait_for_program(program, signals, look=tracked.look_around)
        tracked.finish(code)
    sys.exit(code)


def _without_secrets(command: tuple[str, ...]) -> list[str]:
    from hpctrack.telemetry.provenance.masking import Masker  # noqa: PLC0415 - only here

    return Masker(environment()).arguments(command)
