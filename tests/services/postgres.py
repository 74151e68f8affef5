"""A private PostgreSQL on loopback for tests marked ``postgres``.

It is Debian's, run by an ordinary user (``nobody`` for root, whom it refuses), in a folder of its
own. Nothing of a server that the machine may have is read or changed.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote

import pytest

from tests.capabilities import find_postgres

START_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 180.0
START_ATTEMPTS: Final = 5
"""Between finding a free port and the server's bind another process may take it."""

USER: Final = "sweeper"
PASSWORD: Final = "p@ss:w/rd"  # noqa: S105 - of a server that lives for a test
"""With characters that a URL must quote."""


class Postgres:
    """A server; use it as a context.

    Parameters
    ----------
    is_durable : bool
        Wait for the disk at each commit, as servers do; tests need not.
    connections : int
        As many clients at a time.

    Attributes
    ----------
    port : int
        On loopback.
    """

    def __init__(self, *, is_durable: bool = False, connections: int = 100) -> None:
        self._programs = Path(find_postgres() or "")
        self._is_durable = is_durable
        self._connections = connections
        self._folder = Path()
        self._server: subprocess.Popen[bytes] | None = None
        self._made = 0
        self.port = 0

    def __enter__(self) -> Self:
        """Make a cluster of databases and start the server."""
        self._folder = Path(tempfile.mkdtemp(prefix="ht-pg-"))
        if os.getuid() == 0:
            shutil.chown(self._folder, "nobody", "nogroup")
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if os.getuid() == 0:
            shutil.chown(secret, "nobody", "nogroup")
        self._call(
            "initdb", "--no-sync", "--no-instructions", "-D", "data", "-U", USER,
            "--auth=scram-sha-256", f"--pwfile={secret}", "--locale=C", "--encoding=UTF8",
        )  # fmt: skip
        for attempt in range(START_ATTEMPTS):
            self.port = find_free_port()
            if self._start():
                return self
            assert attempt < START_ATTEMPTS - 1, self.read_log()
        raise AssertionError

    def __exit__(self, *_: object) -> None:
        """Stop it and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database."""
        secret = quote(PASSWORD, safe="")
        return f"postgresql://{USER}:{secret}@127.0.0.1:{self.port}/{database}"

    def make_database(self) -> str:
        """Make an empty database, and return its URL."""
        self._made += 1
        name = f"study_{self._made}"
        self._call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name)
        return self.url(name)

    def stop(self, signal_number: int = signal.SIGINT) -> None:
        """End the server; clients are cut off. SIGQUIT leaves out what a next start would need."""
        if self._server is not None and self._server.poll() is None:
            self._server.send_signal(signal_number)
            try:
                self._server.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._server.kill()
                self._server.wait()
        self._server = None

    def start_again(self) -> None:
        """Start it again on its port."""
        assert self._start(), self.read_log()

    def read_log(self) -> str:
        """Return what it has said."""
        path = self._folder / "log"
        return path.read_text() if path.exists() else ""

    def _start(self) -> bool:
        options = [] if self._is_durable else ["-F"]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                self._as_user(
                    "postgres", "-D", "data", "-h", "127.0.0.1", "-p", str(self.port),
                    "-k", str(self._folder), "-N", str(self._connections), *options,
                ),
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )  # fmt: skip
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self._server.poll() is None:
            if self._is_ready():
                return True
            time.sleep(0.05)
        self.stop()
        return False

    def _is_ready(self) -> bool:
        words = self._as_user("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        return subprocess.run(words, cwd=self._folder, check=False).returncode == 0

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._as_user(program, *arguments),
            cwd=self._folder,
            env={**os.environ, "PGPASSWORD": PASSWORD},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _as_user(self, program: str, *arguments: str) -> Sequence[str]:
        words = [str(self._programs / program), *arguments]
        if os.getuid() != 0:
            return words
        return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *words]


def find_free_port() -> int:
    """Return a port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A running server."""
    with Postgres() as server:
        yield server
