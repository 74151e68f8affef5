"""What ``hpctrack sync`` does after it has understood what is wanted."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hpctrack.cli.losses import describe_run
from hpctrack.cli.options import print_json, print_json_line
from hpctrack.cli.sync.order import Order, Pushed, push_once
from hpctrack.cli.sync.progress import show_progress
from hpctrack.cli.sync.summary import has_moved, iter_notes, iter_projects, raise_for, summarise
from hpctrack.cli.sync.triggered import serve_requests
from hpctrack.cli.sync.watch import Pace, keep_pushing
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.errors import HpctrackError, SyncError, UsageError
from hpctrack.store.record import State
from hpctrack.sync.sending.candidates import Skipped
from hpctrack.sync.sending.push_result import Status

if TYPE_CHECKING:
    from hpctrack.sync.sending.local_copies import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """How the user wants it done and told.

    Parameters
    ----------
    watches, until_done : bool
        Push again and again, until no run is running.
    interval_s : float
        Between two pushes.
    triggered : bool
        Push only what was asked for.
    deletes, is_sure : bool
        Delete local copies, without a question.
    keep_days : float
        See `delete_local`.
    as_json, quiet : bool
    """

    watches: bool = False
    interval_s: float = 30.0
    until_done: bool = False
    triggered: bool = False
    deletes: bool = False
    keep_days: float = 7.0
    is_sure: bool = False
    as_json: bool = False
    quiet: bool = False


class Session:
    """One call of ``hpctrack sync``.

    Parameters
    ----------
    order : Order
        What.
    wishes : Wishes
        How.

    Raises
    ------
    UsageError
        Nobody would be there to answer the question before a deletion.
    """

    def __init__(self, order: Order, wishes: Wishes) -> None:
        self._order = order
        self._wishes = wishes
        self._told: set[str] = set()
        self._problem: HpctrackError | None = None
        self._has_pushed = self._is_lost = False
        if wishes.deletes and wishes.watches and not wishes.is_sure and sys.stdin.isatty():
            raise UsageError("--delete-local --watch asks nobody", hint="say so with --yes")

    def run(self) -> None:
        """Do it.

        Raises
        ------
        HpctrackError
            See `push`; also if some of the runs were not well.
        """
        if self._wishes.watches:
            keep_pushing(
                self._push_again, self._note_loss, Pace(interval_s=self._wishes.interval_s)
            )
        elif self._wishes.triggered:
            self._serve()
        else:
            self._push(None)
        if self._problem is not None:
            raise self._problem

    def _note_loss(self, error: SyncError, wait_s: float) -> None:
        """Say once that the connection is lost."""
        self._is_lost = True
        if self._wishes.as_json:
            print_json_line({"event": "lost", "error": error.code, "message": error.message})
        else:
            click.echo(f"{error.message}; tried again in {wait_s:g} s, and so on", err=True)

    def _note_return(self) -> None:
        """Say that it is back."""
        if not self._is_lost:
            return
        self._is_lost = False
        if self._wishes.as_json:
            print_json_line({"event": "back"})
        else:
            click.echo("connected again", err=True)

    # -- pushes --------------------------------------------------------------------------------

    def _push_again(self) -> bool:
        if self._wishes.triggered:
            self._serve()
            return False
        # Asked before the push: what ends meanwhile is sealed and sent by another one.
        is_last = self._wishes.until_done and not self._is_anything_running()
        busy = self._push(None)
        return is_last and not busy

    def _serve(self) -> None:
        store = Path(self._order.settings.dir).expanduser()
        serve_requests(store, self._push, project=self._order.project, clock=SYSTEM_CLOCK)

    def _push(self, runs: Sequence[str] | None) -> frozenset[str]:
        """Push and tell; return the runs that have to wait because they are being sealed."""
        self._problem = None
        if self._has_pushed:
            # Nobody may be there any more to type a second factor.
            self._order = self._order.without_questions()
        with show_progress(is_wanted=not self._wishes.quiet) as on_progress:
            pushed = push_once(self._order, on_progress, runs=runs)
        self._note_return()
        judged = self._delete(pushed)
        with self._noted_problem():
            raise_for(pushed.result)
        if self._wishes.as_json:
            self._print_json({**pushed.result.to_json(), **_describe_deletion(judged)})
        else:
            self._tell(pushed, judged or ())
        self._has_pushed = True
        items = pushed.result.runs
        return frozenset(str(one.key) for one in items if one.reason == Skipped.BUSY)

    def _delete(self, pushed: Pushed) -> list[Judged] | None:
        """Delete local copies if that is wanted."""
        if not self._wishes.deletes:
            return None
        from hpctrack.cli.sync.deletion import delete_local  # noqa: PLC0415 - as below

        return delete_local(
            self._order,
            pushed.result,
            keep_days=self._wishes.keep_days,
            is_sure=self._wishes.is_sure,
        )

    @contextmanager
    def _noted_problem(self) -> Iterator[None]:
        """Keep what is not well until everything is told; the last push of a watch counts."""
        try:
            yield
        except HpctrackError as error:
            self._problem = error

    def _is_anything_running(self) -> bool:
        from hpctrack.store.store import Store  # noqa: PLC0415 - brings numpy and h5py

        settings, order = self._order.settings, self._order
        store = Store(settings.dir, stale_after_s=settings.stale_after_s)
        if order.runs:
            found = [store.run(one, project=order.project) for one in order.runs]
        else:
            found = store.runs(project=order.project)
        try:
            return any(one.brief.state == State.RUNNING for one in found)
        finally:
            for one in found:
                one.close()

    # -- words ---------------------------------------------------------------------------------

    def _print_json(self, value: dict[str, Any]) -> None:
        if self._wishes.watches:
            # What has not changed is said by none of a thousand lines.
            news = {
                key: [one for one in some if one.get("status") != Status.PRESENT]
                if isinstance(some, list)
                else some
                for key, some in value.items()
            }
            print_json_line({"event": "push", **news})
        else:
            print_json(value)

    def _tell(self, pushed: Pushed, judged: Sequence[Judged]) -> None:
        """Print what is new: a watch does not say again what it has said the last time."""
        result, quiet = pushed.result, self._wishes.quiet
        wrong = [f"accounting: {pushed.accounting_problem}"] if pushed.accounting_problem else []
        wrong += [line for one in result.runs for line in describe_run(str(one.key), one.ledger)]
        notes = [] if quiet else list(iter_notes(result))
        said = "" if quiet or not judged else _tell_deletion(judged, dry_run=self._order.dry_run)
        for line in notes:
            self._tell_news(line)
        is_news = has_moved(result) or not self._has_pushed or not self._wishes.watches
        if is_news and not quiet:
            for line in iter_projects(result):
                click.echo(line)
            click.echo(summarise(result, dry_run=self._order.dry_run))
        if said:
            self._tell_news(said)
        for line in wrong:
            self._tell_news(line, err=True)
        self._told = {*wrong, *notes, said}

    def _tell_news(self, line: str, *, err: bool = False) -> None:
        if line not in self._told:
            click.echo(line, err=err)


def _describe_deletion(judged: Sequence[Judged] | None) -> dict[str, Any]:
    if judged is None:
        return {}
    from hpctrack.cli.sync.deletion import to_json  # noqa: PLC0415 - brings numpy and h5py

    return {"deletion": to_json(judged)}


def _tell_deletion(judged: Sequence[Judged], *, dry_run: bool) -> str:
    from hpctrack.cli.sync.deletion import describe_deletion  # noqa: PLC0415 - as above

    return describe_deletion(judged, dry_run=dry_run)
