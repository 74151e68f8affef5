"""What an address is: its route, its handler, and where it stands in the navigation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hpctrack_server.pages.guarded import Guarded

PROJECT = RUN = SWEEP = "([^/]+)"


class Menu(StrEnum):
    """Where the way to a page is shown."""

    NONE = ""
    STORE = "store"
    """Pages of the whole store, at the top of every page's side."""
    PROJECT = "project"
    """Pages of a project, in the side of all its pages."""
    RUN = "run"
    """Tabs of a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page or an answer of the API.

    Parameters
    ----------
    route : str
        Regular expression of its path.
    handler : type
        What answers.
    title : str
        In its menu; also what a help page calls it.
    icon : str
        Path data of a 24 x 24 drawing.
    menu : Menu
        Where the way to it is shown.
    place : int
        Its place in the menu: the lowest first.
    """

    route: str
    handler: type[Guarded]
    title: str = ""
    icon: str = ""
    menu: Menu = Menu.NONE
    place: int = 50

    def parts(self, *values: str) -> tuple[str, ...]:
        """Return the parts of its path, with values for what is variable, in their order."""
        given = iter(values)
        named = self.route.replace(PROJECT, "(").strip("/").split("/")
        return tuple(next(given) if one.startswith("(") else one for one in named)
