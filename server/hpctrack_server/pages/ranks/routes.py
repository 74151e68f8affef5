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
from hpctrack_server.pages.ranks.system import EnergyApi, SensorApi, SystemApi, SystemTab

_API = f"/api/v1/runs/{PROJECT}/{RUN}"

PAGES: dict[str, Page] = {
    "ranks": Page(
        route=f"/p/{PROJECT}/runs/{RUN}/ranks",
        handler=RanksTab,
        title="Ranks",
        menu=Menu.RUN,
        place=20,
    ),
    "system": Page(
        route=f"/p/{PROJECT}/runs/{RUN}/system",
        handler=SystemTab,
        title="System",
        menu=Menu.RUN,
        place=30,
    ),
}

API: dict[str, Page] = {
    "matrix": Page(route=f"{_API}/matrix", handler=MatrixApi),
    "cell": Page(route=f"{_API}/cell", handler=CellApi),
    "spread": Page(route=f"{_API}/spread", handler=SpreadApi),
    "stragglers": Page(route=f"{_API}/stragglers", handler=StragglersApi),
    "system": Page(route=f"{_API}/system", handler=SystemApi),
    "sensor": Page(route=f"{_API}/system/sensor", handler=SensorApi),
    "energy": Page(route=f"{_API}/system/energy", handler=EnergyApi),
    "nodes": Page(route=f"{_API}/nodes", handler=NodesApi),
}
