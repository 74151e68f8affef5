"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import PROJECT, Menu, Page
from hpctrack_server.pages.runs.saved import SavedApi, SavedListApi
from hpctrack_server.pages.runs.table import RunsPage

PAGES: dict[str, Page] = {
    "runs": Page(
        route=f"/p/{PROJECT}/runs",
        handler=RunsPage,
        title="Runs",
        icon="M4 6.5h16M4 12h16M4 17.5h10",
        menu=Menu.PROJECT,
        place=0,
    ),
}

SAVED = f"/api/v1/projects/{PROJECT}/saved/([^/]+)"

API: dict[str, Page] = {
    "saved-list": Page(route=SAVED, handler=SavedListApi),
    "saved": Page(route=f"{SAVED}/([^/]+)", handler=SavedApi),
}
