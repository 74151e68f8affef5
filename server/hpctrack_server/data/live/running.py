"""What is running now, over all projects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hpctrack.errors import HpctrackError
from hpctrack_server.data.index.query import RunQuery, SortKey
from hpctrack_server.data.index.run_index import RunIndex

RUNNING = 'state == "running"'
ENDED = 'state != "running" and ended > -1h'

ROWS_MAX = 500
"""Runs on one page; more are counted, and found in their projects."""

KEYS = (
    "name", "state", "user", "created", "ended", "duration", "ranks", "nodes", "attempts", "lost",
    "sweep", "slurm.job_id", "slurm.partition", "slurm.nodelist",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """What is running, and what has just ended.

    Parameters
    ----------
    running, ended : tuple of mapping
        Rows of the index with their ``project``; the newest first.
    more : int
        How many running ones are not listed.
    failed : tuple of (str, str)
        Projects that could not be asked, and why.
    users : tuple of str
        Whose runs there are, the others' too if only one user's are listed.
    """

    running: tuple[Mapping[str, Any], ...]
    ended: tuple[Mapping[str, Any], ...]
    more: int
    failed: tuple[tuple[str, str], ...]
    users: tuple[str, ...]


def list_queue(index: RunIndex, *, user: str = "", project: str = "") -> Queue:
    """Return what is running now, and what ended within the last hour.

    Parameters
    ----------
    index : RunIndex
    user, project : str, optional
        Only theirs.

    Notes
    -----
    From memory: two questions to the index for each project.
    """
    running: list[dict[str, Any]] = []
    ended: list[dict[str, Any]] = []
    failed = []
    users = {user} if user else set()
    matches = 0
    for frame in index.projects():
        if project and frame.name != project:
            continue
        try:
            lists = [(RUNNING, running)] if frame.running else []
            for condition, listed in [*lists, (ENDED, ended)]:
                rows, count = _find(index, frame.name, condition)
                users.update(str(row["user"]) for row in rows if row.get("user"))
                mine = [row for row in rows if not user or row.get("user") == user]
                listed.extend(mine)
                if condition == RUNNING:
                    matches += count - (len(rows) - len(mine))
        except HpctrackError as error:
            failed.append((frame.name, error.message))
    running.sort(key=lambda row: -(row.get("created") or 0.0))
    ended.sort(key=lambda row: -(row.get("ended") or 0.0))
    shown = running[:ROWS_MAX]
    return Queue(
        running=tuple(shown),
        ended=tuple(ended[:ROWS_MAX]),
        more=matches - len(shown),
        failed=tuple(failed),
        users=tuple(sorted(users)),
    )


def _find(index: RunIndex, project: str, condition: str) -> tuple[list[dict[str, Any]], int]:
    """Return the newest runs of a project for which something holds, and how many there are."""
    query = RunQuery(
        filter=condition, count=ROWS_MAX, sort=(SortKey(key="created", is_descending=True),)
    )
    page = index.page(project, query, KEYS)
    return [{**row, "project": project} for row in page.rows], page.matches
