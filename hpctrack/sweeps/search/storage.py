"""Where a study lies: a journal in the sweep's folder, or a database by URL."""

from __future__ import annotations

import importlib.util
import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import optuna
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalStorage

from hpctrack.core.clock import SYSTEM_CLOCK
from hpctrack.core.settings import environment
from hpctrack.errors import MissingPackageError, StoreError, SweepError, UsageError
from hpctrack.sweeps.schema.command import ENVIRONMENT_MACRO, MACRO
from hpctrack.sweeps.search.journal import JournalFile
from hpctrack.sweeps.sweep import Sweep

DRIVERS = {"postgresql": "psycopg2", "postgres": "psycopg2", "mysql": "pymysql"}
"""By the first word of a URL; who wants another driver writes ``postgresql+other://``."""

GRPC_SCHEME = "grpc"
GRPC_PORT = 13000
"""Optuna's own."""

READY_TIMEOUT_S = 30.0
"""A proxy that does not answer by then is not there."""

IDLE_S = 5.0
"""A worker that was away for longer gives its connection back: a server has a hundred, not a
thousand."""

TABLE_TRIES = 8
TABLE_WAIT_S = 0.5
"""Workers that come first at the same time make the same tables, and all but one fail at it."""


@dataclass(frozen=True, slots=True)
class Place:
    """An open storage.

    Parameters
    ----------
    storage : BaseStorage
        Optuna's.
    shown : str
        What messages call it; without a password.
    close : callable
        Lets go of it.
    rest : callable
        Called after each action: the next one may be far away.
    batch : callable
        Returns a context in which several changes become one write, where that is possible.
    """

    storage: BaseStorage
    shown: str
    close: Callable[[], None]
    rest: Callable[[], None] = lambda: None
    batch: Callable[[], AbstractContextManager[None]] = nullcontext


def open_place(sweep: Sweep) -> Place:
    """Open the storage of a sweep; see `open_url`."""
    return open_url(sweep.file.storage, sweep.folder.journal)


def open_url(url: str, journal: Path) -> Place:
    """Open a storage.

    Parameters
    ----------
    url : str
        Of a database or a proxy; empty for a journal.
    journal : Path
        Where that is.

    Raises
    ------
    UsageError
        The URL means nothing.
    SweepError
        A variable in the URL is not set.
    MissingPackageError
        The driver is not installed.
    StoreError
        It cannot be reached.
    """
    if not url:
        return _open_journal(journal)
    scheme = url.partition("://")[0]
    if scheme.partition("+")[0] in DRIVERS:
        return _open_database(url)
    if scheme == GRPC_SCHEME:
        return _open_grpc(url)
    raise UsageError(
        f"storage {show_url(url)!r} is of no known kind",
        hint="give postgresql://USER@HOST/DATABASE or grpc://HOST:PORT, or leave it out",
    )


def fill_url(url: str) -> str:
    """Put environment variables in the place of ``${envvar:NAME}``.

    Raises
    ------
    SweepError
        One is not set.
    """
    environ = environment()
    at_sign = url.rfind("@")

    def fill(found: re.Match[str]) -> str:
        name = found[1].removeprefix(ENVIRONMENT_MACRO)
        if name not in environ:
            raise SweepError(f"{found[0]} in `storage`: the variable {name} is not set here")
        # A password may have any characters, a host has none that need it.
        return quote(environ[name], safe="") if found.end() <= at_sign else environ[name]

    return MACRO.sub(fill, url)


def show_url(url: str) -> str:
    """Return a URL without its password."""
    head, mark, tail = url.partition("://")
    before, at, host = tail.rpartition("@")
    user, colon, _ = before.partition(":")
    return f"{head}{mark}{user}{':***' if colon else ''}{at}{host}"


def _open_journal(path: Path) -> Place:
    file = JournalFile(path)
    storage = JournalStorage(file)

    @contextmanager
    def batch() -> Iterator[None]:
        with file.batch():
            yield
        # Optuna says that a change came too late when it reads it back: here, not in the middle
        # of something else.
        storage.get_all_studies()

    return Place(storage, str(path), file.close, batch=batch)


def _open_database(url: str) -> Place:
    shown = show_url(url)
    scheme, _, rest = fill_url(url).partition("://")
    kind, _, driver = scheme.partition("+")
    driver = driver or DRIVERS[kind]
    if importlib.util.find_spec(driver) is None:
        if driver == "psycopg2":
            raise MissingPackageError("psycopg2-binary", extra="postgresql")
        raise StoreError(f"{shown} needs the package {driver!r}", hint=f"pip install {driver}")
    kind = "postgresql" if kind == "postgres" else kind
    database = _connect(f"{kind}+{driver}://{rest}", shown)
    last_mono_s = -math.inf

    def let_go() -> None:
        nonlocal last_mono_s
        now_mono_s = SYSTEM_CLOCK.mono_s()
        if now_mono_s - last_mono_s > IDLE_S:
            database.engine.dispose()
        last_mono_s = now_mono_s

    # With what it has read in memory: finished trials do not change.
    storage: Any = optuna.storages.get_storage(database)
    return Place(storage, shown, database.engine.dispose, rest=let_go)


def _connect(address: str, shown: str) -> Any:
    import sqlalchemy.exc  # noqa: PLC0415 - comes with Optuna, and takes its time

    for turn in range(TABLE_TRIES):
        try:
            return optuna.storages.RDBStorage(
                address, engine_kwargs={"pool_size": 1, "max_overflow": 1, "pool_pre_ping": True}
            )
        except (sqlalchemy.exc.ProgrammingError, sqlalchemy.exc.IntegrityError) as error:
            if turn == TABLE_TRIES - 1:
                raise StoreError(f"cannot use {shown}: {first_line(error)}") from None
            time.sleep(TABLE_WAIT_S)
        except (sqlalchemy.exc.SQLAlchemyError, ValueError, RuntimeError) as error:
            raise StoreError(
                f"cannot use {shown}: {first_line(error)}",
                hint="the server must run there, and the database exist",
            ) from None
    raise AssertionError  # the last turn returns or raises


def _open_grpc(url: str) -> Place:
    shown = show_url(url)
    if importlib.util.find_spec("grpc") is None:
        raise MissingPackageError("grpcio", extra="grpc")
    try:
        parts = urlsplit(fill_url(url))
        host, port = parts.hostname or "localhost", parts.port or GRPC_PORT
    except ValueError as error:
        raise UsageError(f"storage {shown!r}: {error}") from None
    proxy = optuna.storages.GrpcStorageProxy(host=host, port=port)
    try:
        proxy.wait_server_ready(timeout=READY_TIMEOUT_S)
    except ConnectionError:
        proxy.close()
        raise StoreError(
            f"{shown} does not answer", hint="start optuna.storages.run_grpc_proxy_server there"
        ) from None
    return Place(proxy, shown, proxy.close)


def first_line(error: BaseException) -> str:
    """Return what an error says, without SQL and addresses of web pages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
