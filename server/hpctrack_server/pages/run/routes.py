"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.page import PROJECT, RUN, Menu, Page
from hpctrack_server.pages.run.charts import ChartsTab
from hpctrack_server.pages.run.code import CodeTab, PatchText
from hpctrack_server.pages.run.config import ConfigTab, ConfigText
from hpctrack_server.pages.run.diff import DiffApi, DiffPage
from hpctrack_server.pages.run.files import FileBody, FilesTab
from hpctrack_server.pages.run.frame import CheckApi
from hpctrack_server.pages.run.overview import OverviewTab, UsageApi

_RUN = f"/p/{PROJECT}/runs/{RUN}"
_API = f"/api/v1/runs/{PROJECT}/{RUN}"

PAGES: dict[str, Page] = {
    "diff": Page(route=f"/p/{PROJECT}/diff", handler=DiffPage, title="Differences"),
    "run": Page(route=_RUN, handler=OverviewTab, title="Overview", menu=Menu.RUN, place=10),
    "charts": Page(
        route=f"{_RUN}/charts", handler=ChartsTab, title="Charts", menu=Menu.RUN, place=20
    ),
    "config": Page(
        route=f"{_RUN}/config", handler=ConfigTab, title="Config", menu=Menu.RUN, place=70
    ),
    "files": Page(route=f"{_RUN}/files", handler=FilesTab, title="Files", menu=Menu.RUN, place=80),
    "code": Page(
        route=f"{_RUN}/code", handler=CodeTab, title="Code & diff", menu=Menu.RUN, place=90
    ),
}

API: dict[str, Page] = {
    "diff": Page(route=f"/api/v1/projects/{PROJECT}/diff", handler=DiffApi),
    "run-check": Page(route=f"{_API}/check", handler=CheckApi),
    "run-usage": Page(route=f"{_API}/usage", handler=UsageApi),
    "run-config": Page(route=f"{_API}/config", handler=ConfigText),
    "run-file": Page(route=f"{_API}/files/([^/]+)", handler=FileBody),
    "run-patch": Page(route=f"{_API}/patch", handler=PatchText),
}
