"""One suite for every carrier: bytes in two directions, the end, and what becomes of the command.

Protocol and stores play no part: the other side is ``carrier_peer.py``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from hpctrack.errors import ConnectError
from hpctrack.sync.carriers.choice import PendingTransport
from hpctrack.sync.carriers.transport import ConnectOptions, Transport
from tests.programs import wait_for
from tests.services import sshd as private_sshd
from tests.services.carrier_peer import GREETING, SIZE_BYTES, STATUS
from tests.services.carriers import (
    KINDS,
    TIMEOUT_S,
    Route,
    make_route,
    peer_command,
    read_all,
    read_exactly,
    shared_connection,
)
from tests.services.sshd import Sshd, running

pytestmark = pytest.mark.ssh

sshd = private_sshd.sshd
"""The fixture."""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Sshd]:
    """A second sshd: the machine on the way."""
    with running() as found:
        yield found


@pytest.fixture(scope="module", params=KINDS)
def route(request: pytest.FixtureRequest, sshd: Sshd, gateway: Sshd) -> Iterator[Route]:
    """A way to a peer, of each kind."""
    folder = Path(tempfile.mkdtemp(prefix="c-"))
    try:
        found = make_route(request.param, sshd, gateway, folder)
        with contextlib.ExitStack() as stack:
            if request.param == "ssh-shared":
                stack.enter_context(shared_connection(folder / "ssh_config"))
            yield found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_it_says_what_it_is(route: Route) -> None:
    with route.start("echo") as transport:
        assert transport.peer
        assert read_exactly(transport, len(GREETING)) == GREETING


def test_it_can_be_opened_beside_other_work(route: Route, tmp_path: Path) -> None:
    file = tmp_path / "peer"
    options = {"remote_command": peer_command(f"mark:{file}"), **route.options}
    pending = PendingTransport(route.remote, ConnectOptions(**options))
    with closing(pending.result()) as transport:
        assert read_exactly(transport, len(GREETING)) == GREETING
    wait_for(Path(f"{file}.ended").exists)
    # Nobody wants it any more: it is closed as soon as it is there.
    file.unlink()
    left = PendingTransport(route.remote, ConnectOptions(**options))
    left.close()
    left.result()
    wait_for(lambda: not is_running(file))


def is_running(file: Path) -> bool:
    """Tell whether a peer that was to leave its number in a file is running."""
    if not file.exists() or not file.read_text():
        return False
    return Path("/proc", file.read_text().splitlines()[0]).exists()


def test_bytes_go_there_and_back(route: Route) -> None:
    with route.start("echo") as transport:
        transport.write(b"one")  # before anything was heard: nobody has to wait for a greeting
        assert read_exactly(transport, len(GREETING) + 3) == GREETING + b"one"
        for piece in (b"\0\r\n~.\x03\x04\xff", os.urandom(100_000)):
            transport.write(piece)
            assert read_exactly(transport, len(piece)) == piece


def test_two_sides_that_both_say_5_mb_first_do_not_wait_for_each_other(route: Route) -> None:
    words = os.urandom(SIZE_BYTES)
    with route.start("shout") as transport:
        transport.write(words)
        assert read_exactly(transport, SIZE_BYTES) == bytes(range(250)) * (SIZE_BYTES // 250)
        assert read_all(transport).decode() == hashlib.sha256(words).hexdigest()
        assert transport.wait(TIMEOUT_S) == 0


def test_poll_tells_whether_there_is_something(route: Route) -> None:
    with route.start("echo") as transport:
        assert transport.poll(TIMEOUT_S)
        assert read_exactly(transport, len(GREETING)) == GREETING
        assert not transport.poll(0)
        started = time.monotonic()
        assert not transport.poll(0.2)
        assert time.monotonic() - started >= 0.15
        transport.write(b"ab")
        assert transport.poll(TIMEOUT_S)
        assert transport.read(1, timeout_s=TIMEOUT_S) == b"a"
        assert transport.poll(TIMEOUT_S)
        assert read_exactly(transport, 1) == b"b"
    with route.start("nothing") as transport:
        assert transport.poll(TIMEOUT_S)  # the end is something too
        assert transport.read(1, timeout_s=TIMEOUT_S) == b""


def test_a_peer_that_says_nothing_is_a_timeout(route: Route) -> None:
    with route.start("echo") as transport:
        read_exactly(transport, len(GREETING))
        with pytest.raises(TimeoutError):
            transport.read(1, timeout_s=0.1)


def test_the_exit_status_comes_after_the_end(route: Route, tmp_path: Path) -> None:
    with route.start("nothing") as transport:
        assert read_all(transport) == b""
        assert transport.wait(TIMEOUT_S) == 0
    with route.start("nothing", remote_command=f"exit {STATUS};") as transport:
        assert read_all(transport) == b""
        assert transport.wait(TIMEOUT_S) == STATUS
    file = tmp_path / "peer"
    with route.start(f"echo:{file}") as transport:
        read_exactly(transport, len(GREETING))
        assert transport.wait(0.05) is None
    assert "['receive', '--store', " in file.read_text()


def test_what_is_printed_is_kept_and_never_stops_the_stream(route: Route) -> None:
    with route.start("complain") as transport:
        transport.write(b"on")
        assert read_exactly(transport, len(GREETING) + 2) == GREETING + b"on"
        wait_for(lambda: "last words" in transport.read_stderr())
        assert len(transport.read_stderr()) <= 8192


def test_a_command_that_is_not_there_ends_with_127(route: Route) -> None:
    with route.start("", remote_command="hpctrack-is-not-here") as transport:
        assert read_all(transport) == b""
        assert transport.wait(TIMEOUT_S) == 127
        assert "not found" in transport.read_stderr()


def test_a_chatty_login_script_is_heard_first(route: Route) -> None:
    command = f"echo Welcome; {peer_command('echo')}"
    with route.start("", remote_command=command) as transport:
        assert read_exactly(transport, 8) == b"Welcome\n"


def test_a_peer_that_is_killed_is_an_end_without_success(route: Route) -> None:
    with route.start("die") as transport:
        assert read_exactly(transport, len(GREETING)) == GREETING
        with contextlib.suppress(ConnectionError):
            assert transport.read(1, timeout_s=TIMEOUT_S) == b""
        assert transport.wait(TIMEOUT_S) != 0


def test_writing_to_a_peer_that_has_gone_is_a_lost_connection(route: Route) -> None:
    with route.start("nothing") as transport:
        assert read_all(transport) == b""
        with pytest.raises(ConnectionError):
            write_on(transport)


def write_on(transport: Transport) -> None:
    for _number in range(100):
        transport.write(bytes(100_000))
        time.sleep(0.01)


def test_closing_ends_the_peers_input(route: Route, tmp_path: Path) -> None:
    file = tmp_path / "peer"
    with route.start(f"mark:{file}") as transport:
        read_exactly(transport, len(GREETING))
        transport.close()
        transport.close()
    wait_for(Path(f"{file}.ended").exists)


def test_a_connection_that_is_cut_is_no_end(route: Route, tmp_path: Path) -> None:
    if route.carrier == "local" or "ControlPath" in route.options["ssh_config"].read_text():
        return  # there is nothing between the two; cutting a shared one cuts the other tests'
    file = tmp_path / "peer"
    with route.start(f"wait:{file}") as transport:
        read_exactly(transport, len(GREETING))
        server = find_server(int(file.read_text().splitlines()[0]))
        os.kill(server, signal.SIGKILL)
        with pytest.raises(ConnectionError):
            transport.read(1, timeout_s=TIMEOUT_S)
        os.kill(int(file.read_text().splitlines()[0]), signal.SIGKILL)


def find_server(pid: int) -> int:
    """Return the process of sshd that holds the connection of a peer."""
    while True:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pid = int(fields[1])
        if "sshd" in Path(f"/proc/{pid}/comm").read_text():
            return pid


def test_the_machine_on_the_way_is_used(sshd: Sshd, gateway: Sshd, tmp_path: Path) -> None:
    for kind in ("paramiko-jump", "ssh-jump"):
        before = gateway.read_log().count("Accepted publickey")
        with make_route(kind, sshd, gateway, tmp_path).start("echo") as transport:
            assert read_exactly(transport, len(GREETING)) == GREETING
        wait_for(partial(has_logins, gateway, before + 1))


def has_logins(sshd: Sshd, count: int) -> bool:
    return sshd.read_log().count("Accepted publickey") == count


def test_a_machine_on_the_way_that_cannot_reach_the_other_is_told(
    sshd: Sshd, tmp_path: Path
) -> None:
    with running("AllowTcpForwarding no") as closed:
        for kind in ("paramiko-jump", "ssh-jump"):
            route = make_route(kind, sshd, closed, tmp_path)
            with pytest.raises(ConnectError), route.start("echo") as transport:
                transport.read(1, timeout_s=TIMEOUT_S)


def test_a_server_that_allows_no_session_is_told(sshd: Sshd, tmp_path: Path) -> None:
    del sshd
    with running("MaxSessions 0") as closed:
        for kind in ("paramiko", "ssh"):
            route = make_route(kind, closed, closed, tmp_path)
            with pytest.raises(ConnectError), route.start("echo") as transport:
                transport.read(1, timeout_s=TIMEOUT_S)


@pytest.mark.parametrize("kind", ["paramiko", "ssh"])
def test_new_keys_in_mid_transfer_do_not_stop_it(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server asks for them after every MiB, and this side too.
    monkeypatch.setattr("hpctrack.sync.carriers.paramiko.session.REKEY_BYTES", 2**20)
    words = os.urandom(SIZE_BYTES)
    with running("RekeyLimit 1M") as server:
        with make_route(kind, server, server, tmp_path).start("shout") as transport:
            transport.write(words)
            assert read_exactly(transport, SIZE_BYTES) == bytes(range(250)) * (SIZE_BYTES // 250)
            assert read_all(transport).decode() == hashlib.sha256(words).hexdigest()
        assert server.read_log().count("Accepted publickey") == 1
