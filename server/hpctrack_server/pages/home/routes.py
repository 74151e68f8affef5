"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.home.projects import ProjectsPage
from hpctrack_server.pages.page import Menu, Page

PAGES: dict[str, Page] = {
    "projects": Page(
        route="/",
        handler=ProjectsPage,
        title="Projects",
        icon="M3.5 7.5V18a1.5 1.5 0 0 0 1.5 1.5h14a1.5 1.5 0 0 0 1.5-1.5V9A1.5 1.5 0 0 0 19 7.5h-7"
        "l-2-2.5H5A1.5 1.5 0 0 0 3.5 6.5z",
        menu=Menu.STORE,
        place=0,
    ),
}

API: dict[str, Page] = {}
