"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.compare.page import CompareApi, ComparePage
from hpctrack_server.pages.page import PROJECT, Menu, Page

PAGES: dict[str, Page] = {
    "compare": Page(
        route=f"/p/{PROJECT}/compare",
        handler=ComparePage,
        title="Compare",
        icon="M3 17l5-6 4 4 4-9 5 11",
        menu=Menu.PROJECT,
        place=10,
    ),
}

API: dict[str, Page] = {
    "compare-facts": Page(route=f"/api/v1/projects/{PROJECT}/compare", handler=CompareApi),
}
