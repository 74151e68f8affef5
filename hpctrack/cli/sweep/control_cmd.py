"""``hpctrack sweep stop``, ``pause``, ``resume`` and ``cancel``: what the workers are to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from hpctrack.cli.options import (
    json_option,
    print_json,
    project_option,
    read_settings,
    store_option,
)
from hpctrack.sweeps.control import Wish
from hpctrack.sweeps.submission.wishing import CANCEL_MOMENT_S, WishEnd, make_wish
from hpctrack.sweeps.sweep import Sweep, load_sweep

_SAID = {
    Wish.RUN: "runs: workers take trials",
    Wish.PAUSE: "is paused: what has begun goes on, nothing new begins",
    Wish.STOP: "stops: what has begun goes on, then the workers leave",
    Wish.CANCEL: "is cancelled: what has begun is ended, and the workers leave",
}


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def stop(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Let running trials end, begin no more, and take waiting tasks out of the queue.

    `submit` or `resume` and a worker let it go on.

    \b
    Examples:
      hpctrack sweep stop k3x9a0bq
    """
    _wish(sweep_id, store, project, Wish.STOP, as_json=as_json)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def pause(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Let running trials end and begin no more until `resume`; waiting tasks are held back.

    Workers that run wait, and keep what they have been given: `stop` gives it back.

    \b
    Examples:
      hpctrack sweep pause k3x9a0bq
    """
    _wish(sweep_id, store, project, Wish.PAUSE, as_json=as_json)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@json_option
def resume(*, sweep_id: str, store: Path | None, project: str | None, as_json: bool) -> None:
    """Let a sweep that was paused, stopped or cancelled go on.

    Workers that have left do not come back: submit new ones.

    \b
    Examples:
      hpctrack sweep resume k3x9a0bq
    """
    _wish(sweep_id, store, project, Wish.RUN, as_json=as_json)


@click.command()
@click.argument("sweep_id", metavar="ID")
@store_option
@project_option
@click.option(
    "--moment",
    type=click.FloatRange(min=0),
    default=CANCEL_MOMENT_S,
    show_default=True,
    metavar="SECONDS",
    help="How long workers have to leave by themselves.",
)
@json_option
def cancel(
    *, sweep_id: str, store: Path | None, project: str | None, moment: float, as_json: bool
) -> None:
    """End running trials and all workers, and take waiting tasks out of the queue.

    Workers first hear of it themselves; those that have not left after a moment are ended by
    Slurm, or by SIGTERM if they are processes of this machine.

    \b
    Examples:
      hpctrack sweep cancel k3x9a0bq
      hpctrack sweep cancel k3x9a0bq --moment 60
    """  # fmt: skip
    _wish(sweep_id, store, project, Wish.CANCEL, moment_s=moment, as_json=as_json)


def _wish(
    sweep_id: str,
    store: Path | None,
    project: str | None,
    wish: Wish,
    *,
    moment_s: float = CANCEL_MOMENT_S,
    as_json: bool,
) -> None:
    found = load_sweep(read_settings(dir=store).dir, sweep_id, project=project)
    end = make_wish(found, wish, moment_s=moment_s)
    if as_json:
        print_json({"id": found.id, "project": found.project, **end.to_json()})
        return
    for line in _iter_lines(found, end):
        click.echo(line)
    for problem in end.problems:
        click.echo(f"warning: {problem}", err=True)


def _iter_lines(sweep: Sweep, end: WishEnd) -> Iterator[str]:
    """Yield what was done."""
    yield f"sweep {sweep.id} {_SAID[end.wish]}"
    for jobs, what in (
        (end.removed, "taken out of the queue"),
        (end.held, "held back in the queue"),
        (end.released, "given back to the queue"),
        (end.ended, "running, ended by Slurm"),
    ):
        if jobs:
            yield f"  {len(jobs)} {'task' if len(jobs) == 1 else 'tasks'} {what}"
    if end.signalled:
        yield f"  processes of this machine that were asked to end: {_join(end.signalled)}"
    elif end.running and end.wish != Wish.CANCEL:
        yield f"  workers that run: {end.running}"
    if end.wish == Wish.RUN and not end.running and not end.released:
        yield f"  no worker is left; submit some:  hpctrack sweep submit {sweep.id}"


def _join(numbers: list[int]) -> str:
    return ", ".join(str(one) for one in numbers)
