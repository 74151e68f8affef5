"""From words on the command line to a running screen."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from hpctrack.cli.options import find_store, read_settings
from hpctrack.cli.top.cells import ASCII, UNICODE, Glyphs
from hpctrack.cli.top.find import find_live_run
from hpctrack.cli.top.live import LiveRuns, find_user
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.settings import environment
from hpctrack.errors import MissingPackageError


def start(
    store: Path | None,
    *,
    run: str | None,
    project: str | None,
    is_everybodys: bool,
    interval_s: float,
    is_ascii: bool,
) -> None:
    """Show the screen until the user leaves it.

    Raises
    ------
    MissingPackageError
        Textual is not installed.
    NotFoundError, UsageError
        There is no such store or run, or nothing to watch of it.
    """
    try:
        from hpctrack.cli.top.app import TopApp  # noqa: PLC0415 - Textual is an extra
    except ImportError as error:
        raise MissingPackageError(error.name or "textual", extra="top") from None
    settings = read_settings(dir=store)
    folder = find_store(settings)
    only = find_live_run(folder, run, project=project) if run else None
    whose = "" if is_everybodys else find_user(environment())
    live = LiveRuns(
        folder,
        clock=SYSTEM_CLOCK,
        stale_after_s=settings.stale_after_s,
        user=whose or None,
        project=project,
    )
    app = TopApp(
        live,
        only=only,
        clock=SYSTEM_CLOCK,
        stale_after_s=settings.stale_after_s,
        glyphs=choose_glyphs(sys.stdout.encoding, environment(), is_ascii=is_ascii),
        interval_s=interval_s,
        whose=whose,
    )
    # Without the mouse: its every move would travel over the line.
    app.run(mouse=False)
    if app.return_code:
        sys.exit(app.return_code)


def choose_glyphs(encoding: str | None, environ: Mapping[str, str], *, is_ascii: bool) -> Glyphs:
    """Return what to draw with: ASCII if asked, or where the terminal knows nothing else.

    Parameters
    ----------
    encoding : str or None
        Of standard output.
    environ : mapping
        Its ``LC_ALL``, ``LC_CTYPE`` or ``LANG`` says what the terminal is told to understand;
        Python takes the C locale for UTF-8, the terminal behind it may not.
    is_ascii : bool
    """
    named = environ.get("LC_ALL") or environ.get("LC_CTYPE") or environ.get("LANG") or "C"
    is_plain = named.split(".")[0] in {"C", "POSIX"} and "." not in named
    is_utf8 = (encoding or "").lower().replace("-", "") == "utf8"
    return ASCII if is_ascii or is_plain or not is_utf8 else UNICODE
