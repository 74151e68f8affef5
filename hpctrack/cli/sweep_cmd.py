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
from hpctrack.cli.sweep_view import (
    TrialProgress,
    print_best,
    print_status,
    print_sweeps,
    report_plan,
    report_submission,
)
from hpctrack.core.settings import Settings
from hpctrack.errors import UsageError
from hpctrack.sweeps.results.best import find_best
from hpctrack.sweeps.results.status import read_status
from hpctrack.sweeps.schema.json_schema import make_json_schema
from hpctrack.sweeps.submission.executor import submit_sweep
from hpctrack.sweeps.submission.plan import EXECUTORS, choose_executor, plan_submission
from hpctrack.sweeps.sweep import Sweep, list_sweeps, load_sweep, make_sweep, store_sweep
from hpctrack.sweeps.worker.trial import run_trial

FILE_SUFFIXES = {".yaml", ".yml", ".json"}


@click.group()
def sweep() -> None:
    """Try many parameters: a grid or random points, under Slurm or on this machine.

    \b
    Examples:
      hpctrack sweep create sweep.yaml             check the file, get an id
      hpctrack sweep submit sweep.yaml             create and submit in one go
      hpctrack sweep submit k3x9a0bq --count 20    20 more trials
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
    made = store_sweep(_make(settings, file, project, sweep_id))
    line = _submit_line(made, store)
    if as_json:
        print_json({**_entry(made), "submit": line})
        return
    _print_notes(made)
    count = made.file.trial_count()
    trials = "trials without end" if count is None else f"{count} trials"
    click.echo(f"created sweep {made.id} in project {made.project}: {made.file.method}, {trials}")
    click.echo(f"submit it with:  {line}")


@sweep.command()
@click.argument("target", metavar="FILE|ID")
@store_option
@project_option
@click.option(
    "-e",
    "--executor",
    type=click.Choice(EXECUTORS),
    default="auto",
    show_default=True,
    help="auto is Slurm where there is sbatch.",
)
@click.option("-n", "--count", type=click.IntRange(min=1), help="At most this many trials.")
@click.option("--parallelism", type=click.IntRange(min=1), help="Trials that run at a time.")
@click.option(
    "--wait/--no-wait", default=None, help="Wait for the end. [default: only on this machine]"
)
@click.option("--dry-run", is_flag=True, help="Say what would be submitted, and do nothing.")
@json_option
def submit(
    *,
    target: str,
    store: Path | None,
    project: str | None,
    executor: str,
    count: int | None,
    parallelism: int | None,
    wait: bool | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Submit the trials of a sweep that are left; a FILE is created first.

    Under Slurm they are one job array. On this machine a few run at a time; with --no-wait they
    go on in the background. Ends with exit code 11 if a trial that was waited for has not
    finished well.

    \b
    Examples:
      hpctrack sweep submit sweep.yaml
      hpctrack sweep submit sweep.yaml --executor local --parallelism 4
      hpctrack sweep submit k3x9a0bq --count 20 --wait
      hpctrack sweep submit sweep.yaml --dry-run
    """
    settings = _settings(store)
    is_file = _is_file(target)
    if is_file:
        chosen = _make(settings, Path(target), project, None)
    else:
        chosen = load_sweep(settings.dir, target, project=project)
    plan = plan_submission(chosen, executor=executor, count=count, parallelism=parallelism)
    if dry_run:
        report_plan(chosen, plan, as_json=as_json)
        return
    if is_file:
        store_sweep(chosen)
        # Said before the submission: if that fails, the sweep can be submitted again by its id.
        click.echo(f"created sweep {chosen.id} in project {chosen.project}", err=True)
        _print_notes(chosen)
    waits = choose_executor(executor) == "local" if wait is None else wait
    with TrialProgress(chosen, plan, is_shown=waits and not as_json) as progress:
        submission = submit_sweep(
            chosen.store,
            chosen,
            executor=executor,
            count=count,
            parallelism=parallelism,
            wait=waits,
            on_progress=progress.update,
        )
    report_submission(
        chosen, submission, stale_after_s=settings.stale_after_s, waits=waits, as_json=as_json
    )


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


@sweep.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def status(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Show how the trials of a sweep stand.

    \b
    Examples:
      hpctrack sweep status k3x9a0bq
      hpctrack sweep status k3x9a0bq --json | jq '.trials[] | select(.state == "failed")'
    """
    settings = _settings(store)
    found = load_sweep(settings.dir, sweep_id, project=project)
    current = read_status(found, stale_after_s=settings.stale_after_s)
    if as_json:
        print_json(current.to_json())
    else:
        print_status(make_console(), current)


@sweep.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def best(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Show the finished trial with the best metric, by the file's `metric`.

    \b
    Examples:
      hpctrack sweep best k3x9a0bq
      hpctrack sweep best k3x9a0bq --json | jq .parameters
    """
    settings = _settings(store)
    found = load_sweep(settings.dir, sweep_id, project=project)
    winner = find_best(read_status(found, stale_after_s=settings.stale_after_s))
    if as_json:
        print_json(winner.to_json())
    else:
        print_best(make_console(), found, winner)


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
    end = run_trial(found, number)
    context.exit(end.result.exit_code or 0)


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


def _is_file(target: str) -> bool:
    path = Path(target)
    return path.is_file() or path.suffix in FILE_SUFFIXES


def _make(settings: Settings, file: Path, project: str | None, sweep_id: str | None) -> Sweep:
    """Return a new sweep; the project is the argument, the file's, or the settings'."""
    if file.is_dir():
        raise UsageError(f"{file} is a folder", hint="give the sweep file in it")
    made = make_sweep(settings.dir, file, project=project, sweep_id=sweep_id)
    if project or made.file.project:
        return made
    return make_sweep(settings.dir, file, project=settings.project, sweep_id=made.id)


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


def _print_notes(one: Sweep) -> None:
    for note in one.file.notes:
        click.echo(f"note: {note}", err=True)
