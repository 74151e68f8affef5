"""``hpctrack server``: serve the dashboard until somebody ends it."""

from __future__ import annotations

import asyncio
import gc
import getpass
import json
import logging
import os
import platform
import re
import shlex
import signal
import socket
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import click

from hpctrack.core.settings import environment, load_settings
from hpctrack.errors import MissingPackageError, UsageError
from hpctrack_server.auth import Gate, make_host_name, make_token
from hpctrack_server.listen import bind_loopback, bind_private, choose_socket
from hpctrack_server.processes import ENDING, Crew
from hpctrack_server.settings import DEFAULT_PORT, TOKEN_MIN_CHARS, ServerSettings


@click.command()
@click.option(
    "--store",
    type=click.Path(path_type=Path),
    help="The store's folder. [default: $HPCTRACK_DIR, else ./hpctrack-store]",
)
@click.option(
    "--unix",
    type=click.Path(path_type=Path),
    help="Listen on this Unix socket, in a private folder. [default: one for each store and user]",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    help="Listen on a port of 127.0.0.1 instead, and ask for a token; 0 takes any that is free.",
)
@click.option("--prefix", default="", help="Path before all addresses, as a proxy passes it on.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Name under which a proxy is asked; others are refused. Repeatable.",
)
@click.option(
    "--processes", type=click.IntRange(1, 64), default=1, show_default=True, help="How many serve."
)
@click.option(
    "--database",
    metavar="URL",
    default="",
    help="Where saved views and workspaces are: a file, or a URL of SQLAlchemy. "
    "[default: beside a server's store, else the user's state folder]",
)
@click.option("--no-browser", is_flag=True, help="Do not open a browser.")
@click.option(
    "--token",
    help="Secret of the URL; better in $HPCTRACK_TOKEN, where `ps` does not show it. "
    "[default: a new one for each start]",
)
@click.option(
    "--json", "as_json", is_flag=True, help='Print {"url", "port"} or {"unix"} on a line.'
)
def server(*, store: Path | None, unix: Path | None, port: int | None, **given: Any) -> None:
    """Serve the dashboard: compare runs and watch live ones in a browser.

    It listens on a Unix socket that only you can reach. From your own machine, paste the ssh line
    that it prints and open http://localhost:8091/ there; no password or token is asked for. Where
    you sit before the screen of this very machine, it opens a browser on a port instead.

    \b
    Examples:
      hpctrack server                                  the runs of ./hpctrack-store
      hpctrack server --store /data/store --unix ~/web/dash.sock
      hpctrack server --port 0                         any free port, with a token
      hpctrack server --port 9000 --prefix /track --host portal.example.org
    """
    _limit_threads()
    _require_packages()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    if unix and port is not None:
        raise UsageError("--unix and --port exclude each other", hint="leave one of them out")
    if given["token"] is not None and port is None:
        raise UsageError("--token is for --port", hint="a Unix socket needs none: add --port 0")
    loaded = load_settings({"dir": store})
    if loaded.problems:
        raise loaded.problems[0]
    settings = ServerSettings(
        store=Path(loaded.values.dir),
        stale_after_s=loaded.values.stale_after_s,
        prefix=clean_prefix(given["prefix"]),
        database=given["database"],
    )
    _check_store(settings)
    if unix is None and port is None and not _sits_before_it(given):
        unix = choose_socket(settings.store, environment(), asked=loaded.values.runtime_dir)
    sys.exit(_listen(settings, unix=unix, port=port, **given))


