"""Carriers without a network: what ssh_config means, which carrier is chosen, what ssh says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from hpctrack.core.clock import Clock
from hpctrack.errors import (
    AuthError,
    ConnectError,
    HostKeyError,
    MissingPackageError,
    SyncError,
    UsageError,
)
from hpctrack.sync.carriers.certificate import (
    FOREVER,
    CertificateKind,
    parse_certificate,
    parse_public_file,
)
from hpctrack.sync.carriers.choice import Choice, Means, choose_carrier
from hpctrack.sync.carriers.host_config import HostConfig, parse_config_dump
from hpctrack.sync.carriers.limited import LimitedTransport
from hpctrack.sync.carriers.openssh import make_arguments
from hpctrack.sync.carriers.openssh_errors import explain_failure
from hpctrack.sync.carriers.ssh_target import Hop, SshTarget, make_target, parse_hop, plan_way
from hpctrack.sync.carriers.transport import ConnectOptions

ALL = Means(ssh="/usr/bin/ssh", has_paramiko=True, has_ticket=True)


def config(**values: str) -> HostConfig:
    return HostConfig({name: (value,) for name, value in values.items()})


def target(**changes: Any) -> SshTarget:
    facts: dict[str, Any] = {
        "host": "login",
        "port": 2222,
        "user": "me",
        "known_name": "[login]:2222",
        "known_files": (Path("/home/me/.ssh/known_hosts"),),
        "identities": (Path("/home/me/.ssh/id_ed25519"),),
    }
    return SshTarget(**{**facts, **changes})


def choose(means: Means = ALL, options: ConnectOptions | None = None, **values: str) -> Choice:
    return choose_carrier([config(**values)], (target(),), options or ConnectOptions(), means)


# -- which carrier -------------------------------------------------------------------------------


def test_paramiko_is_the_usual_one() -> None:
    found = choose(controlmaster="auto", securitykeyprovider="internal", proxyjump="gateway")
    assert (found.kind, found.reason) == ("paramiko", "")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"controlpath": "~/.ssh/%C"}, "ControlPath"),
        ({"proxycommand": "nc %h %p"}, "ProxyCommand"),
        ({"gssapiauthentication": "yes"}, "Kerberos"),
        ({"pkcs11provider": "/usr/lib/opensc.so"}, "PKCS11Provider"),
        ({"securitykeyprovider": "/usr/lib/sk.so"}, "SecurityKeyProvider"),
        ({"revokedhostkeys": "/etc/ssh/krl"}, "RevokedHostKeys"),
        ({"knownhostscommand": "/bin/keys"}, "KnownHostsCommand"),
        ({"hostbasedauthentication": "yes"}, "HostbasedAuthentication"),
    ],
)
def test_what_only_ssh_can_do_is_done_by_ssh(values: dict[str, str], why: str) -> None:
    found = choose(ALL, None, **values)
    assert found.kind == "ssh"
    assert why in found.reason
    assert choose(ALL, None, **dict.fromkeys(values, "none")).kind == "paramiko"


def test_kerberos_matters_to_those_who_have_a_ticket() -> None:
    without = Means(ssh="/usr/bin/ssh", has_paramiko=True, has_ticket=False)
    assert choose(without, gssapiauthentication="yes").kind == "paramiko"


def test_a_machine_on_the_way_counts_too() -> None:
    configs = [config(), config(controlpath="~/.ssh/%C")]
    assert choose_carrier(configs, (target(), target()), ConnectOptions(), ALL).kind == "ssh"


def test_a_key_on_a_token_is_for_ssh(tmp_path: Path) -> None:
    key = tmp_path / "id_ed25519_sk"
    key.with_suffix(".pub").write_text("sk-ssh-ed25519@openssh.com AAAA me\n")
    way = (target(identities=(key,)),)
    assert choose_carrier([config()], way, ConnectOptions(), ALL).reason == "the key is on a token"
    mixed = (target(identities=(key, Path("/home/me/.ssh/id_rsa"))),)
    assert choose_carrier([config()], mixed, ConnectOptions(), ALL).kind == "paramiko"


def test_what_is_not_installed_is_not_chosen() -> None:
    no_ssh = Means(ssh=None, has_paramiko=True, has_ticket=True)
    no_paramiko = Means(ssh="/usr/bin/ssh", has_paramiko=False, has_ticket=False)
    assert choose(no_ssh, controlpath="~/.ssh/%C").kind == "paramiko"
    assert choose(no_paramiko).reason == "paramiko is not installed"
    with pytest.raises(MissingPackageError):
        choose(Means(ssh=None, has_paramiko=False, has_ticket=False))
    with pytest.raises(MissingPackageError):
        choose(no_paramiko, ConnectOptions(transport="paramiko"))
    with pytest.raises(UsageError, match="no program `ssh`"):
        choose(no_ssh, ConnectOptions(transport="ssh"))


def test_the_users_word_decides() -> None:
    assert choose(options=ConnectOptions(transport="ssh")).kind == "ssh"
    asked = ConnectOptions(transport="paramiko")
    assert choose(options=asked, controlpath="~/.ssh/%C").kind == "paramiko"


# -- ssh_config ----------------------------------------------------------------------------------


def test_a_dump_of_ssh_is_read() -> None:
    found = HostConfig(
        parse_config_dump(
            "port 22\nidentityfile ~/.ssh/a b\nidentityfile ~/.ssh/c\nproxyjump none\n"
        )
    )
    assert found.all("identityfile") == ("~/.ssh/a b", "~/.ssh/c")
    assert (found.first("port"), found.first("proxyjump"), found.first("user")) == ("22", "", "")


def test_a_target_is_put_together(tmp_path: Path) -> None:
    key = tmp_path / "key-me"
    key.touch()
    values = {
        "hostname": ("real.example.org",),
        "port": ("2222",),
        "user": ("me",),
        "identityfile": (f"{tmp_path}/key-%r", f"{tmp_path}/absent"),
        "certificatefile": (f"{tmp_path}/cert",),
        "userknownhostsfile": (f'{tmp_path}/%n "{tmp_path}/two words"',),
        "globalknownhostsfile": ("none",),
        "hostkeyalias": ("cluster",),
        "connecttimeout": ("3",),
        "serveraliveinterval": ("7",),
        "identityagent": ("none",),
        "proxyjump": ("a@one:22, two",),
    }
    found = make_target(Hop("alias"), ConnectOptions(), HostConfig(values))
    assert (found.host, found.port, found.user) == ("real.example.org", 2222, "me")
    assert found.identities == (key,)
    assert found.certificates == (tmp_path / "cert",)
    assert found.known_files[:2] == (tmp_path / "alias", tmp_path / "two words")
    assert (found.known_name, found.certificate_name) == ("cluster", "cluster")
    assert (found.connect_timeout_s, found.keepalive_s, found.agent) == (3, 7, None)
    assert found.jumps == ("a@one:22", "two")
    mine = make_target(Hop("alias", "you", 99), ConnectOptions(), HostConfig(values))
    assert (mine.user, mine.port) == ("you", 99)


def test_machines_on_the_way_are_found_as_ssh_finds_them() -> None:
    configs = {
        "inner": config(proxyjump="first,me@second:2200"),
        "first": config(proxyjump="outer", hostname="10.0.0.1"),
        "second": config(proxyjump="never", user="other"),
    }
    way = plan_way(Hop("inner"), ConnectOptions(), lambda hop: configs.get(hop.host, HostConfig()))
    assert [one.shown for one in way] == ["outer:22", "10.0.0.1:22", "second:2200", "inner:22"]
    assert way[2].user == "me"


def test_machines_in_a_ring_are_refused() -> None:
    with pytest.raises(UsageError, match="through more than 8"):
        plan_way(Hop("a"), ConnectOptions(), lambda hop: config(proxyjump="ab".strip(hop.host)))


@pytest.mark.parametrize(
    ("text", "hop"),
    [
        ("host", Hop("host")),
        ("me@host:22", Hop("host", "me", 22)),
        ("ssh://me@host:22", Hop("host", "me", 22)),
        ("[::1]:22", Hop("::1", None, 22)),
    ],
)
def test_a_hop_is_read(text: str, hop: Hop) -> None:
    assert parse_hop(text) == hop


@pytest.mark.parametrize("text", ["-oProxyCommand=x", "a:b:c", ""])
def test_what_is_no_hop_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_hop(text)


def test_ssh_is_told_only_what_it_must_be() -> None:
    options = ConnectOptions(identity=Path("/k"), known_hosts=Path("/a b/%x"))
    found = make_arguments(
        Hop("login", "me", 2222),
        config(ciphers="aes256-ctr,aes128-gcm@openssh.com", stricthostkeychecking="no"),
        options,
        can_ask=False,
    )
    text = " ".join(found)
    assert text.startswith("-T -e none -i /k -p 2222 -l me -o ")
    for words in (
        "BatchMode=yes",
        "StrictHostKeyChecking=yes",
        "Ciphers=aes128-gcm@openssh.com,aes256-ctr",
        'UserKnownHostsFile="/a b/%%x"',
        "IdentitiesOnly=yes",
        "ConnectTimeout=",
        "RemoteCommand=none",
        "ControlMaster=no",
    ):
        assert words in text
    own = config(
        connecttimeout="3",
        serveraliveinterval="9",
        stricthostkeychecking="ask",
        controlpersist="8h",
    )
    text = " ".join(make_arguments(Hop("login"), own, ConnectOptions(), can_ask=True))
    unset = ("BatchMode", "ConnectTimeout", "ServerAliveInterval", "StrictHost", "Ciphers")
    for words in (*unset, "ControlMaster"):
        assert words not in text


# -- what ssh says -------------------------------------------------------------------------------

CHANGED = """\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
The fingerprint for the ED25519 key sent by the remote host is
SHA256:0123456789012345678901234567890123456789012.
Host key verification failed.
"""


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        (CHANGED, HostKeyError, "CHANGED: it is now ED25519 SHA256:0123456789"),
        (
            (
                "No ED25519 host key is known for [login]:2222 and you have requested strict"
                " checking.\nHost key verification failed."
            ),
            HostKeyError,
            "not known: ED25519",
        ),
        (
            "ssh: connect to host login port 2222: Connection timed out",
            ConnectError,
            "login:2222 cannot be reached: Connection timed out",
        ),
        ("ssh: Could not resolve hostname login: Name or service not known", ConnectError, "name"),
        ("me@login: Permission denied (publickey).", AuthError, "me with id_ed25519"),
        (
            "me@login: Permission denied (keyboard-interactive).",
            AuthError,
            "asks for a second factor",
        ),
        ("Received disconnect: 2: Too many authentication failures", AuthError, "too many keys"),
        ("exec request failed on channel 0", ConnectError, "does not allow to start"),
        ("Connection timed out during banner exchange", ConnectError, "says nothing"),
        ("something new", ConnectError, "something new"),
        ("", ConnectError, "does not say why"),
    ],
)
def test_what_ssh_says_becomes_an_error(said: str, kind: type[SyncError], message: str) -> None:
    error = explain_failure(target(), said, can_ask=False, now_s=0)
    assert type(error) is kind
    assert message in error.message
    assert error.hint


# -- certificates --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sign(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """Return a function that has a key signed, with options of ssh-keygen."""
    folder = tmp_path_factory.mktemp("keys")

    def make(kind: str, *options: str) -> bytes:
        for name, of in (("ca", "ed25519"), (f"id_{kind}", kind)):
            if not (folder / name).exists():
                words = ["ssh-keygen", "-q", "-t", of, "-N", "", "-f", str(folder / name)]
                subprocess.run(words, check=True)
        words = ["ssh-keygen", "-q", "-s", str(folder / "ca"), "-I", "me", *options]
        subprocess.run([*words, str(folder / f"id_{kind}.pub")], check=True)
        text = (folder / f"id_{kind}-cert.pub").read_text()
        plain = parse_public_file((folder / f"id_{kind}.pub").read_text())[1]
        blob = parse_public_file(text)[1]
        assert parse_certificate(blob).key_blob == plain
        return blob

    return make


@pytest.mark.ssh
@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_certificates_of_ssh_keygen_are_read(sign: Callable[..., bytes], kind: str) -> None:
    found = parse_certificate(sign(kind, "-n", "me,you"))
    assert (found.kind, found.key_id, found.principals) == (1, "me", ("me", "you"))
    assert (found.valid_from_s, found.valid_until_s) == (0, FOREVER)
    assert not found.find_fault(CertificateKind.USER, 1e9)
    assert "not one of a host" in found.find_fault(CertificateKind.HOST, 1e9)


@pytest.mark.ssh
def test_a_certificate_holds_for_a_time_and_for_names(sign: Callable[..., bytes]) -> None:
    blob = sign("ed25519", "-h", "-n", "login,*.example.org", "-V", "20260101Z:20270101Z")
    found = parse_certificate(blob)
    now_s, host = 1_790_000_000, CertificateKind.HOST
    assert not found.find_fault(host, now_s, "login")
    assert not found.find_fault(host, now_s, "a.example.org")
    assert "is about login" in found.find_fault(host, now_s, "other")
    assert "valid until 2027-01-01 00:00 UTC" in found.find_fault(host, 2e9, "login")
    assert "from 2026-01-01 00:00 UTC on" in found.find_fault(host, 1e9, "login")
    for size in range(len(blob)):
        with pytest.raises(ValueError, match=r"cut off|no certificate"):
            parse_certificate(blob[:size])


# -- a bound on the rate -------------------------------------------------------------------------


@dataclass
class Line:
    """A transport that takes everything, on a clock that moves when somebody waits."""

    peer: str = "line"
    carrier: str = "local"
    reason: str = ""
    now_s: float = 100.0
    sent: list[tuple[float, int]] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.sent.append((self.now_s, len(data)))

    def read(self, max_bytes: int, *, timeout_s: float) -> bytes:
        return b"r" * min(max_bytes, int(timeout_s))

    def poll(self, timeout_s: float) -> bool:
        return timeout_s > 0

    def read_stderr(self) -> str:
        return "words"

    def wait(self, timeout_s: float) -> int | None:
        return int(timeout_s)

    def close(self) -> None:
        self.peer = "closed"

    def sleep(self, wait_s: float) -> None:
        self.now_s += wait_s

    def limit(self, rate_bytes_s: float) -> LimitedTransport:
        clock = Clock(wall_s=lambda: self.now_s, mono_s=lambda: self.now_s)
        return LimitedTransport(self, rate_bytes_s, clock=clock, sleep=self.sleep)


def test_a_rate_is_kept_however_it_is_written() -> None:
    for size_bytes in (1, 1000, 100_000, 10_000_000):
        line = Line()
        limited = line.limit(1_000_000)
        for _number in range(20_000_000 // max(size_bytes, 1000)):
            limited.write(bytes(size_bytes))
        total_bytes = sum(size for _at, size in line.sent)
        took_s = line.now_s - 100
        assert total_bytes <= took_s * 1_000_000 + 250_000 + 1000
        assert took_s <= total_bytes / 1_000_000 + 0.001
        assert max(size for _at, size in line.sent) <= 250_000


def test_a_slow_rate_goes_on_in_small_pieces() -> None:
    line = Line()
    line.limit(1000).write(bytes(10_000))
    assert 9 < line.now_s - 100 < 11
    assert len(line.sent) >= 10


def test_what_was_not_used_is_not_saved_up() -> None:
    line = Line()
    limited = line.limit(1_000_000)
    line.now_s += 3600
    limited.write(bytes(2_000_000))
    assert line.now_s - 3700 > 1.7


def test_all_else_passes_through() -> None:
    line = Line()
    limited = line.limit(1)
    assert (limited.peer, limited.carrier, limited.reason) == ("line", "local", "")
    assert (limited.read(9, timeout_s=2), limited.poll(1), limited.wait(3)) == (b"rr", True, 3)
    assert limited.read_stderr() == "words"
    limited.close()
    assert line.peer == "closed"
    with pytest.raises(ValueError, match="at least 1"):
        line.limit(0)
