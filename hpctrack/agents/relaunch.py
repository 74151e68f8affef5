"""Which run a launch goes on with when its job was requeued and its launcher named it anew.

``mpirun`` tells its ranks a name of the launch that no earlier life of the job has had, so an id
that is made from it says nothing of them. But a requeue runs the batch script from its beginning:
the first launch of a command is the first one again, the second the second.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpctrack.agents.auto_resume import claim
from hpctrack.core.clock import Clock
from hpctrack.core.layout import RESUME_FOLDER
from hpctrack.core.names import check_id
from hpctrack.errors import HpctrackError
from hpctrack.store.schema import EventKind
from hpctrack.store.stored_run import StoredRun

RUNS_MAX = 1000
"""A job with more runs than that is not searched: each of its launches would read them all."""


def find_earlier_run(
    project: Path, own_run: str, launch: str, told: Mapping[str, Any], *, clock: Clock
) -> str:
    """Return the run of the earlier lives of the job that a launch goes on with.

    Parameters
    ----------
    project : Path
        The project's folder.
    own_run : str
        The id that the launch has if there is none.
    launch : str
        Its token.
    told : mapping
        ``job``, ``program`` and ``life`` (1-based), as its ranks say them; an earlier life has
        said the same job and program.
    clock : Clock
        For the state of runs.

    Returns
    -------
    str
        The same on all nodes of the launch, and another one for each launch of this life. Never
        raises.
    """
    try:
        job, life = check_id(str(told["job"]), what="job"), int(told["life"])
        if life == 1 or (project / own_run).is_dir():
            return own_run
        for run in _list_earlier(project, job, str(told["program"]), life, clock):
            if _take(project / RESUME_FOLDER / f"{run}-life{life}.json", launch):
                return run
    except (HpctrackError, OSError, KeyError, TypeError, ValueError):
        pass
    return own_run


def _take(path: Path, launch: str) -> bool:
    """Take a run for this life of the job; return whether it is ours, on this node or another."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        claim(path, {"launch": launch})
    return bool(json.loads(path.read_text())["launch"] == launch)


def _list_earlier(project: Path, job: str, program: str, life: int, clock: Clock) -> list[str]:
    """Return the runs that earlier lives began with the same command, in that order."""
    folders = list(project.glob(f"{job}-*"))
    if len(folders) > RUNS_MAX:
        return []
    found = []
    for folder in folders:
        begun = [
            float(one.get("wall_s", 0.0))
            for one in _read_starts(folder, clock)
            if (told := one.get("relaunch"))
            and (told.get("job"), told.get("program")) == (job, program)
            and int(told.get("life", life)) < life
        ]
        if begun:
            found.append((min(begun), folder.name))
    return [run for _begun, run in sorted(found)]


def _read_starts(folder: Path, clock: Clock) -> Iterator[dict[str, Any]]:
    run = StoredRun(folder, clock=clock)
    try:
        for source in run.sources():
            for event in source.events:
                if event.kind == EventKind.START:
                    yield event.json()
    except (HpctrackError, OSError):
        return  # damaged: what was before counts, on every node
    finally:
        run.close()
