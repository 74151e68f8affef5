"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import PROJECT, SWEEP, Menu, Page
from hpctrack_server.pages.sweeps.answers import SweepApi, SweepAsk, SweepImportance, SweepsApi
from hpctrack_server.pages.sweeps.sweep import SweepPage
from hpctrack_server.pages.sweeps.sweeps import SweepsPage

PAGES: dict[str, Page] = {
    "sweeps": Page(
        route=f"/p/{PROJECT}/sweeps",
        handler=SweepsPage,
        title="Sweeps",
        icon="M12 3a9 9 0 1 0 9 9M12 7a5 5 0 1 0 5 5M12 12l7-7",
        menu=Menu.PROJECT,
        place=30,
    ),
    "sweep": Page(route=f"/p/{PROJECT}/sweeps/{SWEEP}", handler=SweepPage, title="Sweep"),
}

API: dict[str, Page] = {
    "sweeps": Page(
        route=f"/api/v1/projects/{PROJECT}/sweeps",
        handler=SweepsApi,
        title="The sweeps of a project",
    ),
    "sweep": Page(
        route=f"/api/v1/projects/{PROJECT}/sweeps/{SWEEP}",
        handler=SweepApi,
        title="What a sweep has found: trials, curves, who ran what when",
    ),
    "sweep_importance": Page(
        route=f"/api/v1/projects/{PROJECT}/sweeps/{SWEEP}/importance",
        handler=SweepImportance,
        title="Which parameters of a sweep matter",
    ),
    "sweep_ask": Page(
        route=f"/api/v1/projects/{PROJECT}/sweeps/{SWEEP}/requests",
        handler=SweepAsk,
        title="Ask the workers of a sweep to pause, resume or stop",
    ),
}