def clean_prefix(text: str) -> str:
    """Return a prefix as addresses have it: a slash in front, none behind.

    Raises
    ------
    UsageError
        It holds what a path may not hold unquoted.
    """
    clean = text.strip("/")
    if not clean:
        return ""
    if not re.fullmatch(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*", clean) or ".." in clean:
        raise UsageError(f"the prefix {text!r} is no path", hint="such as --prefix /track")
    return f"/{clean}"


def _sits_before_it(given: Mapping[str, Any]) -> bool:
    """Tell whether the user sees this machine's screen: then there is nothing to forward."""
    names = environment()
    has_screen = bool(names.get("DISPLAY") or names.get("WAYLAND_DISPLAY"))
    is_remote = bool(names.get("SSH_CONNECTION") or names.get("SLURM_JOB_ID"))
    return has_screen and not is_remote and not given["no_browser"]


def _check_store(settings: ServerSettings) -> None:
    """Say what is wrong with the store before anything listens."""
    from hpctrack.store.store import Store  # noqa: PLC0415 - whoever wants help waits for no HDF5

    Store(settings.store)


def _limit_threads() -> None:
    """Have linear algebra use one thread: it would start one for each core of the login node.

    Measured on a busy node: 140 ms for a product that takes 1 ms. Read when NumPy is loaded.
    """
    for name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"):
        if name not in environment():
            os.putenv(name, "1")


def _require_packages() -> None:
    """Load the dashboard, which takes a second: whoever only wants help does not wait for it."""
    try:
        import hpctrack_server.app  # noqa: F401, PLC0415
    except ImportError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise MissingPackageError(missing, extra="server") from None


def _listen(
    settings: ServerSettings,
    *,
    unix: Path | None,
    port: int | None,
    hosts: Sequence[str],
    processes: int,
    token: str | None,
    no_browser: bool,
    as_json: bool,
    **_rest: Any,
) -> int:
    """Bind the sockets, say where, and serve until a signal comes."""
    secret = "" if unix else _choose_token(token)
    sockets = bind_private(unix) if unix else _bind_port(port)
    number = 0 if unix else int(sockets[0].getsockname()[1])
    gate = Gate(
        host_name=make_host_name(),
        port=number,
        token=secret,
        uid=os.getuid(),
        hosts=frozenset(one.lower() for one in hosts),
    )
    host = f"{gate.host_name}:{number}" if number else f"localhost:{DEFAULT_PORT}"
    url = f"http://{host}{settings.prefix}/" + (f"?token={secret}" if secret else "")
    is_browser_wanted = bool(number) and not no_browser and not as_json

    def work(life: int | None = None) -> int:
        return asyncio.run(_serve(settings, gate, sockets, life))

    try:
        if not is_browser_wanted:  # a browser would inherit it
            # Until the loop takes them: whoever has read the address may end us at once.
            signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        _announce(url, number, unix, as_json=as_json)
        with _browser(url, is_wanted=is_browser_wanted):
            return work() if processes == 1 else Crew(work, processes).run()
    finally:
        for one in sockets:
            one.close()
        if unix:
            unix.unlink(missing_ok=True)


async def _serve(
    settings: ServerSettings, gate: Gate, sockets: list[socket.socket], life: int | None
) -> int:
    from hpctrack_server.app import make_dashboard  # noqa: PLC0415 - see `_require_packages`

    stop = asyncio.Event()
    for name in ENDING:
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    if life is not None:
        asyncio.get_running_loop().add_reader(life, stop.set)
    async with make_dashboard(settings, gate, sockets):
        # Bokeh and all else that is loaded stays: looking through it for what is not used any more
        # takes 0.1 s each time, while nobody is answered, and 0.4 s at the end.
        gc.freeze()
        await stop.wait()
    return 0


def _bind_port(port: int | None) -> list[socket.socket]:
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
        place = {"unix": str(unix.absolute())} if unix else {"port": port}
        click.echo(json.dumps({"url": url, **place}))
    else:
        names = environment()
        user = names.get("USER") or names.get("LOGNAME") or getpass.getuser()
        there = f"{user}@{platform.node()}"
        if unix:
            click.echo("hpctrack listens; on your own machine:")
            click.echo(f"  ssh -N -L {DEFAULT_PORT}:{shlex.quote(str(unix.absolute()))} {there}")
            click.echo(f"  then open {click.style(url, bold=True)}")
            click.echo("  in a browser on this machine instead: hpctrack server --port 0")
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
