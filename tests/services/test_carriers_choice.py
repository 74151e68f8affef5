"""Which carrier is taken, with real servers, programs and configurations."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from hpctrack.errors import AuthError, ConnectError, UsageError
from hpctrack.sync.carriers.host_config import read_host_config
from hpctrack.sync.carriers.remote import SshRemote
from tests.services import sshd as private_sshd
from tests.services.carrier_peer import GREETING
from tests.services.carriers import (
    TIMEOUT_S,
    Route,
    describe_host,
    make_route,
    peer_command,
    read_exactly,
)
from tests.services.other_sshd import other_sshd
from tests.services.sshd import ROOT, Sshd, running

pytestmark = pytest.mark.ssh

sshd = private_sshd.sshd
"""The fixture."""


def auto(sshd: Sshd, folder: Path, carrier: str, *lines: str) -> Route:
    """Return a way that is left to be chosen."""
    config = folder / "config"
    config.write_text("\n".join([*describe_host("peer", sshd), *lines]) + "\n")
    options = {"ssh_config": config, "batch": True}
    return Route(carrier=carrier, remote=SshRemote("peer", "/store"), options=options)


def greet(route: Route) -> str:
    """Hear the peer; return why the carrier was chosen."""
    with route.start("echo") as transport:
        assert read_exactly(transport, len(GREETING)) == GREETING
        return transport.reason


def test_paramiko_is_the_usual_one(sshd: Sshd, tmp_path: Path) -> None:
    assert greet(auto(sshd, tmp_path, "paramiko")) == ""


def test_a_proxy_command_is_for_ssh(sshd: Sshd, tmp_path: Path) -> None:
    lines = describe_host("gate", sshd)
    proxy = f"  ProxyCommand ssh -F {tmp_path}/config -W %h:%p gate"
    route = auto(sshd, tmp_path, "ssh", proxy, *lines)
    assert greet(route) == "ssh_config has a ProxyCommand"


def test_a_server_with_other_algorithms_is_left_to_ssh(tmp_path: Path) -> None:
    with running("KexAlgorithms sntrup761x25519-sha512@openssh.com") as server:
        reason = greet(auto(server, tmp_path, "ssh"))
        assert "speaks no algorithm that paramiko does" in reason


def test_a_server_that_wants_a_password_is_left_to_ssh(tmp_path: Path) -> None:
    extra = "PubkeyAuthentication no\nPasswordAuthentication yes\n"
    with running(extra) as server:
        route = auto(server, tmp_path, "ssh")
        with route.start("echo") as transport:
            assert transport.reason.endswith("in by password only")
            with pytest.raises(AuthError):
                transport.read(1, timeout_s=TIMEOUT_S)


def test_without_the_program_paramiko_reads_the_configuration(
    sshd: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert greet(auto(sshd, tmp_path, "paramiko", "  ControlPath /tmp/none")) == ""
    with pytest.raises(UsageError, match="no program `ssh`"):
        greet(make_route("ssh", sshd, sshd, tmp_path))


def test_without_paramiko_ssh_goes(sshd: Sshd, tmp_path: Path) -> None:
    route = auto(sshd, tmp_path, "ssh")
    code = f"""
import sys
sys.modules["paramiko"] = None
from contextlib import closing
from pathlib import Path
from hpctrack.errors import HpctrackError
from hpctrack.sync.carriers.choice import open_transport
from hpctrack.sync.carriers.remote import SshRemote
from hpctrack.sync.carriers.transport import ConnectOptions
for name in ("auto", "paramiko"):
    options = ConnectOptions(
        transport=name,
        ssh_config=Path({str(route.options["ssh_config"])!r}),
        remote_command={peer_command("echo")!r},
    )
    try:
        with closing(open_transport(SshRemote("peer", "/store"), options)) as transport:
            print(transport.reason, transport.read(99, timeout_s=180))
    except HpctrackError as error:
        print(type(error).__name__, error.hint)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    assert done.stdout.splitlines() == [
        f"paramiko is not installed {GREETING!r}",
        "MissingPackageError pip install 'hpctrack[sync]'",
    ]


