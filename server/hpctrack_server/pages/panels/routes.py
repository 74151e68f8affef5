"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import PROJECT, Menu, Page
from hpctrack_server.pages.panels.api import PanelColumnsApi, PanelsApi
from hpctrack_server.pages.panels.parallel import ParallelPage

PAGES: dict[str, Page] = {
    "parallel": Page(
        route=f"/p/{PROJECT}/parallel",
        handler=ParallelPage,
        title="Parallel",
        icon="M5 4v16M12 4v16M19 4v16M5 8l7 7 7-9",
        menu=Menu.PROJECT,
        place=20,
    ),
}

API: dict[str, Page] = {
    "panel-columns": Page(
        route=f"/api/v1/projects/{PROJECT}/panels/columns", handler=PanelColumnsApi
    ),
    "panels": Page(route=f"/api/v1/projects/{PROJECT}/panels/([^/]+)", handler=PanelsApi),
}
