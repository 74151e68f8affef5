"""All addresses, in two dictionaries: routes, navigation, the smoke test and the docs use them."""

from __future__ import annotations

from types import ModuleType

from hpctrack_server.pages.compare import routes as compare
from hpctrack_server.pages.console import routes as console
from hpctrack_server.pages.core import routes as core
from hpctrack_server.pages.home import routes as home
from hpctrack_server.pages.live import routes as live
from hpctrack_server.pages.media import routes as media
from hpctrack_server.pages.page import Menu, Page
from hpctrack_server.pages.panels import routes as panels
from hpctrack_server.pages.ranks import routes as ranks
from hpctrack_server.pages.run import routes as run
from hpctrack_server.pages.runs import routes as runs
from hpctrack_server.pages.statistics import routes as statistics
from hpctrack_server.pages.sweeps import routes as sweeps

AREAS: tuple[ModuleType, ...] = (
    home, runs, compare, panels, statistics, sweeps, run, ranks, console, media, live, core,
)  # fmt: skip
"""Each has ``PAGES`` and ``API``: dictionaries of `Page` by a name of its own."""


def _join(name: str) -> dict[str, Page]:
    joined: dict[str, Page] = {}
    for area in AREAS:
        found: dict[str, Page] = getattr(area, name)
        twice = joined.keys() & found.keys()
        if twice:
            raise ValueError(f"{area.__name__} names {sorted(twice)} again")
        joined.update(found)
    return joined


PAGES = _join("PAGES")
API = _join("API")


def list_menu(menu: Menu) -> tuple[tuple[str, Page], ...]:
    """Return the pages of a menu with their names, in its order."""
    found = [(name, page) for name, page in PAGES.items() if page.menu == menu]
    return tuple(sorted(found, key=lambda one: one[1].place))


MENUS = {str(menu): list_menu(menu) for menu in Menu if menu}
