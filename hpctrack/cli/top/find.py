"""Finding the run that is meant, without opening those that are sealed."""

from __future__ import annotations

from pathlib import Path

from hpctrack.core.layout import FoundRun, scan_runs
from hpctrack.errors import HpctrackError, NotFoundError, UsageError
from hpctrack.store.run_tail import RunTail
from hpctrack.store.wanted import choose_one, iter_meant, split_wanted


def find_live_run(store: Path, wanted: str, *, project: str | None) -> Path:
    """Return the folder of a run that has live files.

    Parameters
    ----------
    store : Path
    wanted : str
        An id, ``project/id``, a name, or the beginning of an id, as `hpctrack.Store.run` takes it.
    project : str, optional
        Where to look.

    Raises
    ------
    NotFoundError
        There is no such run.
    UsageError
        Several are meant, or it is over and sealed.
    """
    wanted, project = split_wanted(wanted, project)
    for found in iter_meant(list(scan_runs(store, project)), wanted, name_of=_read_name):
        live = [one for one in found if one.stamp is None]
        if live:
            return Path(choose_one(live, wanted).path)
        if found:
            one = found[0]
            raise UsageError(
                f"run {one.project}/{one.id} is over and sealed",
                hint=f"`hpctrack show {one.project}/{one.id}` has what it was",
            )
    raise NotFoundError(f"no run {wanted!r} in {store}", hint="`hpctrack ls --live` lists them")


def _read_name(found: FoundRun) -> str:
    if found.stamp is not None:
        return ""
    tail = RunTail(Path(found.path), since_wall_s=float("inf"))
    try:
        for _node in tail.visit():
            pass
        name = tail.record.name
    except HpctrackError:
        return ""
    else:
        return name
    finally:
        tail.close()
