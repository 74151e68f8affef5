"""Requests that lead nowhere, or nearly: addresses that are not ours, and what is too large."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NoReturn

from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError, stream_request_body

from hpctrack.core.byte_sizes import show_bytes
from hpctrack.errors import NotFoundError
from hpctrack_server.pages.guarded import Guarded
from hpctrack_server.pages.page import PROJECT as VARIABLE

BODY_MAX_BYTES = 1 << 20
"""A thousand run ids, or a workspace; nothing larger is ever sent to us."""


class Entrance(Guarded):
    """The prefix without its last slash, where no cookie is sent: it only leads on."""

    is_public: ClassVar[bool] = True

    def get(self) -> None:
        """Lead to the first page."""
        self.redirect(self.path())


class Favicon(Guarded):
    """``/favicon.ico``, which browsers ask for beside JSON and text."""

    is_public: ClassVar[bool] = True

    def get(self) -> None:
        """Lead to the icon of the pages."""
        self.redirect(self.asset("icon.svg"))


class NotFound(Guarded):
    """Every address that is not ours."""

    def get(self, *_parts: str) -> None:
        """Lead to the page that was meant, or say that there is none."""
        prefix = self.services.prefix
        routes = [page.route for page in self.services.pages.values()]
        meant = find_meant(self.request.path.removeprefix(prefix), routes)
        if meant is None or not self.request.path.startswith(f"{prefix}/"):
            self._refuse_all()
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{prefix}{meant}{query}", status=308)

    def _refuse_all(self, *_parts: str) -> NoReturn:
        raise NotFoundError("There is no such page.", hint="All that there is begins below.")

    post = put = delete = patch = options = _refuse_all


@stream_request_body
class TooLarge(Guarded):
    """Whatever is sent with a body that nobody here would read."""

    writes: ClassVar[frozenset[str]] = frozenset()

    def prepare(self) -> None:
        """Let the body come, for whoever is still sending reads no answer; none of it is kept."""
        connection: Any = self.request.connection
        connection.set_max_body_size(read_body_size(self.request))
        super().prepare()

    def data_received(self, chunk: bytes) -> None:
        """Forget it."""

    def _refuse_all(self, *_parts: str) -> NoReturn:
        size = show_bytes(read_body_size(self.request))
        raise HTTPError(
            413, reason=f"{size} were sent, and at most {show_bytes(BODY_MAX_BYTES)} are read"
        )

    get = post = put = delete = patch = options = _refuse_all


def read_body_size(request: HTTPServerRequest) -> int:
    """Return how many bytes are announced; 0 if that is no number."""
    given = request.headers.get("Content-Length", "")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 19 else 0  # noqa: PLR2004


def find_meant(path: str, routes: Iterable[str]) -> str | None:
    """Return the path of the page that somebody meant: slashes too many, or in capitals. Pure.

    Examples
    --------
    >>> find_meant("//Live/", ["/live", "/p/([^/]+)/runs"])
    '/live'
    >>> find_meant("/P/My%2Fproject/RUNS/", ["/live", "/p/([^/]+)/runs"])
    '/p/My%2Fproject/runs'
    """
    parts = [one for one in path.split("/") if one]
    if not parts or parts == ["p"]:
        return "/"
    for route in routes:
        if route == "/":
            continue
        names = [one or None for one in route.replace(VARIABLE, "").strip("/").split("/")]
        if len(names) == len(parts) and all(
            name is None or name == part.lower() for name, part in zip(names, parts, strict=True)
        ):
            found = (name or part for name, part in zip(names, parts, strict=True))
            return "/" + "/".join(found)
    return None
