"""Its addresses."""

from __future__ import annotations

from hpctrack_server.pages.console.console import ConsoleApi, ConsoleTab, ConsoleText
from hpctrack_server.pages.page import PROJECT, RUN, Menu, Page

_API = f"/api/v1/runs/{PROJECT}/{RUN}"

PAGES: dict[str, Page] = {
    "console": Page(
        route=f"/p/{PROJECT}/runs/{RUN}/console",
        handler=ConsoleTab,
        title="Console",
        menu=Menu.RUN,
        place=50,
    ),
}

API: dict[str, Page] = {
    "console": Page(route=f"{_API}/console", handler=ConsoleApi),
    "console-text": Page(route=rf"{_API}/console\.txt", handler=ConsoleText),
}
