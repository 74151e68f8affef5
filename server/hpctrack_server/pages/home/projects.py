"""``/``: the projects of the store."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hpctrack.errors import HpctrackError
from hpctrack_server.components.activity import DAYS, Bar, count_by_day, make_bars
from hpctrack_server.data.frames import ProjectFrame
from hpctrack_server.data.index.query import RunQuery
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.pages.guarded import Guarded

DRAWN_MAX = 200
"""Projects with a drawing: each costs a look at the index."""

RECENT = f"created > -{DAYS}d"
FAILED = 'state in ["failed", "crashed"]'


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectRow:
    """A project with what makes people open it."""

    frame: ProjectFrame
    failed: int
    bars: tuple[Bar, ...]


class ProjectsPage(Guarded):
    """All projects, the most recently active first."""

    async def get(self) -> None:
        """Answer with the page."""
        index, clock = self.services.index, self.services.clock
        version = index.store_version()
        rows = await self.read(load_projects, index, clock.wall_s)
        self.show(
            "home/projects.html",
            rows=rows,
            version=version,
            word=self.query("q"),
            days=DAYS,
            running=sum(one.frame.running for one in rows),
            store_name=self.services.provider.path.name,
            current="projects",
        )


class ProjectWay(Guarded):
    """``/p/<project>``: what people leave of an address when they want the project."""

    async def get(self, project: str) -> None:
        """Lead on to the project's runs; a project that is not there is told there."""
        self.redirect(self.path("p", project, "runs"))


def load_projects(index: RunIndex, wall_s: Callable[[], float]) -> list[ProjectRow]:
    """Return all projects, the most recently active first."""
    frames = index.projects()
    now_wall_s = wall_s()
    rows = [_load_row(index, one, now_wall_s) for one in frames[:DRAWN_MAX]]
    return rows + [ProjectRow(frame=one, failed=0, bars=()) for one in frames[DRAWN_MAX:]]


def _load_row(index: RunIndex, frame: ProjectFrame, now_wall_s: float) -> ProjectRow:
    try:
        failed = index.page(frame.name, RunQuery(filter=f"{RECENT} and {FAILED}", count=0)).matches
        _, found = index.values(frame.name, ["created"], RunQuery(filter=RECENT))
    except HpctrackError:
        # It has just been removed, or not been read yet: it is listed all the same.
        return ProjectRow(frame=frame, failed=0, bars=())
    counts = count_by_day(found["created"], now_wall_s)
    return ProjectRow(frame=frame, failed=failed, bars=make_bars(counts))
