"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import PROJECT, RUN, Menu, Page
from hpctrack_server.pages.ranks.api import (
    CellApi,
    MatrixApi,
    NodesApi,
    SpreadApi,
    StragglersApi,
)
from hpctrack_server.pages.ranks.ranks import RanksTab

_API = f"/api/v1/runs/{PROJECT}/{RUN}"

PAGES: dict[str, Page] = {
    "ranks": Page(
        route=f"/p/{PROJECT}/runs/{RUN}/ranks",
        handler=RanksTab,
        title="Ranks",
        menu=Menu.RUN,
        place=20,
    ),
}

API: dict[str, Page] = {
    "matrix": Page(route=f"{_API}/matrix", handler=MatrixApi),
    "cell": Page(route=f"{_API}/cell", handler=CellApi),
    "spread": Page(route=f"{_API}/spread", handler=SpreadApi),
    "stragglers": Page(route=f"{_API}/stragglers", handler=StragglersApi),
    "nodes": Page(route=f"{_API}/nodes", handler=NodesApi),
}
