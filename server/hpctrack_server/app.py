"""The running server: one Bokeh server, its sockets, and the tasks beside it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.netutil import bind_unix_socket
from tornado.web import RequestHandler

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.errors import UsageError
from hpctrack_server.auth import Gate
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.provider import DataProvider
from hpctrack_server.data.reader import Reader
from hpctrack_server.data.watch import Watcher
from hpctrack_server.pages.assets import AssetPage, load_assets
from hpctrack_server.pages.guarded import NotFound, Services
from hpctrack_server.pages.registry import API, MENUS, PAGES
from hpctrack_server.settings import ServerSettings

PORT_TRIES = 20
STOP_TIMEOUT_S = 2.0
BODY_MAX_BYTES = 1 << 20
"""A thousand run ids, or a workspace; nothing larger is ever sent to us."""


@dataclass(slots=True)
class Dashboard:
    """A server with its tasks; an async context manager that starts and ends it.

    Parameters
    ----------
    services : Services
    server : bokeh.server.server.BaseServer
    http : HTTPServer
    """

    services: Services
    server: Any
    http: HTTPServer
    _watching: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start."""
        self.server.start()
        self.services.index.start()
        self._watching = asyncio.create_task(self.services.watcher.run())
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Stop; open event streams are ended first."""
        await self.services.watcher.close(STOP_TIMEOUT_S)
        if self._watching:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        self.server.stop(wait=False)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.http.close_all_connections(), STOP_TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            close = self.services.reader.call(self.services.provider.close)
            await asyncio.wait_for(close, STOP_TIMEOUT_S)
        with contextlib.suppress(TimeoutError):
            closing = asyncio.to_thread(self.services.index.close)
            await asyncio.wait_for(closing, STOP_TIMEOUT_S)
        self.services.reader.close()
        self.services.numbers.close()


def make_dashboard(
    settings: ServerSettings,
    gate: Gate,
    sockets: list[socket.socket],
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> Dashboard:
    """Put the server together; must be called with an event loop running.

    Parameters
    ----------
    settings : ServerSettings
        Where the store is.
    gate : Gate
        Who may look.
    sockets : list of socket
        Bound and listening, see `bind_loopback` and `bind_private`.
    clock : Clock, optional
        For tests.

    Raises
    ------
    NotFoundError
        There is no store.
    """
    reader, numbers, assets = Reader("pages"), Reader("numbers"), load_assets()
    index = RunIndex(settings, clock=clock)
    provider = DataProvider(settings, index, clock=clock)
    watcher = Watcher(provider.pulse, reader, interval_s=settings.poll_interval_s)
    services = Services(
        gate=gate,
        provider=provider,
        index=index,
        reader=reader,
        numbers=numbers,
        watcher=watcher,
        asset_path=assets.path,
        prefix=settings.prefix,
        menus=MENUS,
    )
    given = {"services": services}
    patterns: list[Any] = [
        (settings.prefix + page.route, page.handler, given)
        for page in (*PAGES.values(), *API.values())
    ]
    place = f"{settings.prefix}/assets/([^/]+)/(.+)"
    patterns.append((place, AssetPage, {**given, "assets": assets}))
    # Bokeh appends routes of its own for static files, which know nothing of the gate.
    patterns.append((r"/.*", NotFound, given))
    application = BokehTornado(
        {},
        extra_patterns=patterns,
        use_index=False,
        ico_path="none",
        compress_response=True,
        log_function=_log_nothing,
        default_handler_class=NotFound,
        default_handler_args=given,
    )
    http = HTTPServer(application, max_body_size=BODY_MAX_BYTES, idle_connection_timeout=120)
    http.add_sockets(sockets)
    return Dashboard(services, BaseServer(IOLoop.current(), application, http), http)


def _log_nothing(handler: RequestHandler) -> None:
    """Keep the access log empty: addresses hold the token, and errors are logged elsewhere."""
    del handler


def bind_loopback(port: int) -> list[socket.socket]:
    """Listen on a port of this machine's own addresses, IPv4 and IPv6.

    Both, because a browser tries both for a ``localhost`` name: on a login node somebody else
    could listen on the one we left free, and be sent the token.

    Raises
    ------
    UsageError
        The port is in use.
    """
    for _ in range(1 if port else PORT_TRIES):
        first = _bind(socket.AF_INET, "127.0.0.1", port)
        if first is None:
            break
        sockets = [first]
        if not _has_ipv6_loopback():
            return sockets
        second = _bind(socket.AF_INET6, "::1", first.getsockname()[1])
        if second is not None:
            return [*sockets, second]
        first.close()
    raise UsageError(f"port {port} is in use", hint="--port 0 takes any that is free")


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket | None:
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    try:
        one.bind((address, port))
        one.listen(128)
    except OSError as error:
        one.close()
        if error.errno in {errno.EADDRINUSE, errno.EACCES}:
            return None
        raise
    one.setblocking(False)  # noqa: FBT003 - the socket module's signature
    return one


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def bind_private(path: Path) -> list[socket.socket]:
    """Listen on a Unix socket in a folder that nobody else can enter.

    Raises
    ------
    UsageError
        The folder is not ours alone, or the path is too long for a socket.
    """
    folder = path.absolute().parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    facts = folder.stat()
    if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
        raise UsageError(
            f"others can enter {folder}", hint=f"choose another folder, or: chmod 700 {folder}"
        )
    try:
        return [bind_unix_socket(str(path), mode=0o600)]
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot listen on {path}: {error}") from None
