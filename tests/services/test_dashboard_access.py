"""Who reaches the dashboard on a login node: other users, tunnels, proxies, other sites."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import wait_for
from tests.services import sshd as private_sshd
from tests.services.dashboards import START, ask, connect_unix, serving
from tests.services.nginx import is_open, running_nginx
from tests.services.sshd import Sshd, find_free_port
from tests.stores import write_run

NOBODY = 65534

sshd = private_sshd.sshd
"""The fixture."""


@pytest.fixture
def store() -> Iterator[Path]:
    """A store with one run, in a folder that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="dash-"))
    folder.chmod(0o755)
    write_run(folder / "store", run="secret")
    yield folder / "store"
    shutil.rmtree(folder, ignore_errors=True)


def is_root() -> bool:
    return os.getuid() == 0


@contextmanager
def other_user() -> Iterator[None]:
    """Be somebody else for a while: what is asked of the kernel then counts as theirs."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def test_the_socket_needs_no_token_and_lies_in_a_private_folder(store: Path) -> None:
    with serving(store) as command:
        path = Path(command.facts["unix"])
        assert path.parent.stat().st_mode & 0o077 == 0
        assert path.stat().st_mode & 0o077 == 0
        status, body = command.get("/api/v1/projects")
        assert status == 200
        assert '"p"' in body
        assert command.get("/", Host="evil.example:8091")[0] == 421
        assert command.get("/", Host="localhost:8091.evil.example")[0] == 421
    assert not path.exists()


@pytest.mark.skipif(not is_root(), reason="only root can be somebody else")
def test_another_user_of_the_node_reaches_nothing(store: Path) -> None:
    with serving(store) as command:
        path = command.facts["unix"]
        with other_user(), pytest.raises(PermissionError):
            connect_unix(path)
        # Even where an administrator has opened folder and socket, the kernel says who is there.
        for folder in list(Path(path).parents)[:-2]:
            folder.chmod(0o755)
        Path(path).chmod(0o666)
        with other_user():
            peer = connect_unix(path)
        status, body = ask(peer, "/api/v1/projects", headers={"Host": "localhost:8091"})
        assert status == 403
        assert "secret" not in body


def test_a_port_is_open_to_everybody_and_tells_nothing_without_the_token(store: Path) -> None:
    with serving(store, "--port", "0") as command:
        for headers in ({"Authorization": ""}, {"Authorization": "Bearer guess"}):
            status, body = command.get("/", **headers)
            assert status == 403
            assert command.token not in body
        assert command.get("/api/v1/projects")[0] == 200
        assert command.host.startswith("hpctrack-")
        assert ".localhost:" in command.host, "cookies ignore ports: no neighbour gets this one"


@pytest.mark.parametrize("form", ["/ws", "/autoload.js", "/metadata", "/static/js/bokeh.min.js"])
def test_there_is_no_bokeh_session_to_open_forge_or_steal(store: Path, form: str) -> None:
    with serving(store) as command:
        assert command.get(form)[0] == 404
        assert command.get(f"{form}?bokeh-session-id=chosen", Bokeh_Session_Id="x")[0] == 404


def test_no_other_site_can_change_anything_through_a_tunnel(store: Path) -> None:
    """A form of another site needs no cookie behind a socket: the tunnel is the identity."""
    with serving(store) as command:
        for headers in (
            {},
            {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"},
            {"Sec_Fetch_Site": "same-site", "X_Hpctrack": "1"},
            {"Sec_Fetch_Site": "cross-site", "X_Hpctrack": "1"},
        ):
            assert command.get("/api/v1/projects", method="POST", **headers)[0] == 403
        fetched = command.get(
            "/api/v1/projects", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="cors"
        )
        assert fetched[0] == 403


@pytest.mark.ssh
def test_ssh_leads_to_the_socket(store: Path, sshd: Sshd) -> None:
    port = find_free_port()
    with serving(store) as command:
        ssh = subprocess.Popen(
            [
                "ssh", "-N", "-L", f"{port}:{command.facts['unix']}", "-p", str(sshd.port),
                "-i", str(sshd.identity), "-o", f"UserKnownHostsFile={sshd.known_hosts}",
                "-o", "BatchMode=yes", "-F", "none", f"{sshd.user}@127.0.0.1",
            ],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            wait_for(lambda: is_open(port))
            peer = socket.create_connection(("127.0.0.1", port), timeout=180)
            status, body = ask(peer, "/p/p/runs", headers={"Host": f"localhost:{port}"})
            assert status == 200
            assert "secret" in body
        finally:
            ssh.terminate()
            ssh.communicate(timeout=180)


def test_two_dashboards_do_not_take_each_others_socket(store: Path) -> None:
    with serving(store) as command:
        second = subprocess.run(
            [*command.process.args[:3], "--store", str(store)],  # type: ignore[index]
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip
        assert second.returncode != 0
        assert "already" in second.stderr
        assert command.get("/healthz")[0] == 200


def test_a_socket_that_a_killed_dashboard_left_is_taken(store: Path) -> None:
    with serving(store) as command:
        path = Path(command.facts["unix"])
    path.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.exists()
    with serving(store) as again:
        assert again.get("/healthz")[0] == 200


def test_several_processes_share_a_socket_and_one_that_falls_is_started_again(store: Path) -> None:
    with serving(store, "--processes", "2") as command:
        wait_for(lambda: len(list_children(command.process.pid)) == 2)
        members = list_children(command.process.pid)
        assert {command.get("/p/p/runs")[0] for _ in range(20)} == {200}
        os.kill(members[0], signal.SIGKILL)
        wait_for(lambda: list_children(command.process.pid) not in (members, members[1:]))
        assert {command.get("/api/v1/projects")[0] for _ in range(10)} == {200}
    wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in members))


def list_children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return sorted(int(one) for one in text.split())


@pytest.mark.nginx
def test_pages_keep_to_the_prefix_of_a_proxy(store: Path, program: Callable[[str], str]) -> None:
    nginx = program("nginx")
    arguments = ("--port", "0", "--prefix", "/track", "--host", "portal.example.org")
    with (
        serving(store, *arguments) as command,
        running_nginx(nginx, command.facts["port"]) as port,
    ):

        def get(path: str, **headers: str) -> tuple[int, str]:
            peer = socket.create_connection(("127.0.0.1", port), timeout=180)
            given = {"Host": "portal.example.org", "Authorization": f"Bearer {command.token}"}
            return ask(peer, path, headers={**given, **headers})

        status, body = get("/track/p/p/runs")
        assert status == 200
        links = [one.partition('"')[0] for one in body.split('href="')[1:]]
        links += [one.partition('"')[0] for one in body.split('src="')[1:]]
        assert links
        for link in links:
            assert link.startswith(("/track/", "#", "?")), link
        for link in {one for one in links if one.startswith("/track/assets/")}:
            assert get(link)[0] == 200, link
        assert get("/track/p/p/runs", Host="evil.example")[0] == 421
        assert get("/track/", Authorization="")[0] == 403


def test_no_process_outlives_the_one_that_started_it(store: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", START, "--store", str(store), "--json", "--processes", "2"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    wait_for(lambda: len(list_children(process.pid)) == 2)
    members = list_children(process.pid)
    process.kill()
    process.wait()
    wait_for(lambda: not any(Path(f"/proc/{one}").exists() for one in members))
