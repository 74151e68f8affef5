"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.core.api import (
    Alive,
    MetricsApi,
    ProjectsApi,
    RunApi,
    RunsApi,
    SeriesApi,
)
from hpctrack_server.pages.core.edit import EditApi
from hpctrack_server.pages.core.events import PointEvents, ProjectEvents, RunEvents, StoreEvents
from hpctrack_server.pages.core.live_socket import LiveSocket
from hpctrack_server.pages.core.openapi import OpenApi
from hpctrack_server.pages.core.series import ChartApi, ChartMetricsApi
from hpctrack_server.pages.core.table import (
    ColumnsApi,
    CompleteApi,
    ExportApi,
    GroupsApi,
    SparklinesApi,
    TableApi,
)
from hpctrack_server.pages.page import PROJECT, RUN, Page

PAGES: dict[str, Page] = {}

API: dict[str, Page] = {
    "openapi": Page(route="/api/v1/openapi.json", handler=OpenApi),
    "healthz": Page(route="/healthz", handler=Alive),
    "socket": Page(route="/api/v1/socket", handler=LiveSocket),
    "store-events": Page(route="/api/v1/events", handler=StoreEvents),
    "projects": Page(route="/api/v1/projects", handler=ProjectsApi),
    "runs": Page(route=f"/api/v1/projects/{PROJECT}/runs", handler=RunsApi),
    "table": Page(route=f"/api/v1/projects/{PROJECT}/table", handler=TableApi),
    "columns": Page(route=f"/api/v1/projects/{PROJECT}/columns", handler=ColumnsApi),
    "groups": Page(route=f"/api/v1/projects/{PROJECT}/groups", handler=GroupsApi),
    "complete": Page(route=f"/api/v1/projects/{PROJECT}/complete", handler=CompleteApi),
    "export": Page(route=f"/api/v1/projects/{PROJECT}/export", handler=ExportApi),
    "sparklines": Page(route=f"/api/v1/projects/{PROJECT}/sparklines", handler=SparklinesApi),
    "edit": Page(route=f"/api/v1/projects/{PROJECT}/edit", handler=EditApi),
    "project-events": Page(route=f"/api/v1/projects/{PROJECT}/events", handler=ProjectEvents),
    "chart-series": Page(route=f"/api/v1/projects/{PROJECT}/series", handler=ChartApi),
    "points": Page(route=f"/api/v1/projects/{PROJECT}/points", handler=PointEvents),
    "chart-metrics": Page(route=f"/api/v1/projects/{PROJECT}/metrics", handler=ChartMetricsApi),
    "run": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}", handler=RunApi),
    "metrics": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}/metrics", handler=MetricsApi),
    "series": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}/series", handler=SeriesApi),
    "run-events": Page(route=f"/api/v1/runs/{PROJECT}/{RUN}/events", handler=RunEvents),
}
