"""A dashboard as its command starts it, asked over a Unix socket or a port."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START = "import sys; from hpctrack_server.main import server; server()"
TIMEOUT_S = 180.0


@dataclass
class Command:
    """The running command."""

    process: subprocess.Popen[str]
    facts: dict[str, Any]

    @property
    def host(self) -> str:
        """Name and port of its address."""
        return str(self.facts["url"]).removeprefix("http://").partition("/")[0]

    @property
    def token(self) -> str:
        return str(self.facts["url"]).partition("token=")[2]

    def get(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
        """Ask it; the token is given unless the headers say otherwise."""
        given = {"Host": self.host}
        if self.token:
            given["Authorization"] = f"Bearer {self.token}"
        given.update({name.replace("_", "-"): value for name, value in headers.items()})
        return ask(self.connect(), path, method=method, headers=given)

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Change something as a page of ours does; return status and what it answers."""
        headers = {"Host": self.host, "Authorization": f"Bearer {self.token}", "X-Hpctrack": "1"}
        sent = json.dumps(body).encode()
        status, told = ask(self.connect(), path, method="POST", headers=headers, body=sent)
        return status, json.loads(told)

    def connect(self) -> socket.socket:
        if "unix" in self.facts:
            return connect_unix(self.facts["unix"])
        return socket.create_connection(("127.0.0.1", self.facts["port"]), timeout=TIMEOUT_S)


def connect_unix(path: str) -> socket.socket:
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(TIMEOUT_S)
    try:
        peer.connect(path)
    except OSError:
        peer.close()
        raise
    return peer


def ask(
    peer: socket.socket,
    path: str,
    *,
    headers: dict[str, str],
    method: str = "GET",
    body: bytes | None = None,
) -> tuple[int, str]:
    """Send one request over a connection; return status and body."""
    connection = http.client.HTTPConnection("unused")
    connection.sock = peer
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        if value:
            connection.putheader(name, value)
    if body is not None:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read().decode(errors="replace")
    finally:
        connection.close()


@contextmanager
def serving(store: Path, *arguments: str, **env: str) -> Iterator[Command]:
    """Run the command; it must end cleanly and without a word on standard error."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, "--store", str(store), "--json", *arguments],
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        line = process.stdout.readline()
        assert line, process.communicate(timeout=TIMEOUT_S)[1]
        yield Command(process, json.loads(line))
        process.send_signal(signal.SIGTERM)
        _output, errors = process.communicate(timeout=TIMEOUT_S)
        assert errors == ""
        assert process.returncode == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=TIMEOUT_S)