def test_a_shared_connection_that_stays_behind_does_not_hold_a_sync(
    sshd: Sshd, tmp_path: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="c-") as short:
        lines = (f"  ControlPath {short}/c", "  ControlMaster auto", "  ControlPersist 60")
        route = auto(sshd, tmp_path, "ssh", *lines)
        before = sshd.read_log().count("Accepted publickey")
        try:
            for _number in range(2):
                started = time.monotonic()
                greet(route)
                assert time.monotonic() - started < 50, "it stays behind for 60 s"
            assert sshd.read_log().count("Accepted publickey") == before + 1
        finally:
            config = str(route.options["ssh_config"])
            words = ["ssh", "-F", config, "-O", "exit", "peer"]
            assert not subprocess.run(words, capture_output=True, check=False).returncode


# -- other servers -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "first_channel", "connections"),
    [("", 0, 1), ("", 9, 1), ("OpenSSH_99.9", 0, 1), ("OpenSSH_99.9", 9, 2)],
)
def test_a_server_that_is_not_openssh_is_served_as_well(
    sshd: Sshd, tmp_path: Path, version: str, first_channel: int, connections: int
) -> None:
    # What is sent early, to save a round trip, is for a channel 0: where there is none, the
    # connection is made again without haste.
    with other_sshd(
        sshd.folder / "host_key", sshd.identity, version=version, first_channel=first_channel
    ) as (port, count):
        known = tmp_path / "known"
        known.write_text(sshd.known_hosts.read_text().replace(str(sshd.port), str(port)))
        config = tmp_path / "config"
        text = "\n".join(describe_host("peer", sshd)).replace(str(sshd.port), str(port))
        config.write_text(text + "\n")
        options = {"ssh_config": config, "known_hosts": known, "transport": "paramiko"}
        remote = SshRemote("peer", "/store")
        route = Route(carrier="paramiko", remote=remote, options=options)
        with route.start("echo") as transport:
            transport.write(b"one")
            assert read_exactly(transport, len(GREETING) + 3) == GREETING + b"one"
        with route.start("nothing") as transport:
            assert transport.read(1, timeout_s=TIMEOUT_S) == b""
            assert transport.wait(TIMEOUT_S) == 0
        assert count() == 2 * connections


@pytest.mark.parametrize("carrier", ["paramiko", "ssh"])
def test_a_server_that_runs_no_command_is_told(sshd: Sshd, tmp_path: Path, carrier: str) -> None:
    with other_sshd(sshd.folder / "host_key", sshd.identity, may_run=False) as (port, _count):
        known = tmp_path / "known"
        known.write_text(sshd.known_hosts.read_text().replace(str(sshd.port), str(port)))
        config = tmp_path / "config"
        text = "\n".join(describe_host("peer", sshd)).replace(str(sshd.port), str(port))
        config.write_text(text + "\n")
        options = {"ssh_config": config, "known_hosts": known, "transport": carrier, "batch": True}
        route = Route(carrier=carrier, remote=SshRemote("peer", "/store"), options=options)
        with pytest.raises(ConnectError, match="does not allow to start a command"):
            greet(route)


# -- what ssh_config says ------------------------------------------------------------------------


def test_include_and_match_mean_what_they_mean_to_ssh(tmp_path: Path) -> None:
    (tmp_path / "more").write_text("Host *.cluster\n  ProxyJump gate\n")
    config = tmp_path / "config"
    config.write_text(
        f"Include {tmp_path}/more\n"
        'Match host a.cluster exec "true"\n  Port 2201\n'
        'Match host a.cluster exec "false"\n  User nobody\n'
        "Match user guest\n  IdentityFile ~/guest\n"
    )
    found = read_host_config("a.cluster", user="guest", path=config)
    assert (found.first("port"), found.first("proxyjump")) == ("2201", "gate")
    assert (found.first("user"), found.all("identityfile")) == ("guest", ("~/guest",))
    assert read_host_config("other", path=config).first("proxyjump") == ""


def test_a_configuration_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    config = tmp_path / "config"
    with pytest.raises(UsageError, match="config cannot be used"):
        read_host_config("host", path=config)
    config.write_text("NoSuchOption yes\n")
    with pytest.raises(UsageError, match="config cannot be used"):
        read_host_config("host", path=config)


def test_a_match_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hpctrack.sync.carriers.host_config.READ_TIMEOUT_S", 0.5)
    config = tmp_path / "config"
    config.write_text('Match exec "sleep 5"\n  Port 1\n')
    with pytest.raises(UsageError, match=r"takes more than 0\.5 s"):
        read_host_config("host", path=config)
