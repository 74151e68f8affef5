"""``hpctrack server`` as people start it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hpctrack.errors import NotFoundError, UsageError
from hpctrack_server.listen import bind_loopback, bind_private
from hpctrack_server.main import server
from tests.stores import write_run

START = "import sys; from hpctrack_server.main import server; server()"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the command on a store with one run."""
    store = tmp_path / "store"
    write_run(store)
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", START, "--store", str(store), "--no-browser", *arguments],
            env={**os.environ, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate(timeout=180)


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.stderr.read() if process.stderr else ""
    return line


def ask(port: int, path: str, host: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=180)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders())


def test_json_names_the_address_and_sigterm_ends_it_cleanly(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start("--port", "0", "--json")
    facts = json.loads(read_line(process))
    name, _, rest = facts["url"].removeprefix("http://").partition(":")
    assert name.startswith("hpctrack-")
    assert name.endswith(".localhost")
    path = rest.removeprefix(str(facts["port"]))
    host = f"{name}:{facts['port']}"
    assert ask(facts["port"], "/", host)[0] == 403
    status, headers = ask(facts["port"], path, host)
    assert (status, headers["Location"]) == (303, "/")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=180)
    assert process.returncode == 0
    assert errors == ""
    assert output == ""


def test_people_get_one_line_with_the_url_and_the_ssh_line(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    process = start("--port", "0", HPCTRACK_TOKEN="secret-from-the-environment")  # noqa: S106
    first, second = read_line(process), read_line(process)
    assert "/?token=secret-from-the-environment" in first
    port = first.partition(".localhost:")[2].partition("/")[0]
    assert f"ssh -N -L {port}:127.0.0.1:{port} " in second
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=180)
    assert process.returncode == 0


def test_unix_socket_asks_the_kernel_who_is_there(
    start: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    path = Path(os.environ["HPCTRACK_RUNTIME_DIR"]) / "web" / "dash.sock"
    process = start("--unix", str(path), "--json")
    assert json.loads(read_line(process))["unix"] == str(path)
    assert path.parent.stat().st_mode & 0o077 == 0
    peer = socket.socket(socket.AF_UNIX)
    peer.settimeout(180)
    peer.connect(str(path))
    peer.sendall(b"GET /api/v1/projects HTTP/1.0\r\nHost: localhost:5555\r\n\r\n")
    assert peer.recv(1 << 16).startswith(b"HTTP/1.1 200")
    peer.close()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=180)
    assert not path.exists()


def test_socket_in_a_folder_for_everybody_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(UsageError, match="others can enter"):
        bind_private(folder / "s.sock")


def test_port_in_use_is_a_clear_error() -> None:
    sockets = bind_loopback(0)
    port = sockets[0].getsockname()[1]
    with pytest.raises(UsageError, match="in use"):
        bind_loopback(port)
    for one in sockets:
        one.close()


def test_missing_store_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no store"):
        server.main(
            ["--store", str(tmp_path / "none"), "--port", "0", "--no-browser"],
            standalone_mode=False,
        )


def test_weak_token_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="too weak"):
        server.main(
            ["--store", str(tmp_path), "--port", "0", "--token", "short"], standalone_mode=False
        )
    with pytest.raises(UsageError, match="--token is for --port"):
        server.main(["--store", str(tmp_path), "--token", "x" * 20], standalone_mode=False)


def test_help_has_an_example() -> None:
    context = server.make_context("server", [], resilient_parsing=True)
    assert "Examples:" in server.get_help(context)
