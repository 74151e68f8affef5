"""``hpctrack stop``: ask a run to end by itself."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.agents.stop import remove_stop, write_stop
from hpctrack.cli.options import json_option, open_store, print_json, project_option, store_option
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.settings import environment
from hpctrack.errors import UsageError
from hpctrack.store.record import RankRecord, State


@click.command()
@click.argument("run")
@store_option
@project_option
@click.option("--why", default="", help="Told to the program, and kept with the run.")
@click.option("--undo", is_flag=True, help="Take the request back.")
@json_option
def stop(
    *,
    run: str,
    store: Path | None,
    project: str | None,
    why: str,
    undo: bool,
    as_json: bool,
) -> None:
    """Ask a run to end: run.should_stop() is True on every rank a few seconds later.

    The program decides when: nothing is killed. Works from any machine that sees the store.

    \b
    Examples:
      hpctrack stop 4711.0 --why "loss is NaN"
      hpctrack stop 4711.0 --undo
    """
    found = open_store(store).run(run, project=project)
    record = found.told
    found.close()
    name = f"{record.project}/{record.id}"
    environ = environment()
    who = environ.get("USER") or environ.get("LOGNAME", "")
    if undo:
        was_asked = remove_stop(found.folder)
        said = f"{name}: may go on" if was_asked else f"{name}: nobody had asked it to stop"
    else:
        if record.state != State.RUNNING and not _is_alive(record.ranks):
            raise UsageError(f"run {name} is {record.state}", hint="there is nothing to stop")
        write_stop(
            found.folder,
            who=who,
            why=why,
            attempt=record.attempts,
            wall_s=SYSTEM_CLOCK.wall_s(),
        )
        said = f"{name}: asked to stop"
    if as_json:
        print_json({"project": record.project, "id": record.id, "stop": not undo, "why": why})
    else:
        click.echo(said)


def _is_alive(ranks: tuple[RankRecord, ...]) -> bool:
    return any(one.state == State.RUNNING for one in ranks)
