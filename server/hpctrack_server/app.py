"""The running server: one Bokeh server, its sockets, and the tasks beside it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPServerRequest
from tornado.ioloop import IOLoop
from tornado.routing import Router
from tornado.web import RequestHandler

from hpctrack.core.clock import SYSTEM_CLOCK, Clock
from hpctrack.core.settings import environment
from hpctrack_server.auth import Gate
from hpctrack_server.data.index.run_index import RunIndex
from hpctrack_server.data.matrix.numbers import RankNumbers
from hpctrack_server.data.media.library import Library
from hpctrack_server.data.provider import DataProvider
from hpctrack_server.data.reader import Reader
from hpctrack_server.data.run.consoles import Consoles
from hpctrack_server.data.series.charts import ChartReader
from hpctrack_server.data.series.live_feed import LiveFeeds
from hpctrack_server.data.series.live_watch import PointWatcher
from hpctrack_server.data.series.metric_names import MetricNames
from hpctrack_server.data.sparklines import SparkReader
from hpctrack_server.data.state.database import Database
from hpctrack_server.data.state.place import find_database
from hpctrack_server.data.state.saved import State
from hpctrack_server.data.statistics.curve_ends import CurveEnds
from hpctrack_server.data.sweeps import Sweeps
from hpctrack_server.data.watch import Watcher
from hpctrack_server.pages.assets import AssetPage, load_assets
from hpctrack_server.pages.home.projects import ProjectWay
from hpctrack_server.pages.page import PROJECT
from hpctrack_server.pages.registry import API, MENUS, PAGES
from hpctrack_server.pages.services import Services
from hpctrack_server.pages.strays import (
    BODY_MAX_BYTES,
    Entrance,
    Favicon,
    NotFound,
    TooLarge,
    read_body_size,
)
from hpctrack_server.settings import ServerSettings

STOP_TIMEOUT_S = 2.0
RESTING_LOOKS = 20
"""Of so many looks at what goes on one is at the runs that are over and still looked at."""

HEAD_MAX_BYTES = 1 << 18
"""More than is read of an address, so that one that is too long is answered."""


class Sieve(Router):
    """Before all routes: what is too large is refused, and none of it is kept.

    Parameters
    ----------
    application : BokehTornado
    handler_args : dict
        Of handlers.
    """

    def __init__(self, application: Any, handler_args: dict[str, Any]) -> None:
        self._application = application
        self._handler_args = handler_args

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Return what takes a request."""
        if read_body_size(request) <= BODY_MAX_BYTES:
            return self._application.find_handler(request, **kwargs)
        return self._application.get_handler_delegate(request, TooLarge, self._handler_args)


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
        """Stop; what pages listen to is ended first."""
        await self.services.sockets.close(STOP_TIMEOUT_S)
        await self.services.watcher.close(STOP_TIMEOUT_S)
        await self.services.points.close(STOP_TIMEOUT_S)
        if self._watching:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        self.server.stop(wait=False)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.http.close_all_connections(), STOP_TIMEOUT_S)
        services = self.services
        with contextlib.suppress(TimeoutError):
            close_ranks = services.numbers.call(services.ranks.close)
            await asyncio.wait_for(close_ranks, STOP_TIMEOUT_S)
        for thread, close in (
            (services.reader, services.close_pages),
            (services.keeper, services.state.close),
            (services.numbers, services.close_numbers),
            (services.naming, services.names.close),
        ):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(thread.call(close), STOP_TIMEOUT_S)
            thread.close()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.to_thread(services.index.close), STOP_TIMEOUT_S)


def make_services(
    settings: ServerSettings, gate: Gate, asset_path: Callable[[str], str], *, clock: Clock
) -> Services:
    """Put together what handlers work with; see `make_dashboard`."""
    reader, numbers = Reader("pages"), Reader("numbers")
    index = RunIndex(settings, clock=clock)
    provider = DataProvider(settings, index, clock=clock)
    interval_s = settings.poll_interval_s
    watcher = Watcher(
        provider.pulse, reader, interval_s=interval_s, rest_s=RESTING_LOOKS * interval_s
    )
    feeds = LiveFeeds(provider.path, clock=clock, stale_after_s=settings.stale_after_s)
    return Services(
        gate=gate,
        provider=provider,
        index=index,
        sparks=SparkReader(provider.path, index, clock=clock),
        reader=reader,
        charts=ChartReader(settings, clock=clock),
        ends=CurveEnds(settings, clock=clock),
        names=MetricNames(settings, clock=clock),
        naming=Reader("names"),
        sweeping=Reader("sweeps"),
        sweeps=Sweeps(provider.path, stale_after_s=settings.stale_after_s, clock=clock),
        numbers=numbers,
        ranks=RankNumbers(provider.path, stale_after_s=settings.stale_after_s, clock=clock),
        keeper=Reader("keeper"),
        state=State(Database(find_database(settings.database, provider.path, environment()))),
        consoles=Consoles(provider.own_run),
        media=Library(provider),
        watcher=watcher,
        points=PointWatcher(feeds, reader, interval_s=2 * interval_s),
        asset_path=asset_path,
        clock=clock,
        prefix=settings.prefix,
        menus=MENUS,
        pages=PAGES,
        api=API,
    )


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
        Bound and listening, see `hpctrack_server.listen`.
    clock : Clock, optional
        For tests.

    Raises
    ------
    NotFoundError
        There is no store.
    """
    assets = load_assets()
    services = make_services(settings, gate, assets.path, clock=clock)
    given = {"services": services}
    patterns: list[Any] = [
        (settings.prefix + page.route, page.handler, given)
        for page in (*PAGES.values(), *API.values())
    ]
    patterns.append((f"{settings.prefix}/p/{PROJECT}/?", ProjectWay, given))
    place = f"{settings.prefix}/assets/([^/]+)/(.+)"
    patterns.append((place, AssetPage, {**given, "assets": assets}))
    patterns.append((f"{settings.prefix}/favicon.ico", Favicon, given))
    if settings.prefix:
        # Where people land who type the path without its last slash.
        patterns.append((settings.prefix, Entrance, given))
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
    http = HTTPServer(
        Sieve(application, given),
        max_body_size=BODY_MAX_BYTES,
        max_header_size=HEAD_MAX_BYTES,
        idle_connection_timeout=120,
    )
    http.add_sockets(sockets)
    return Dashboard(services, BaseServer(IOLoop.current(), application, http), http)


def _log_nothing(handler: RequestHandler) -> None:
    """Keep the access log empty: addresses hold the token, and errors are logged elsewhere."""
    del handler
