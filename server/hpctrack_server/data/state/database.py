"""One database, opened when it is first needed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, insert, select
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, NoSuchModuleError, SQLAlchemyError

from hpctrack.errors import MissingPackageError, StoreError, StoreFormatError, UsageError
from hpctrack_server.data.state.place import is_local_folder
from hpctrack_server.data.state.tables import METADATA, SCHEMA, SCHEMA_VERSION

WAIT_S: Final = 5
"""For a lock of SQLite, or for a server that does not answer: then saving fails and says so."""

OPEN_TRIES: Final = 3
"""Two processes that start at once both make the tables; one of them sees the other's."""

PSYCOPG: Final = "postgresql+psycopg2"

HINT: Final = "the dashboard works without it; choose another place with --database"


class DatabaseError(StoreError):
    """What people have saved cannot be had now; the runs are not affected."""


class Database:
    """The dashboard's own database; everything here belongs on the thread for it.

    Parameters
    ----------
    place : str
        A file's path or a URL, such as ``postgresql://user@host/name``.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._engine: Engine | None = None

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """Give a connection in a transaction, which ends with the block.

        Raises
        ------
        DatabaseError
            It cannot be opened, read or written.
        StoreFormatError
            A newer hpctrack has made it.
        """
        try:
            engine = self._engine or self._open()
            with engine.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            message = f"the dashboard's database fails: {_first_line(error)}"
            raise DatabaseError(message, hint=HINT) from None
        except OSError as error:
            reason = error.strerror or type(error).__name__
            message = f"the dashboard's database cannot be opened: {reason}"
            raise DatabaseError(message, hint=HINT) from None

    def close(self) -> None:
        """Close all connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _open(self) -> Engine:
        url = _make_url(self._place)
        is_sqlite = url.get_backend_name() == "sqlite"
        engine = _make_sqlite(url) if is_sqlite else _make_server(url)
        for left in range(OPEN_TRIES - 1, -1, -1):
            try:
                _make_tables(engine)
                break
            except SQLAlchemyError:
                if not left:
                    engine.dispose()
                    raise
        self._engine = engine
        return engine


def _make_url(place: str) -> URL:
    if "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().absolute()))
    try:
        url = make_url(place)
        # The driver that sweeps use; SQLAlchemy 2.1 would take another one.
        return url.set(drivername=PSYCOPG) if url.drivername == "postgresql" else url
    except ArgumentError:
        raise UsageError("--database is no URL", hint="postgresql://user@host/name") from None


def _make_sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Before SQLite makes it with whatever the umask leaves open; its -wal inherits the mode.
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    engine = create_engine(url, connect_args={"timeout": WAIT_S})
    mounts = Path("/proc/self/mounts")
    text = mounts.read_text("utf-8", "replace") if mounts.exists() else ""
    is_local = is_local_folder(path.parent.resolve(), text)
    modes = ("WAL", "NORMAL") if is_local else ("DELETE", "FULL")

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute(f"PRAGMA journal_mode={modes[0]}")
        connection.execute(f"PRAGMA synchronous={modes[1]}")

    return engine


def _make_server(url: URL) -> Engine:
    try:
        options = {"connect_timeout": WAIT_S} if url.get_backend_name() == "postgresql" else {}
        return create_engine(url, connect_args=options, pool_pre_ping=True, pool_size=1)
    except ModuleNotFoundError as error:
        missing = (error.name or str(error)).partition(".")[0]
        raise MissingPackageError(missing, extra="postgresql") from None
    except NoSuchModuleError:
        message = f"--database: {url.get_backend_name()!r} is not known"
        raise UsageError(message, hint="sqlite or postgresql") from None


def _make_tables(engine: Engine) -> None:
    METADATA.create_all(engine)
    with engine.begin() as connection:
        found = connection.execute(select(SCHEMA.c.version)).scalars().all()
    if not found:
        with contextlib.suppress(IntegrityError), engine.begin() as connection:
            connection.execute(insert(SCHEMA).values(version=SCHEMA_VERSION))
        return
    if max(found) > SCHEMA_VERSION:
        engine.dispose()
        raise StoreFormatError(
            f"the dashboard's database has schema {max(found)}, we know {SCHEMA_VERSION}",
            hint="update hpctrack, or choose another place with --database",
        )


def _first_line(error: SQLAlchemyError) -> str:
    """Return the driver's own words, without the statement and its values."""
    cause = getattr(error, "orig", None) or error
    return (str(cause).strip() or type(cause).__name__).splitlines()[0][:200]
