"""The socket of live pages on a login node: other sites, other users, proxies, processes."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.services.dashboards import Command, ask, connect_unix, serving
from tests.services.nginx import UPGRADE, running_nginx
from tests.services.test_dashboard_access import is_root, other_user
from tests.stores import NodeWriter
from tests.websocket import RefusedError, WebSocket

PATH = "/api/v1/socket"
EVENTS = "/api/v1/runs/p/live/events"
TUNNEL = "localhost:8091"

FRESH_S = 3600.0
"""A run whose last sign of life is old counts as lost: a busy machine takes its time."""


@pytest.fixture
def writer() -> Iterator[NodeWriter]:
    """A run that goes on, in a folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="dash-"))
    folder.chmod(0o755)
    made = NodeWriter(folder / "store", run="live", wall_s=time.time() + FRESH_S)
    made.start(0)
    made.flush()
    yield made
    made.close()
    shutil.rmtree(folder, ignore_errors=True)


def open_socket(peer: socket.socket, host: str, path: str = PATH, **headers: str) -> WebSocket:
    given = {"Host": host, "Origin": f"http://{host}"}
    given.update({name.replace("_", "-"): value for name, value in headers.items()})
    return WebSocket(peer, path, given)


def find_cookie(command: Command) -> str:
    """Return the cookie that a browser gets for the token."""
    peer = command.connect()
    request = f"GET /?token={command.token} HTTP/1.1\r\nHost: {command.host}\r\n\r\n"
    peer.sendall(request.encode())
    with peer, peer.makefile("rb") as answer:
        while line := answer.readline().strip().decode():
            if line.startswith("Set-Cookie: "):
                return line.removeprefix("Set-Cookie: ").partition(";")[0]
    pytest.fail("no cookie")


def hears_of_the_run(page: WebSocket, prefix: str = "") -> bool:
    assert page.hear() == {"event": "open"}
    page.say({"listen": prefix + EVENTS, "id": 1})
    name, said = page.hear_of(1)
    return (name, said["live"]) == ("change", True)


def test_no_other_site_opens_a_socket_through_a_tunnel(writer: NodeWriter) -> None:
    """Behind a Unix socket the tunnel is the identity: only the Origin tells sites apart."""
    with serving(writer.store) as command:
        path = command.facts["unix"]
        for headers, status in (
            ({"Origin": "https://evil.example"}, 403),
            ({"Origin": "http://localhost:9000"}, 403),
            ({"Origin": "http://localhost"}, 403),
            ({"Origin": "null"}, 403),
            ({"Origin": ""}, 403),
            ({"Sec_Fetch_Site": "cross-site"}, 403),
            ({"Host": "evil.example:8091", "Origin": "http://evil.example:8091"}, 421),
        ):
            with pytest.raises(RefusedError) as refused:
                open_socket(connect_unix(path), TUNNEL, **headers)
            assert refused.value.status == status, headers
        with open_socket(connect_unix(path), TUNNEL) as page:
            assert hears_of_the_run(page)


@pytest.mark.skipif(not is_root(), reason="only root can be somebody else")
def test_another_user_of_the_node_opens_no_socket(writer: NodeWriter) -> None:
    with serving(writer.store) as command:
        path = command.facts["unix"]
        for folder in list(Path(path).parents)[:-2]:
            folder.chmod(0o755)
        Path(path).chmod(0o666)
        with other_user():
            peer = connect_unix(path)
        with pytest.raises(RefusedError) as refused:
            open_socket(peer, TUNNEL)
        assert refused.value.status == 403


def test_the_cookie_of_another_users_dashboard_opens_no_socket(writer: NodeWriter) -> None:
    store = writer.store
    with serving(store, "--port", "0") as mine, serving(store, "--port", "0") as theirs:
        for cookie in ("", "hpctrack=guess", find_cookie(theirs)):
            with pytest.raises(RefusedError) as refused:
                open_socket(mine.connect(), mine.host, Cookie=cookie)
            assert refused.value.status == 403
        cookie, there = find_cookie(mine), f"http://{theirs.host}"
        with pytest.raises(RefusedError):  # their page in my browser, which sends my cookie along
            open_socket(mine.connect(), mine.host, Cookie=cookie, Origin=there)
        with open_socket(mine.connect(), mine.host, Cookie=cookie) as page:
            assert hears_of_the_run(page)


@pytest.mark.nginx
@pytest.mark.parametrize("lines", [UPGRADE, ""])
def test_a_socket_passes_a_proxy_that_lets_it_and_streams_pass_all(
    writer: NodeWriter, program: Callable[[str], str], lines: str
) -> None:
    nginx, portal = program("nginx"), "portal.example.org"
    arguments = ("--port", "0", "--prefix", "/track", "--host", portal)
    with (
        serving(writer.store, *arguments) as command,
        running_nginx(nginx, command.facts["port"], more=lines) as port,
    ):
        token = f"Bearer {command.token}"
        place = f"/track{PATH}"

        def connect() -> socket.socket:
            return socket.create_connection(("127.0.0.1", port), timeout=180)

        if lines:
            with open_socket(connect(), portal, place, Authorization=token) as page:
                assert hears_of_the_run(page, "/track")
                page.say({"listen": EVENTS, "id": 2})
                assert page.hear_of(2)[0] == "error", "without the prefix it is no address of ours"
            for origin in ("http://evil.example", "http://127.0.0.1", f"http://{portal}:81"):
                with pytest.raises(RefusedError) as refused:
                    open_socket(connect(), portal, place, Authorization=token, Origin=origin)
                assert refused.value.status == 403
        else:
            with pytest.raises(RefusedError) as refused:
                open_socket(connect(), portal, place, Authorization=token)
            assert refused.value.status == 400
        headers = {"Host": portal, "Authorization": token}
        writer.end(0, 0)
        writer.flush()
        assert ask(connect(), "/track/p/p/runs/live", headers=headers)[0] == 200
        with connect() as peer, peer.makefile("rb") as stream:
            lines_sent = [f"GET /track{EVENTS} HTTP/1.1"]
            lines_sent += [f"{name}: {value}" for name, value in headers.items()]
            peer.sendall("\r\n".join([*lines_sent, "", ""]).encode())
            while b"event: change" not in stream.readline():
                pass


def test_sockets_of_several_processes_hear_and_are_closed_at_the_end(writer: NodeWriter) -> None:
    with serving(writer.store, "--processes", "2") as command:
        pages = [open_socket(connect_unix(command.facts["unix"]), TUNNEL) for _ in range(8)]
        assert all(hears_of_the_run(page) for page in pages)
        writer.points("loss", 0, [0], [1.0])
        writer.flush()
        for page in pages:
            while page.hear_of(1)[1]["changed"] != ["loss"]:
                pass
    # The server has not waited for long: these pages say goodbye only now.
    for page in pages:
        with page:
            while page.hear() is not None:
                pass
            assert page.close_code == 1001
