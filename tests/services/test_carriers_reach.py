"""What the SSH carriers say about machines that cannot be reached: all of it, and in time."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from hpctrack.errors import ConnectError
from hpctrack.sync.carriers.choice import open_transport
from hpctrack.sync.carriers.remote import SshRemote
from hpctrack.sync.carriers.transport import ConnectOptions
from tests.services.carriers import TIMEOUT_S
from tests.services.sshd import ROOT, find_free_port

pytestmark = pytest.mark.ssh

LIMIT_S: Final = 10.0
SLACK_S: Final = 20.0
"""For starting a program on a loaded machine."""


@pytest.fixture(params=["paramiko", "ssh"])
def carrier(request: pytest.FixtureRequest) -> str:
    """A carrier."""
    return str(request.param)


def reach(carrier: str, host: str, port: int, folder: Path, *lines: str) -> None:
    config = folder / "config"
    config.write_text("\n".join(("Host *", *lines, "")))
    options: Any = {"transport": carrier, "ssh_config": config, "batch": True}
    remote = SshRemote(host, "/store", "nobody", port)
    with closing(open_transport(remote, ConnectOptions(**options))) as transport:
        transport.read(1, timeout_s=TIMEOUT_S)


def test_a_refused_connection_is_told(carrier: str, tmp_path: Path) -> None:
    port = find_free_port()
    with pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}.*refused") as caught:
        reach(carrier, "127.0.0.1", port, tmp_path)
    assert "is sshd running there" in str(caught.value.hint)


@contextmanager
def listening(answer: bytes | None) -> Iterator[int]:
    """Listen, and answer every connection with some bytes, or with silence."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    found, _address = listener.accept()
                except OSError:
                    return
                taken.append(found)
                if answer is not None:
                    found.sendall(answer)
                    found.close()

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            for one in taken:
                one.close()


def test_something_else_than_sshd_is_told(carrier: str, tmp_path: Path) -> None:
    answer = b"HTTP/1.1 400 Bad Request\r\n\r\n"
    with listening(answer) as port, pytest.raises(ConnectError, match="does not speak SSH"):
        reach(carrier, "127.0.0.1", port, tmp_path)


def test_a_server_that_says_nothing_is_given_up(carrier: str, tmp_path: Path) -> None:
    started = time.monotonic()
    with listening(None) as port, pytest.raises(ConnectError, match="says nothing"):
        reach(carrier, "127.0.0.1", port, tmp_path, "ConnectTimeout 2")
    assert time.monotonic() - started < 2 + SLACK_S


def test_a_name_that_is_not_known_is_told(carrier: str, tmp_path: Path) -> None:
    with pytest.raises(ConnectError, match="name is not known"):
        reach(carrier, "no-such-host.invalid", 22, tmp_path)


# -- from a node without a way out ---------------------------------------------------------------

FROM_A_NODE = """
    import json, sys, time
    from contextlib import closing
    from pathlib import Path
    from hpctrack.errors import SyncError
    from hpctrack.sync.carriers.choice import open_transport
    from hpctrack.sync.carriers.remote import SshRemote
    from hpctrack.sync.carriers.transport import ConnectOptions
    started = time.monotonic()
    transport, host, config = sys.argv[1:]
    try:
        options = ConnectOptions(transport=transport, ssh_config=Path(config), batch=True)
        with closing(open_transport(SshRemote(host, "/store"), options)) as found:
            found.read(1, timeout_s=180)
        told = ["nothing", "", ""]
    except SyncError as error:
        told = [type(error).__name__, error.message, str(error.hint)]
    print(json.dumps([*told, time.monotonic() - started]))
"""

NO_ROUTE = "ip link set lo up; "
"""A compute node: the loopback, and nothing else."""

SWALLOWED = (
    "ip link set lo up; ip tuntap add dev way mode tun; ip addr add 10.99.0.1/24 dev way;"
    " ip link set way up; ip route add default dev way; "
)
"""A network whose firewall swallows every packet: connections and questions to name servers."""


def reach_from(network: str, carrier: str, host: str, folder: Path) -> tuple[str, str, str, float]:
    """Run a carrier in a network of its own."""
    if os.getuid() != 0:
        pytest.skip("only root may make networks")
    (folder / "config").touch()
    (folder / "resolv.conf").write_text("nameserver 10.99.0.53\n")
    mounted = f"mount --bind {folder}/resolv.conf /etc/resolv.conf; "
    code = textwrap.dedent(FROM_A_NODE)
    words = [sys.executable, "-c", code, carrier, host, str(folder / "config")]
    script = network + mounted + 'exec "$@"'
    done = subprocess.run(
        ["unshare", "-n", "-m", "--propagation", "private", "sh", "-c", script, "sh", *words],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.stdout, done.stderr
    kind, message, hint, took_s = json.loads(done.stdout)
    return str(kind), str(message), str(hint), float(took_s)


@pytest.mark.parametrize(
    ("network", "host", "why"),
    [
        (NO_ROUTE, "10.1.2.3", "unreachable"),
        (NO_ROUTE, "login.example.org", "name"),
        (SWALLOWED, "10.1.2.3", "no answer within|timed out"),
        (SWALLOWED, "login.example.org", "name server does not answer|name is not known"),
    ],
    ids=["no-route", "no-route-no-names", "swallowed", "swallowed-names"],
)
def test_from_a_node_without_a_way_it_is_told_in_time_and_what_is_here_stays(
    carrier: str, tmp_path: Path, network: str, host: str, why: str
) -> None:
    kind, message, hint, took_s = reach_from(network, carrier, host, tmp_path)
    assert kind == "ConnectError"
    assert "cannot be reached" in message
    assert any(one in message for one in why.split("|")), message
    assert "nothing is lost: the runs are kept here" in hint
    assert took_s < LIMIT_S + SLACK_S
