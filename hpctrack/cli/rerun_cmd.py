"""``hpctrack rerun``: a script that rebuilds what a run was made of, and runs it again."""

from __future__ import annotations

from pathlib import Path

import click

from hpctrack.cli.options import open_store, project_option, store_option
from hpctrack.core.names import clean
from hpctrack.errors import NotFoundError, StoreError
from hpctrack.store.stored_run import StoredRun
from hpctrack.telemetry.provenance.files import encode
from hpctrack.telemetry.provenance.rerun import SCRIPT, Plan, Subject, make_plan


@click.command()
@click.argument("run")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for the script and the files that it needs. [default: one script on stdout]",
)
@click.option("--attempt", type=int, help="Of a run that was requeued. [default: the latest]")
@store_option
@project_option
def rerun(
    *,
    run: str,
    output: Path | None,
    attempt: int | None,
    store: Path | None,
    project: str | None,
) -> None:
    """Write a script that rebuilds what a run was made of, and runs it again.

    RUN is an id, project/id, a name, or the beginning of an id. The script clones the recorded
    commit, applies what was not committed, loads modules, finds or makes a Python with the same
    packages, sets the environment, and submits the recorded batch script, or starts the
    program. What cannot be rebuilt is said on stderr and at the top of the script.

    \b
    Examples:
      hpctrack rerun lunar-harbor-998 > rerun.sh && bash rerun.sh
      hpctrack rerun 4711.0 -o again && less again/job.sh && bash again/rerun.sh
    """
    found = open_store(store).run(run, project=project)
    try:
        plan = make_plan(_make_subject(found, attempt))
    finally:
        found.close()
    if output is None:
        click.echo(encode(plan.embed()), nl=False)
    else:
        _write(plan, output)
    if plan.gaps:
        click.echo("not rebuilt:", err=True)
    for one in plan.gaps:
        click.echo(f"  - {clean(one)}", err=True)


def _make_subject(run: StoredRun, attempt: int | None) -> Subject:
    if attempt is not None:
        _check_attempt(run, attempt)
    provenance = run.find_provenance(attempt=attempt)
    if not provenance.get("program"):
        raise NotFoundError(
            f"what {run.project}/{run.id} was made of was not recorded",
            hint="it was recorded with the setting provenance=off, or by another client",
        )
    record = run.record
    return Subject(
        id=run.id,
        project=run.project,
        name=run.name,
        created_wall_s=record.created_wall_s,
        config=record.config,
        size=record.size,
        launcher=record.launcher,
        sweep=record.sweep,
        provenance=provenance,
    )


def _check_attempt(run: StoredRun, attempt: int) -> None:
    last = run.record.attempts
    if not 1 <= attempt <= last:
        raise NotFoundError(
            f"run {run.id} has no attempt {attempt}",
            hint=f"it has attempts 1 to {last}" if last > 1 else "it has only attempt 1",
        )


def _write(plan: Plan, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in {SCRIPT: plan.script, **plan.files}.items():
            (folder / name).write_bytes(encode(text))
        (folder / SCRIPT).chmod(0o755)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}") from None
    click.echo(f"wrote {folder / SCRIPT} and {len(plan.files)} file(s) beside it", err=True)
