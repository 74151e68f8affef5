"""All addresses, in one dictionary: routes, navigation, the smoke test and the docs use it."""

from __future__ import annotations

from dataclasses import dataclass

from hpctrack_server.pages.api import Health, MetricsApi, ProjectsApi, RunApi, RunsApi, SeriesApi
from hpctrack_server.pages.events import ProjectEvents, RunEvents
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.projects import ProjectsPage
from hpctrack_server.pages.run import RunPage
from hpctrack_server.pages.runs import RunsPage

PROJECT = RUN = "([^/]+)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page or an answer of the API.

    Parameters
    ----------
    route : str
        Regular expression of its path.
    handler : type
        What answers.
    title : str
        In the navigation of a project; empty keeps it out.
    icon : str
        Path data of a 24 x 24 drawing.
    """

    route: str
    handler: type[Guarded]
    title: str = ""
    icon: str = ""


PAGES: dict[str, Page] = {
    "projects": Page(route="/", handler=ProjectsPage),
    "runs": Page(
        route=f"/p/{PROJECT}/runs",
        handler=RunsPage,
        title="Runs",
        icon="M4 6.5h16M4 12h16M4 17.5h10",
    ),
    "run": Page(route=f"/p/{PROJECT}/runs/{RUN}", handler=RunPage),
}

API: dict[str, Page] = {
    "health": Page(route="/health", handler=Health),
    "projects": Page(route="/api/v1/projects", handler=ProjectsApi),
    "runs": Page(route=f"/api/v1/projects/{PROJECT}/runs", handler=RunsApi),
    "project-events": Page(route=f"/api/v1/projects/{PROJECT}/events", handler=ProjectEvents),
    "run": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}", handler=RunApi),
    "metrics": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}/metrics", handler=MetricsApi),
    "series": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}/series", handler=SeriesApi),
    "run-events": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}/events", handler=RunEvents),
}

NAVIGATION = tuple((key, page.title, page.icon) for key, page in PAGES.items() if page.title)
