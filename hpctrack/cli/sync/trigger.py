"""``hpctrack sync --trigger``: ask the one who can reach the server to push."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import click

from hpctrack.cli.options import print_json
from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.settings import Settings, environment
from hpctrack.errors import StoreError, UsageError
from hpctrack.store.sync_requests import SyncRequest, request_sync


def leave_request(
    settings: Settings, names: Sequence[str], project: str | None, *, as_json: bool
) -> None:
    """Ask that runs be pushed; without any, that everything be that is new.

    Raises
    ------
    NotFoundError, UsageError
        A run is not there, or is not named clearly.
    StoreError
        The store cannot be written.
    """
    if project is not None and not names:
        raise UsageError("--trigger asks for runs, or for everything", hint="leave out --project")
    from hpctrack.store.store import Store  # noqa: PLC0415 - brings numpy and h5py

    store = Store(settings.dir, stale_after_s=settings.stale_after_s)
    asked = []
    for name in names:
        with closing(store.run(name, project=project)) as run:
            asked.append(SyncRequest(run.project, run.id))
    asked = asked or [SyncRequest()]
    environ = environment()
    who = environ.get("USER") or environ.get("LOGNAME", "")
    try:
        for one in asked:
            request_sync(Path(store.path), one, wall_s=SYSTEM_CLOCK.wall_s(), who=who)
    except OSError as error:
        raise StoreError(f"{store.path} cannot be written: {error.strerror}") from None
    if as_json:
        print_json({"requested": [str(one) for one in asked]})
    else:
        for one in asked:
            click.echo(f"{one}: asked for; `hpctrack sync --watch --triggered` pushes it")
