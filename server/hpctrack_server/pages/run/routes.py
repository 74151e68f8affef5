"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import PROJECT, RUN, Menu, Page
from hpctrack_server.pages.run.charts import ChartsTab

PAGES: dict[str, Page] = {
    "run": Page(
        route=f"/p/{PROJECT}/runs/{RUN}",
        handler=ChartsTab,
        title="Charts",
        menu=Menu.RUN,
        place=10,
    ),
}

API: dict[str, Page] = {}
