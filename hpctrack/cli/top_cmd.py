"""``hpctrack top``: a run, or all that are going on, on a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hpctrack.cli.options import project_option, store_option
from hpctrack.errors import UsageError


@click.command()
@click.argument("run", required=False)
@store_option
@project_option
@click.option("-a", "--all", "is_everybodys", is_flag=True, help="Other users' runs too.")
@click.option(
    "-d",
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.2),
    default=2.0,
    show_default=True,
    help="Seconds between two looks.",
)
@click.option("--ascii", "is_ascii", is_flag=True, help="Draw with ASCII characters only.")
def top(
    *,
    run: str | None,
    store: Path | None,
    project: str | None,
    is_everybodys: bool,
    interval_s: float,
    is_ascii: bool,
) -> None:
    """Watch runs that are going on, in this terminal.

    RUN is an id, project/id, a name, or the beginning of an id; without it, all your runs that
    are going on are listed. Press ? for the keys. Files are read in place; colours follow the
    terminal, NO_COLOR=1 turns them off.

    \b
    Examples:
      hpctrack top
      hpctrack top 4711.0
      hpctrack top --all --store /scratch/team/store
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "`hpctrack top` needs a terminal",
            hint="for pipes: `hpctrack ls --live` and `hpctrack tail RUN`",
        )
    # Later than usual, and not at all for others: Textual is an extra.
    from hpctrack.cli.top.start import start  # noqa: PLC0415

    start(
        store,
        run=run,
        project=project,
        is_everybodys=is_everybodys,
        interval_s=interval_s,
        is_ascii=is_ascii,
    )
