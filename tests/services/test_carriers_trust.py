"""Whom the SSH carriers trust, and who is let in: both, against the same real sshds."""

from __future__ import annotations

import os
import subprocess
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hpctrack.errors import AuthError, HostKeyError
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
    speak,
)
from tests.services.sshd import Sshd, certify, make_key, running

pytestmark = pytest.mark.ssh

sshd = private_sshd.sshd
"""The fixture."""


@pytest.fixture(params=["paramiko", "ssh"])
def carrier(request: pytest.FixtureRequest) -> str:
    """A carrier."""
    return str(request.param)


@pytest.fixture
def route(carrier: str, sshd: Sshd, tmp_path: Path) -> Route:
    """A way that works."""
    return make_route(carrier, sshd, sshd, tmp_path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The key of somebody who signs others' keys."""
    return make_key(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def certified(authority: Path) -> Iterator[Sshd]:
    """An sshd that lets in whom the authority has signed, and nobody else."""
    extra = f"TrustedUserCAKeys {authority}.pub\nAuthorizedKeysFile none\n"
    with running(extra) as found:
        yield found


def greet(route: Route, **changes: Any) -> None:
    with route.start("echo", **changes) as transport:
        assert read_exactly(transport, len(GREETING)) == GREETING


def add_lines(route: Route, *lines: str) -> None:
    """Put lines before all others of a way's ssh_config: the first one wins."""
    config = route.options["ssh_config"]
    config.write_text("\n".join(("Host peer", *lines, "")) + config.read_text())


def remove_keys(route: Route) -> None:
    """Take the keys out of a way's ssh_config: ssh tries them after the one that is named."""
    config = route.options["ssh_config"]
    lines = [one for one in config.read_text().splitlines() if "IdentityFile" not in one]
    config.write_text("\n".join(lines) + "\n")


# -- the server ----------------------------------------------------------------------------------


def test_an_unknown_host_key_is_refused(route: Route, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(HostKeyError, match="is not known") as caught:
        greet(route, known_hosts=tmp_path / "empty")
    assert "ssh-keyscan -p" in str(caught.value.hint)


def test_a_check_that_is_switched_off_is_made_all_the_same(route: Route, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    add_lines(route, "StrictHostKeyChecking no")
    with pytest.raises(HostKeyError, match="is not known"):
        greet(route, known_hosts=tmp_path / "empty")
    assert (tmp_path / "empty").read_text() == ""


def test_a_changed_host_key_is_refused(route: Route, sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(sshd.known_line(make_key(tmp_path / "other").with_suffix(".pub")))
    with pytest.raises(HostKeyError, match="has CHANGED") as caught:
        greet(route, known_hosts=known)
    assert "ssh-keygen -R" in str(caught.value.hint)


def test_a_revoked_host_key_is_refused(route: Route, sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    line = sshd.known_hosts.read_text()
    known.write_text(f"{line}@revoked {line}")
    with pytest.raises(HostKeyError, match="REVOKED"):
        greet(route, known_hosts=known)


def test_hashed_names_are_known(route: Route, sshd: Sshd, tmp_path: Path) -> None:
    known = tmp_path / "known"
    known.write_text(sshd.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", known], check=True, capture_output=True)
    assert "127.0.0.1" not in known.read_text()
    greet(route, known_hosts=known)


@contextmanager
def vouched(authority: Path, *options: str) -> Iterator[Sshd]:
    """Run an sshd whose key an authority has signed."""
    with tempfile.TemporaryDirectory() as name:
        key = make_key(Path(name) / "key")
        certificate = certify(authority, key.with_suffix(".pub"), "-h", *options)
        with running(f"HostKey {key}\nHostCertificate {certificate}") as found:
            found.known_hosts.write_text(
                f"@cert-authority [127.0.0.1]:{found.port} "
                + authority.with_suffix(".pub").read_text()
            )
            yield found


def test_a_host_that_an_authority_vouches_for_is_trusted(
    carrier: str, authority: Path, tmp_path: Path
) -> None:
    with vouched(authority, "-n", "127.0.0.1,login") as server:
        greet(make_route(carrier, server, server, tmp_path))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("-n", "127.0.0.1", "-V", "20200101:20210101"), "expired"),
        (("-n", "another"), "another|listed"),
    ],
)
def test_a_host_certificate_that_does_not_hold_is_refused(
    carrier: str, authority: Path, tmp_path: Path, options: tuple[str, ...], why: str
) -> None:
    with vouched(authority, *options) as server, pytest.raises(HostKeyError, match=why):
        greet(make_route(carrier, server, server, tmp_path))


def test_another_authority_does_not_count(carrier: str, authority: Path, tmp_path: Path) -> None:
    other = make_key(tmp_path / "other")
    with vouched(other, "-n", "127.0.0.1") as server:
        server.known_hosts.write_text(
            f"@cert-authority [127.0.0.1]:{server.port} "
            + authority.with_suffix(".pub").read_text()
        )
        with pytest.raises(HostKeyError, match="is not known"):
            greet(make_route(carrier, server, server, tmp_path))


# -- our keys ------------------------------------------------------------------------------------


def test_a_wrong_key_is_told_by_its_name(route: Route, tmp_path: Path, sshd: Sshd) -> None:
    remove_keys(route)
    with pytest.raises(AuthError) as caught:
        greet(route, identity=make_key(tmp_path / "wrong_key"))
    assert f"did not accept {sshd.user} with wrong_key" in caught.value.message
    assert "authorized_keys" in str(caught.value.hint)


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_other_kinds_of_keys_are_accepted(carrier: str, tmp_path: Path, kind: str) -> None:
    with running() as server:
        key = make_key(tmp_path / f"id_{kind}", kind)
        (server.folder / "authorized_keys").write_text(key.with_suffix(".pub").read_text())
        greet(make_route(carrier, server, server, tmp_path), identity=key)


def test_a_key_that_others_may_read_is_not_used(route: Route, sshd: Sshd, tmp_path: Path) -> None:
    copy = tmp_path / "open_key"
    copy.write_bytes(sshd.identity.read_bytes())
    copy.chmod(0o644)
    remove_keys(route)
    with pytest.raises(AuthError) as caught:
        greet(route, identity=copy)
    assert "chmod 600 open_key" in str(caught.value.hint)


def test_a_key_without_permission_for_commands_is_told(carrier: str, tmp_path: Path) -> None:
    with running() as server:
        public = server.identity.with_suffix(".pub").read_text()
        line = f'command="echo not for you >&2; exit 3",restrict {public}'
        (server.folder / "authorized_keys").write_text(line)
        with make_route(carrier, server, server, tmp_path).start("echo") as transport:
            assert transport.read(1, timeout_s=TIMEOUT_S) == b""
            assert transport.wait(TIMEOUT_S) == 3
            assert transport.read_stderr().strip() == "not for you"


def test_a_forced_command_gets_the_stream(carrier: str, tmp_path: Path) -> None:
    with running() as server:
        public = server.identity.with_suffix(".pub").read_text()
        command = peer_command("echo").replace('"', '\\"')
        (server.folder / "authorized_keys").write_text(f'command="{command}",restrict {public}')
        route = make_route(carrier, server, server, tmp_path)
        with route.start("", remote_command="something else") as transport:
            assert read_exactly(transport, len(GREETING)) == GREETING


def test_an_agent_signs_and_limits_are_kept(
    route: Route, sshd: Sshd, tmp_path: Path, agent: Path
) -> None:
    del agent
    subprocess.run(["ssh-add", "-q", str(sshd.identity)], check=True, capture_output=True)
    for number in range(3):
        other = make_key(tmp_path / f"other{number}")
        subprocess.run(["ssh-add", "-q", str(other)], check=True, capture_output=True)
    remove_keys(route)
    add_lines(route, f"IdentityFile {tmp_path}/absent", "IdentitiesOnly no")
    greet(route)
    # Only the public half is a file here: the agent has the other.
    public = tmp_path / "public_only"
    public.with_suffix(".pub").write_text(sshd.identity.with_suffix(".pub").read_text())
    public.write_text("locked away")
    public.chmod(0o600)
    greet(route, identity=public)
    with pytest.raises(AuthError):
        greet(route, identity=tmp_path / "other1")
    add_lines(route, "IdentityAgent none")
    with pytest.raises(AuthError):
        greet(route)


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running ssh-agent without keys."""
    path = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(path)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + TIMEOUT_S
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(path))
    yield path
    process.terminate()
    process.wait()


# -- certificates of users -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ed25519", "rsa"])
def test_a_certificate_lets_in(
    carrier: str, certified: Sshd, authority: Path, tmp_path: Path, kind: str
) -> None:
    key = make_key(tmp_path / "id", kind)
    certify(authority, key.with_suffix(".pub"), "-n", certified.user)
    greet(make_route(carrier, certified, certified, tmp_path), identity=key)


def test_a_certificate_elsewhere_is_found_by_ssh_config(
    carrier: str, certified: Sshd, authority: Path, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "id")
    certificate = certify(authority, key.with_suffix(".pub"), "-n", certified.user)
    moved = certificate.rename(tmp_path / "of-today.pub")
    route = make_route(carrier, certified, certified, tmp_path)
    add_lines(route, f"IdentityFile {key}", f"CertificateFile {moved}")
    greet(route)


def test_an_agent_holds_a_certificate_too(
    carrier: str, certified: Sshd, authority: Path, tmp_path: Path, agent: Path
) -> None:
    del agent
    key = make_key(tmp_path / "id", "rsa")
    certify(authority, key.with_suffix(".pub"), "-n", certified.user)
    subprocess.run(["ssh-add", "-q", str(key)], check=True, capture_output=True)
    key.unlink()
    route = make_route(carrier, certified, certified, tmp_path)
    add_lines(route, "IdentitiesOnly no", f"IdentityFile {tmp_path}/none")
    greet(route)


def test_an_expired_certificate_is_told(
    carrier: str, certified: Sshd, authority: Path, tmp_path: Path
) -> None:
    key = make_key(tmp_path / "id")
    options = ("-n", certified.user, "-V", "20200101:20210101")
    certify(authority, key.with_suffix(".pub"), *options)
    with pytest.raises(AuthError) as caught:
        greet(make_route(carrier, certified, certified, tmp_path), identity=key)
    hint = str(caught.value.hint)
    assert "the certificate id-cert.pub has expired: it was valid until 202" in hint


# -- people --------------------------------------------------------------------------------------

AT_A_TERMINAL = """
    from pathlib import Path
    from hpctrack.errors import HpctrackError
    from hpctrack.sync.carriers.choice import open_transport
    from hpctrack.sync.carriers.remote import SshRemote
    from hpctrack.sync.carriers.transport import ConnectOptions
    options = ConnectOptions(
        transport={transport!r}, remote_command={command!r}, ssh_config=Path({config!r})
    )
    try:
        transport = open_transport(SshRemote("peer", "/store"), options)
        print("heard", transport.read(99, timeout_s=180))
        print("over", transport.carrier, "because", transport.reason)
        transport.close()
    except HpctrackError as error:
        print("failed", type(error).__name__, error)
"""


def at_a_terminal(route: Route, transport: str) -> str:
    return textwrap.dedent(AT_A_TERMINAL).format(
        transport=transport,
        command=peer_command("echo"),
        config=str(route.options["ssh_config"]),
    )


def lock_key(sshd: Sshd, folder: Path) -> Path:
    """Return the accepted key, with a passphrase."""
    locked = folder / "locked_key"
    locked.write_bytes(sshd.identity.read_bytes())
    locked.chmod(0o600)
    words = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(locked)]
    subprocess.run(words, check=True, capture_output=True)
    return locked


def test_a_passphrase_is_asked_for_at_a_terminal_only(
    route: Route, carrier: str, sshd: Sshd, tmp_path: Path
) -> None:
    locked = lock_key(sshd, tmp_path)
    remove_keys(route)
    add_lines(route, f"IdentityFile {locked}", "IdentityAgent none")
    with pytest.raises(AuthError):
        greet(route)
    spoken = speak(at_a_terminal(route, carrier), [("assphrase", "a passphrase")])
    assert f"heard {GREETING!r}" in spoken.shown, spoken.shown
    assert "a passphrase" not in spoken.shown.replace("\r", "").split("heard")[0].splitlines()[1:]


LEFT_ASKING = """
import sys
from pathlib import Path
from hpctrack.sync.carriers.choice import PendingTransport
from hpctrack.sync.carriers.remote import SshRemote
from hpctrack.sync.carriers.transport import ConnectOptions
options = ConnectOptions(transport={transport!r}, ssh_config=Path({config!r}))
pending = PendingTransport(SshRemote("peer", "/store"), options)
sys.stdin.readline()
pending.close()
"""

AT_THE_SAME_TERMINAL = """
import subprocess, sys, termios, time
child = subprocess.Popen([sys.executable, "-c", {code!r}], stdin=subprocess.PIPE)
while termios.tcgetattr(0)[3] & termios.ECHO:
    time.sleep(0.05)
time.sleep(1)  # who asks hides what is typed, and says so then
child.communicate(b"the question is there\\n")
subprocess.run(["stty", "-a"])
"""


def test_a_question_that_nobody_waits_for_leaves_the_terminal_as_it_was(
    route: Route, carrier: str, sshd: Sshd, tmp_path: Path
) -> None:
    locked = lock_key(sshd, tmp_path)
    remove_keys(route)
    add_lines(route, f"IdentityFile {locked}", "IdentityAgent none")
    config = str(route.options["ssh_config"])
    code = LEFT_ASKING.format(transport=carrier, config=config)
    shown = speak(AT_THE_SAME_TERMINAL.format(code=code), []).shown
    assert "assphrase" in shown
    assert " echo " in shown, shown


PAM = """\
auth required pam_unix.so
account required pam_permit.so
session required pam_permit.so
"""

PRIVATE_PAM = (
    'mount --bind "$0/pam" /etc/pam.d/sshd && mount --bind "$0/shadow" /etc/shadow && exec "$@"'
)


@pytest.fixture(scope="module")
def two_factors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """An sshd that wants a key and then a code: through PAM, with files of its own."""
    if os.getuid() != 0:
        pytest.skip("only root's sshd can ask PAM")
    folder = tmp_path_factory.mktemp("pam")
    made = subprocess.run(
        ["openssl", "passwd", "-6", "123456"], capture_output=True, text=True, check=True
    )
    (folder / "pam").write_text(PAM)
    (folder / "shadow").write_text(f"root:{made.stdout.strip()}:20000:0:99999:7:::\n")
    (folder / "shadow").chmod(0o600)
    extra = """
        UsePAM yes
        PermitRootLogin yes
        KbdInteractiveAuthentication yes
        AuthenticationMethods publickey,keyboard-interactive
    """
    start = ["unshare", "-m", "--propagation", "private", "sh", "-c", PRIVATE_PAM, str(folder)]
    with running(extra, start=start) as found:
        yield found


def test_a_second_factor_is_asked_for_at_a_terminal(
    carrier: str, two_factors: Sshd, tmp_path: Path
) -> None:
    route = make_route(carrier, two_factors, two_factors, tmp_path)
    spoken = speak(at_a_terminal(route, carrier), [("assword:", "123456")])
    assert f"heard {GREETING!r}" in spoken.shown, spoken.shown
    assert "123456" not in spoken.shown


def test_a_wrong_code_is_told(carrier: str, two_factors: Sshd, tmp_path: Path) -> None:
    route = make_route(carrier, two_factors, two_factors, tmp_path)
    spoken = speak(at_a_terminal(route, carrier), [("assword:", "wrong")] * 3)
    assert "failed AuthError" in spoken.shown, spoken.shown


def test_a_second_factor_without_a_terminal_is_told_with_the_way_out(
    carrier: str, two_factors: Sshd, tmp_path: Path
) -> None:
    with pytest.raises(AuthError, match="second factor") as caught:
        greet(make_route(carrier, two_factors, two_factors, tmp_path))
    assert "ControlMaster" in str(caught.value.hint)


def test_a_shared_connection_carries_a_second_factor(two_factors: Sshd, tmp_path: Path) -> None:
    config = tmp_path / "ssh_config"
    with tempfile.TemporaryDirectory(prefix="c-") as short:
        lines = [*describe_host("peer", two_factors), f"  ControlPath {short}/c"]
        config.write_text("\n".join(lines) + "\n")
        # What a person does in the morning: log in by hand, and leave the connection open.
        code = f"""
            import os
            os.execvp("ssh", ["ssh", "-F", {str(config)!r}, "-o", "ControlMaster=yes",
                              "-o", "ControlPersist=60", "peer", "echo shared"])
        """
        assert "shared" in speak(code, [("assword:", "123456")]).shown
        route = Route(
            carrier="ssh",
            remote=SshRemote("peer", "/store"),
            options={"ssh_config": config, "batch": True},
        )
        try:
            with route.start("echo") as transport:
                assert transport.reason == "ssh_config shares connections (ControlPath)"
                assert read_exactly(transport, len(GREETING)) == GREETING
        finally:
            words = ["ssh", "-F", str(config), "-O", "exit", "peer"]
            subprocess.run(words, capture_output=True, check=False)
