"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.media.bodies import BodyApi, FrameApi
from hpctrack_server.pages.media.media import KeysApi, MediaTab, StepApi
from hpctrack_server.pages.media.shown import HistogramsApi, ShapeApi, TableApi
from hpctrack_server.pages.page import PROJECT, RUN, Menu, Page

DIGEST = "([^/]+)"
PLACE = f"/api/v1/runs/{PROJECT}/{RUN}/media"

PAGES: dict[str, Page] = {
    "media": Page(
        route=f"/p/{PROJECT}/runs/{RUN}/media",
        handler=MediaTab,
        title="Media",
        menu=Menu.RUN,
        place=35,
    ),
}

API: dict[str, Page] = {
    "media": Page(route=PLACE, handler=KeysApi),
    "media-at": Page(route=f"{PLACE}/at", handler=StepApi),
    "media-table": Page(route=f"{PLACE}/table", handler=TableApi),
    "media-histograms": Page(route=f"{PLACE}/histograms", handler=HistogramsApi),
    "media-body": Page(route=f"{PLACE}/{DIGEST}", handler=BodyApi),
    "media-frame": Page(route=f"{PLACE}/{DIGEST}/frame", handler=FrameApi),
    "media-shape": Page(route=f"{PLACE}/{DIGEST}/shape", handler=ShapeApi),
}
