"""Where a study lies: a journal in the sweep's folder, or a database by URL."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import optuna
from optuna.storages import BaseStorage
from optuna.storages.journal import JournalStorage

from hpctrack.errors import MissingPackageError, StoreError, UsageError
from hpctrack.sweeps.search.journal import JournalFile
from hpctrack.sweeps.sweep import Sweep

POSTGRES_SCHEMES = frozenset({"postgresql", "postgres", "postgresql+psycopg2"})
GRPC_SCHEME = "grpc"
GRPC_PORT = 13000
"""Optuna's own."""

READY_TIMEOUT_S = 30.0
"""A proxy that does not answer by then is not there."""


@dataclass(frozen=True, slots=True)
class Place:
    """An open storage.

    Parameters
    ----------
    storage : BaseStorage
        Optuna's.
    batch : callable
        Returns a context in which several changes become one write, where that is possible.
    close : callable
        Lets go of it.
    shown : str
        What messages call it; without a password.
    """

    storage: BaseStorage
    batch: Callable[[], AbstractContextManager[None]]
    close: Callable[[], None]
    shown: str


def open_place(sweep: Sweep) -> Place:
    """Open the storage of a sweep.

    Raises
    ------
    UsageError
        The URL means nothing.
    MissingPackageError
        The driver is not installed.
    StoreError
        It cannot be reached.
    """
    url = sweep.file.storage
    if not url:
        return _open_journal(sweep)
    scheme = url.partition("://")[0]
    if scheme in POSTGRES_SCHEMES:
        return _open_postgres(url)
    if scheme == GRPC_SCHEME:
        return _open_grpc(url)
    raise UsageError(
        f"storage {show_url(url)!r} is of no known kind",
        hint="give postgresql://USER@HOST/DATABASE or grpc://HOST:PORT, or leave it out",
    )


def show_url(url: str) -> str:
    """Return a URL without its password."""
    head, mark, tail = url.partition("://")
    before, at, host = tail.rpartition("@")
    user, colon, _ = before.partition(":")
    return f"{head}{mark}{user}{':***' if colon else ''}{at}{host}"


def _open_journal(sweep: Sweep) -> Place:
    path = sweep.folder.journal
    file = JournalFile(path)
    return Place(JournalStorage(file), file.batch, file.close, str(path))


def _open_postgres(url: str) -> Place:
    shown = show_url(url)
    try:
        import psycopg2  # noqa: F401, PLC0415 - an extra
        import sqlalchemy  # noqa: PLC0415 - comes with Optuna
    except ImportError:
        raise MissingPackageError("psycopg2", extra="postgresql") from None
    address = f"postgresql+psycopg2://{url.partition('://')[2]}"
    try:
        # A worker does one thing at a time; thousands of them share a server's connections.
        database = optuna.storages.RDBStorage(
            address,
            engine_kwargs={"pool_size": 1, "max_overflow": 1, "pool_pre_ping": True},
            skip_table_creation=False,
        )
    except (sqlalchemy.exc.SQLAlchemyError, ValueError, RuntimeError) as error:
        raise StoreError(
            f"cannot use {shown}: {first_line(error)}",
            hint="the server must run, and the database exist",
        ) from None

    def close() -> None:
        with suppress(Exception):
            database.engine.dispose()

    storage: Any = optuna.storages.get_storage(database)
    return Place(storage, nullcontext, close, shown)


def _open_grpc(url: str) -> Place:
    shown = show_url(url)
    try:
        import grpc  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise MissingPackageError("grpcio", extra="grpc") from None
    parts = urlsplit(url)
    try:
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
    return Place(proxy, nullcontext, proxy.close, shown)


def first_line(error: BaseException) -> str:
    """Return what an error says, without SQL and addresses of web pages."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
