"""``hpctrack server``: serve the dashboard until somebody ends it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import platform
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path

import click

from hpctrack.core.settings import environment, load_settings
from hpctrack.errors import MissingPackageError, UsageError
from hpctrack_server.auth import Gate, make_host_name, make_token
from hpctrack_server.settings import DEFAULT_PORT, TOKEN_MIN_CHARS, ServerSettings


@click.command()
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The store's folder. [default: $HPCTRACK_DIR, else ./hpctrack-store]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help=f"Port on 127.0.0.1; 0 takes any. [default: {DEFAULT_PORT}, else any]",
)
@click.option(
    "--unix",
    type=click.Path(path_type=Path),
    help="Listen on a Unix socket in a private folder instead; needs no token.",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option(
    "--token",
    help="Secret of the URL; better in $HPCTRACK_TOKEN, where `ps` does not show it. "
    "[default: a new one for each start]",
)
@click.option("--json", "as_json", is_flag=True, help='Print {"url", "port"} on one line.')
def server(
    *,
    store: Path | None,
    port: int | None,
    unix: Path | None,
    no_browser: bool,
    token: str | None,
    as_json: bool,
) -> None:
    """Serve the dashboard: compare runs and watch live ones in a browser.

    It listens on this machine only, and only who has the URL it prints may look. From your own
    machine, paste the ssh line that it prints and open the same URL there.

    \b
    Examples:
      hpctrack server                                  the runs of ./hpctrack-store
      hpctrack server --store /data/store --port 0     any free port
      hpctrack server --unix ~/.hpctrack/web.sock      for ssh -L, without a token
    """
    _require_packages()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    loaded = load_settings({"dir": store})
    if loaded.problems:
        raise loaded.problems[0]
    settings = ServerSettings(
        store=Path(loaded.values.dir), stale_after_s=loaded.values.stale_after_s
    )
    secret = "" if unix else _choose_token(token)
    asyncio.run(
        _serve(settings, secret, port=port, unix=unix, no_browser=no_browser, as_json=as_json)
    )


def _require_packages() -> None:
    """Load the dashboard, which takes a second: whoever only wants help does not wait for it."""
    try:
        import hpctrack_server.app  # noqa: F401, PLC0415
    except ImportError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise MissingPackageError(missing, extra="server") from None


async def _serve(
    settings: ServerSettings,
    token: str,
    *,
    port: int | None,
    unix: Path | None,
    no_browser: bool,
    as_json: bool,
) -> None:
    from hpctrack_server.app import bind_private, make_dashboard  # noqa: PLC0415 - see above

    sockets = bind_private(unix) if unix else _bind_port(port)
    number = 0 if unix else int(sockets[0].getsockname()[1])
    gate = Gate(host_name=make_host_name(), port=number, token=token, uid=os.getuid())
    url = f"http://{gate.host_name}:{number}/?token={token}" if number else "http://localhost/"
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    try:
        async with make_dashboard(settings, gate, sockets):
            _announce(url, number, unix, as_json=as_json)
            with _browser(url, is_wanted=bool(number) and not no_browser and not as_json):
                await stop.wait()
    finally:
        for one in sockets:
            one.close()
        if unix:
            unix.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing else runs any more


def _bind_port(port: int | None) -> list[socket.socket]:
    from hpctrack_server.app import bind_loopback  # noqa: PLC0415 - see above

    if port is not None:
        return bind_loopback(port)
    try:
        return bind_loopback(DEFAULT_PORT)
    except UsageError:
        return bind_loopback(0)


def _choose_token(given: str | None) -> str:
    token = given if given is not None else environment().get("HPCTRACK_TOKEN") or make_token()
    if (
        len(token) < TOKEN_MIN_CHARS
        or not token.isascii()
        or not token.isprintable()
        or " " in token
    ):
        raise UsageError(
            "the token is too weak",
            hint=f"use at least {TOKEN_MIN_CHARS} letters and digits, or leave it out",
        )
    return token


def _announce(url: str, port: int, unix: Path | None, *, as_json: bool) -> None:
    """Print where to look; to standard output, which is the user's, never to a log."""
    if as_json:
        facts = {"url": url, "port": port, **({"unix": str(unix.absolute())} if unix else {})}
        click.echo(json.dumps(facts))
    else:
        names = environment()
        user = names.get("USER") or names.get("LOGNAME") or "me"
        there = f"{user}@{platform.node()}"
        if unix:
            click.echo(f"hpctrack listens on {unix.absolute()}")
            click.echo(f"  ssh -N -L {DEFAULT_PORT}:{unix.absolute()} {there}")
            click.echo(f"  then open http://localhost:{DEFAULT_PORT}/")
        else:
            click.echo(f"hpctrack is at {click.style(url, bold=True)}")
            click.echo(f"  from another machine first: ssh -N -L {port}:127.0.0.1:{port} {there}")
        click.echo("  Ctrl-C ends it")
    sys.stdout.flush()


@contextmanager
def _browser(url: str, *, is_wanted: bool) -> Iterator[None]:
    """Open a browser where there is a screen.

    The browser is given a private file that leads to the URL: a command line can be read by
    everybody on the machine, and the URL holds the token.
    """
    names = environment()
    if not is_wanted or not (names.get("DISPLAY") or names.get("WAYLAND_DISPLAY")):
        yield
        return
    with tempfile.TemporaryDirectory(prefix="hpctrack-") as folder:  # mode 0700
        page = Path(folder) / "open.html"
        page.write_text(f'<meta http-equiv="refresh" content="0;url={escape(url)}">')
        webbrowser.open(page.as_uri())
        yield
