"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import PROJECT, Menu, Page
from hpctrack_server.pages.statistics.answers import StatisticsApi, StatisticsExport
from hpctrack_server.pages.statistics.comparison import StatisticsPage

PAGES: dict[str, Page] = {
    "statistics": Page(
        route=f"/p/{PROJECT}/statistics",
        handler=StatisticsPage,
        title="Statistics",
        icon="M4 20V4M4 20h16M8 16v-3M12 16V8M16 16v-5M7 13h2M11 8h2M15 11h2",
        menu=Menu.PROJECT,
        place=40,
    ),
}

API: dict[str, Page] = {
    "statistics": Page(
        route=f"/api/v1/projects/{PROJECT}/statistics",
        handler=StatisticsApi,
        title="Groups of runs compared with statistics",
    ),
    "statistics_export": Page(
        route=f"/api/v1/projects/{PROJECT}/statistics/export",
        handler=StatisticsExport,
        title="The same as a table: LaTeX, CSV or JSON",
    ),
}
