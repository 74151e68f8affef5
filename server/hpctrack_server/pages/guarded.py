"""What every request goes through: the gate, the headers, errors as pages or JSON."""

from __future__ import annotations

import html
import json
import logging
import os
import pwd
import re
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import cache
from types import TracebackType
from typing import Any, ClassVar, ParamSpec, TypeVar
from urllib.parse import quote, urlencode

from tornado.httputil import HTTPServerRequest
from tornado.web import Finish, HTTPError, RequestHandler

from hpctrack.errors import (
    BusyError,
    HpctrackError,
    MissingPackageError,
    NotFoundError,
    StoreError,
    StoreFullError,
    UsageError,
)
from hpctrack_server.auth import COOKIE_NAME, Right, Verdict, Visit
from hpctrack_server.components import text
from hpctrack_server.data.reader import EndingError, Steps
from hpctrack_server.data.state.database import DatabaseError
from hpctrack_server.language.errors import QueryError
from hpctrack_server.pages.services import Services

COUNT_MAX_DIGITS = 9

ADDRESS_MAX_CHARS = 60_000
"""Three hundred runs hidden one by one; proxies take less."""

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Scripts only from files of ours, never eval. Bokeh writes style elements, hence the exception."""

HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

STATUSES: dict[type[HpctrackError], int] = {
    UsageError: 400,
    BusyError: 409,
    StoreFullError: 507,
    EndingError: 503,
    DatabaseError: 503,
    StoreError: 409,
    MissingPackageError: 501,
}
"""Of our errors, the first that fits. What is broken in the store is no fault of the server's, and
asking again will not help: it is the state of what is asked for, which is what 409 says."""

FILE_IN_STORE = re.compile(r"(?:[\w.@+-]+/)+[\w.@+-]+\.\w+")

MARK_HEADER = "X-Hpctrack"
"""Whoever changes something must send it: no form can, and no script of another site may."""

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

log = logging.getLogger(__name__)


class Guarded(RequestHandler):
    """A request that has passed the gate."""

    is_public: ClassVar[bool] = False
    """Public answers tell nothing about any run; the Host is checked all the same."""

    writes: ClassVar[frozenset[str]] = frozenset({"POST", "PUT", "PATCH", "DELETE"})
    """Methods that change something; a handler that only reads by POST sets it empty."""

    streams: ClassVar[bool] = False
    """The answer has no end: HEAD would wait for what it does not want."""

    reads: ClassVar[Right] = Right.READ
    """What the other methods want."""

    services: Services
    visit: Visit
    """Who asks, as the gate was told."""

    is_gone = False
    """Whether nobody waits for the answer any more."""

    def initialize(self, services: Services) -> None:
        """Take what Tornado hands over."""
        self.services = services

    def on_connection_close(self) -> None:
        """Note that nobody waits for the answer any more."""
        super().on_connection_close()
        self.is_gone = True

    def set_default_headers(self) -> None:
        """Set the headers that every answer has."""
        self.clear_header("Server")
        for name, value in HEADERS.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Let the request in, or answer it here: the one place that decides."""
        if len(self.request.uri or "") > ADDRESS_MAX_CHARS:
            raise HTTPError(414, reason="The address is too long")
        right = Right.WRITE if self.request.method in self.writes else self.reads
        self.visit = self._visit()
        verdict = self.services.gate.judge(self.visit, right)
        if verdict == Verdict.MISDIRECTED:
            self._refuse(421, "This is not the address of this dashboard.")
        elif verdict == Verdict.GRANTED and self.request.method in {"GET", "HEAD"}:
            self._welcome()
        elif verdict == Verdict.FORBIDDEN and not self.is_public:
            self._refuse(403, "Only who has the link may look.")

    def head(self, *parts: str) -> Awaitable[None] | None:
        """Answer as GET does; whatever is written, Tornado sends the headers alone."""
        if self.streams:
            raise HTTPError(405)
        return self.get(*parts)

    def list_methods(self) -> list[str]:
        """Return the methods that this address takes."""
        found = [
            one
            for one in self.SUPPORTED_METHODS
            if getattr(type(self), one.lower()) is not getattr(RequestHandler, one.lower())
        ]
        has_head = "GET" in found and not self.streams
        return sorted(one for one in found if one != "HEAD" or has_head)

    async def read(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Ask the provider, on the reading thread."""
        return await self.services.reader.call(work, *args, **kwargs)

    async def calculate(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Do what takes long, such as reading many series, on the thread for numbers.

        What a reader has zoomed past or left before its turn came is not done at all: the charts
        that are looked at now would wait for it.
        """

        def work_if_wanted() -> Result:
            self._look()
            return work(*args, **kwargs)

        return await self.services.numbers.call(work_if_wanted)

    async def calculate_in_turns(self, steps: Steps[Result]) -> Result:
        """Do what is about many runs on the thread for numbers, and let others in between.

        It ends as soon as nobody waits for it any more.
        """
        return await self.services.numbers.call_in_turns(steps, self._look)

    async def keep(
        self, work: Callable[Arguments, Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        """Ask the database of what people have saved, on its own thread."""
        return await self.services.keeper.call(work, *args, **kwargs)

    @property
    def user(self) -> str:
        """The name of who asks: whom the kernel sees, or whose dashboard it is."""
        uid = read_peer_uid(self.request)
        return find_user_name(os.getuid() if uid is None else uid)

    def path(self, *parts: str) -> str:
        """Return the address of a page: whatever the parts hold, each stays one part."""
        return self.services.prefix + make_path(*parts)

    def asset(self, name: str) -> str:
        """Return the address of a script, style or figure."""
        return self.services.prefix + self.services.asset_path(name)

    @property
    def is_for_program(self) -> bool:
        """Whether the answer is read by a program, in JSON, and not by a person."""
        return self.request.path.startswith(f"{self.services.prefix}/api/")

    def body(self) -> dict[str, Any]:
        """Return the JSON object that was sent.

        Raises
        ------
        UsageError
            It is none.
        """
        try:
            sent = json.loads(self.request.body or b"null")
        except ValueError as error:
            raise UsageError(f"the body is no JSON: {error}") from None
        except RecursionError:
            raise UsageError("the body is nested too deep") from None
        if not isinstance(sent, dict):
            raise UsageError("the body is no JSON object", hint='send {"key": value}')
        return sent

    def show(self, template: str, **values: Any) -> None:
        """Answer with a page."""
        namespace = {
            "text": text,
            "escape_text": text.escape_text,
            "asset": self.asset,
            "menus": self.services.menus,
            "prefix": self.services.prefix,
            "path": self.path,
            "project": None,
            "current": "",
            **values,
        }
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(self.services.templates.load(template).generate(**namespace))

    def answer(self, value: Any) -> None:
        """Answer with JSON, in which NaN does not exist."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(text.plain_json(value), allow_nan=False))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer with an error, without anything from inside."""
        said = self.describe_error(kwargs.get("exc_info", (None, None, None))[1])
        if status_code == 405:  # noqa: PLR2004 - method not allowed
            allowed = ", ".join(self.list_methods())
            self.set_header("Allow", allowed)
            said["message"] = f"This address does not take {self.request.method}."
            said["hint"] = f"It takes {allowed}."
        elif said["error"] == "error" and status_code < 500:  # noqa: PLR2004 - the visitor's errors
            said["message"] = f"{self._reason}."
        if self.is_for_program:
            self.answer(said)
        else:
            message, hint = said["message"], said["hint"]
            found_in = self._find_project()
            self.show(
                "message.html", status=status_code, message=message, hint=hint, found_in=found_in
            )

    def _find_project(self) -> str:
        """Return the project that the address is in; empty if it is that of the project itself."""
        is_inside = self.request.path.startswith(f"{self.services.prefix}/p/")
        parts = getattr(self, "path_args", [])  # none yet where the method is refused
        return parts[0] if is_inside and len(parts) > 1 else ""

    def describe_error(self, error: BaseException | None) -> dict[str, Any]:
        """Return what a visitor is told of an error: nothing from inside."""
        if not isinstance(error, HpctrackError):
            message = "Something went wrong here; the server's log says what."
            return {"error": "error", "message": message, "hint": ""}
        folder = f"{self.services.provider.path}/"
        message = error.message.replace(folder, "")
        hint = (error.hint or "").replace(folder, "")
        told = {"error": error.code, "message": message, "hint": hint}
        return told | describe_place(error, message)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Choose the status of our own errors."""
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, HpctrackError):
            status_code = status_of(error)
        super().send_error(status_code, **kwargs)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Log what is a fault of ours; never the address, which can hold the token."""
        if isinstance(value, HpctrackError) or getattr(value, "status_code", 500) < 500:  # noqa: PLR2004
            return
        if typ is not None and value is not None:
            log.error("error in %s", self.request.path, exc_info=(typ, value, tb))

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the address."""
        return self.get_query_argument(name, default) or default

    def query_exactly(self, name: str) -> str:
        """Return a parameter with the blanks at its ends: a metric's name may have them.

        Raises
        ------
        UsageError
            It is missing.
        """
        value = self.get_query_argument(name, "", strip=False)
        if not value:
            raise UsageError(f"the parameter {name!r} is missing")
        return value

    def count(self, name: str) -> int | None:
        """Return a parameter of the address that is a count; None if it is none."""
        given = self.query(name)
        is_count = given.isascii() and given.isdigit() and len(given) <= COUNT_MAX_DIGITS
        return int(given) if is_count else None

    def _look(self) -> None:
        if self.is_gone:
            raise Finish

    def _visit(self) -> Visit:
        headers = self.request.headers
        scheme, _, bearer = headers.get("Authorization", "").partition(" ")
        return Visit(
            host=self.request.host,
            url_token=self.query("token"),
            bearer=bearer if scheme == "Bearer" else "",
            cookie=self.get_cookie(COOKIE_NAME, "") or "",
            peer_uid=read_peer_uid(self.request),
            origin=headers.get("Origin", ""),
            fetch_site=headers.get("Sec-Fetch-Site", ""),
            is_navigation=headers.get("Sec-Fetch-Mode", "") == "navigate",
            is_marked=bool(headers.get(MARK_HEADER)),
        )

    def _welcome(self) -> None:
        """Swap the token in the address for a cookie that scripts and other sites never see."""
        self.set_cookie(
            COOKIE_NAME,
            self.services.gate.cookie,
            httponly=True,
            samesite="Strict",
            path=f"{self.services.prefix}/",
        )
        arguments = {
            name: [one.decode("utf-8", "replace") for one in values]
            for name, values in self.request.query_arguments.items()
            if name != "token"
        }
        # One leading slash: two would be the address of another site.
        clean = "/" + self.request.path.lstrip("/\\")
        if arguments:
            clean += f"?{urlencode(arguments, doseq=True)}"
        if self.request.headers.get("Sec-Fetch-Site", "none") in {"none", "same-origin"}:
            self.redirect(clean, status=303)
            return
        # Somebody came from another site or from a file: the browser would withhold a strict
        # cookie on a redirect, but sends it when a page of ours leads on.
        self.show("welcome.html", address=clean)

    def _refuse(self, status: int, message: str) -> None:
        self.set_status(status)
        if self.is_for_program:
            self.answer({"error": "refused", "message": message, "hint": ""})
        elif status == 403:  # noqa: PLR2004
            self.show("refused.html", message=message)
        else:
            self.set_header("Content-Type", "text/html; charset=utf-8")
            self.finish(f"<!doctype html><title>hpctrack</title><p>{html.escape(message)}")


def status_of(error: HpctrackError) -> int:
    """Return the HTTP status of one of our errors."""
    if isinstance(error, NotFoundError):
        return 404
    if error.code == "invalid-name":
        return 404  # a name that cannot exist does not
    for kind, status in STATUSES.items():
        if isinstance(error, kind):
            return status
    return 500


def describe_place(error: BaseException | None, message: str) -> dict[str, Any]:
    """Return where a fault lies: characters of what was sent, or a file of the store. Pure."""
    if isinstance(error, QueryError):
        return {"at": error.at, "end": error.end}
    file = FILE_IN_STORE.search(message) if isinstance(error, StoreError) else None
    return {"file": file[0]} if file else {}


def make_path(*parts: str) -> str:
    """Return the path of a page: whatever the parts hold, each stays one part."""
    return "/" + "/".join(quote(text.printable(one), safe="") for one in parts)


@cache
def find_user_name(uid: int) -> str:
    """Return the name of a user; of one that the machine does not know, the number."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def read_peer_uid(request: HTTPServerRequest) -> int | None:
    """Return who is at the other end of a Unix socket, as the kernel knows it."""
    stream = getattr(request.connection, "stream", None)
    peer = getattr(stream, "socket", None)
    if peer is None or peer.family != socket.AF_UNIX:
        return None
    facts = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _pid, uid, _gid = struct.unpack("3i", facts)
    return int(uid)
