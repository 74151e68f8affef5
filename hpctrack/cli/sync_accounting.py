"""What ``hpctrack sync`` asks Slurm before it pushes; nothing here keeps a run from going."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import Settings, environment
from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack.scheduler.commands import JOBS_IN_A_CALL, Sacct, find_sacct
from hpctrack.scheduler.join import has_final_accounting, join_accounting
from hpctrack.store.record import State
from hpctrack.store.store import Store
from hpctrack.store.stored_run import StoredRun

TIMEOUT_S = 10.0
"""A sync may run every minute, from a timer: it does not wait for a database that is busy."""

RECENT_S = 14 * 86_400.0
"""Older runs are left to `hpctrack sacct`: a database that has forgotten them would be asked for
them again by every sync."""


def ask_before_sync(
    settings: Settings, names: Sequence[str], project: str | None, *, clock: Clock = SYSTEM_CLOCK
) -> str:
    """Ask for the runs that have ended lately, where there is ``sacct``.

    Parameters
    ----------
    settings : Settings
        With the store.
    names : sequence of str
        Only these runs; empty for all.
    project : str or None
        Only this one's.

    Returns
    -------
    str
        What went wrong, in a line; empty if nothing did, or there is nobody to ask.
    """
    environ = environment()
    if find_sacct(environ) is None:
        return ""
    try:
        store = Store(settings.dir, stale_after_s=settings.stale_after_s, clock=clock)
        runs = islice(_choose(store, names, project, clock), JOBS_IN_A_CALL)
        join_accounting(runs, Sacct(environ, timeout_s=TIMEOUT_S).ask, clock=clock)
    except (NotFoundError, UsageError):
        return ""  # the push says it, and ends with it
    except HpctrackError as error:
        return error.in_a_line()
    except OSError as error:
        return str(error)
    return ""


def _choose(
    store: Store, names: Sequence[str], project: str | None, clock: Clock
) -> Iterator[StoredRun]:
    """Yield the newest runs first, of which the accounting is not final."""
    found = (
        [store.run(one, project=project) for one in names] if names else store.runs(project=project)
    )
    for run in found:
        brief = run.brief
        last_wall_s = brief.ended_wall_s or brief.created_wall_s
        is_recent = clock.wall_s() - last_wall_s < RECENT_S
        if brief.state != State.RUNNING and is_recent and not has_final_accounting(run):
            yield run
        else:
            run.close()
