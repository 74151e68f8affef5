"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.live.health import HealthPage
from hpctrack_server.pages.live.queue import QueuePage, StripApi
from hpctrack_server.pages.page import PROJECT, RUN, Menu, Page

PAGES: dict[str, Page] = {
    "live": Page(
        route="/live",
        handler=QueuePage,
        title="Running now",
        icon="M4 12h4l2.5-7 4 14 2.5-7H20",
        menu=Menu.STORE,
        place=10,
    ),
    "health": Page(
        route="/health",
        handler=HealthPage,
        title="Health",
        icon="M5 5.5h14v5H5zM5 13.5h14v5H5zM8 8h.01M8 16h.01",
        menu=Menu.STORE,
        place=20,
    ),
}

API: dict[str, Page] = {
    "strip": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}/strip", handler=StripApi),
}
