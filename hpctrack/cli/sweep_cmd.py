"""``hpctrack sweep``: create, submit, watch and judge sweeps."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from hpctrack.cli.format import make_console
from hpctrack.cli.options import (
    find_store,
    json_option,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.cli.sweep.analysis_cmd import curves, early_stop_cost, export, importance
from hpctrack.cli.sweep.control_cmd import cancel, pause, resume, stop
from hpctrack.cli.sweep.making import make_from_file, print_notes
from hpctrack.cli.sweep.results_cmd import best, status, watch
from hpctrack.cli.sweep.submission_cmd import agent, sbatch, submit
from hpctrack.cli.sweep_view import print_sweeps
from hpctrack.core.settings import Settings
from hpctrack.sweeps.schema.json_schema import make_json_schema
from hpctrack.sweeps.sweep import Sweep, list_sweeps, load_sweep, store_sweep
from hpctrack.sweeps.worker.by_hand import run_trial


@click.group()
def sweep() -> None:
    """Try many parameters, stop what does badly: under Slurm or on this machine.

    \b
    Examples:
      hpctrack sweep create sweep.yaml             check the file, get an id
      hpctrack sweep submit sweep.yaml             create and submit in one go
      hpctrack sweep submit k3x9a0bq --count 20    workers for 20 more trials
      hpctrack sweep sbatch k3x9a0bq > job.sbatch  the same as a script of yours
      hpctrack sweep agent k3x9a0bq                a worker here and now
      hpctrack sweep stop k3x9a0bq                 begin no more trials
      hpctrack sweep status k3x9a0bq               how they stand
      hpctrack sweep best k3x9a0bq                 which parameters won
    """


@sweep.command()
@click.argument("file", type=click.Path(path_type=Path))
@store_option
@click.option("-p", "--project", help="Project of the sweep. [default: the file's]")
@click.option("--id", "sweep_id", help="Id of the sweep. [default: 8 random letters and digits]")
@json_option
def create(
    *, file: Path, store: Path | None, project: str | None, sweep_id: str | None, as_json: bool
) -> None:
    """Check a sweep file and store the sweep; nothing is started.

    The trials will start in the folder where you are now.

    \b
    Examples:
      hpctrack sweep create sweep.yaml
      hpctrack sweep create sweep.yaml --project digits --json | jq -r .id
    """
    settings = _settings(store)
    made = store_sweep(make_from_file(settings, file, project, sweep_id))
    line = _submit_line(made, store)
    if as_json:
        print_json({**_entry(made), "submit": line})
        return
    print_notes(made)
    count = made.file.trial_count()
    trials = "trials without end" if count is None else f"{count} trials"
    click.echo(f"created sweep {made.id} in project {made.project}: {made.file.method}, {trials}")
    click.echo(f"submit it with:  {line}")


@sweep.command("ls")
@store_option
@project_option
@json_option
def list_command(*, store: Path | None, project: str | None, as_json: bool) -> None:
    """List sweeps, the newest first.

    \b
    Examples:
      hpctrack sweep ls
      hpctrack sweep ls --project digits --json
    """
    found = list_sweeps(find_store(_settings(store)), project=project)
    if as_json:
        print_json({"sweeps": [_entry(one) for one in found]})
    elif found:
        print_sweeps(make_console(), found)
    else:
        click.echo("no sweeps")


for _one in (
    submit, sbatch, agent, stop, pause, resume, cancel, status, watch, best, importance, curves,
    early_stop_cost, export,
):  # fmt: skip
    sweep.add_command(_one)


@sweep.command()
@click.argument("sweep_id", metavar="ID")
@click.argument("number", type=click.IntRange(min=0))
@store_option
@project_option
@click.pass_context
def trial(
    context: click.Context, *, sweep_id: str, number: int, store: Path | None, project: str | None
) -> None:
    """Run one trial here and now, in this process's allocation.

    For batch scripts of your own; `submit` needs none. Ends with the exit code of the trial's
    program.

    \b
    Examples:
      hpctrack sweep trial k3x9a0bq 0
      sbatch --array=0-7 --wrap 'hpctrack sweep trial k3x9a0bq $SLURM_ARRAY_TASK_ID'
    """
    found = load_sweep(_settings(store).dir, sweep_id, project=project)
    found.file.require_command()
    end = run_trial(found, number)
    context.exit(end.exit_code or 0)


@sweep.command("schema")
def schema_command() -> None:
    """Print the JSON Schema of sweep files, for editors that check YAML.

    \b
    Examples:
      hpctrack sweep schema > sweep.schema.json
    """
    print_json(make_json_schema())


def _settings(store: Path | None) -> Settings:
    return read_settings(dir=store)


def _submit_line(made: Sweep, store: Path | None) -> str:
    words = ["hpctrack", "sweep", "submit", made.id]
    if store is not None:
        words += ["--store", str(made.store)]
    return shlex.join(words)


def _entry(one: Sweep) -> dict[str, Any]:
    return {
        "id": one.id,
        "name": one.name,
        "project": one.project,
        "method": one.file.method,
        "trial_count": one.file.trial_count(),
        "seed": one.seed,
        "created_wall_s": one.created_wall_s,
        "user": one.user,
        "directory": str(one.directory),
        "notes": list(one.file.notes),
    }
