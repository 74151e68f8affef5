"""``hpctrack sync`` through a real sshd, with strict host keys."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hpctrack import Store
from hpctrack.errors import (
    AuthError,
    ConnectError,
    HostKeyError,
    ProtocolError,
    RefusedError,
    SyncError,
)
from hpctrack.sync.carriers.choice import open_transport
from hpctrack.sync.carriers.paramiko.transport import ParamikoTransport
from hpctrack.sync.carriers.remote import SshRemote
from hpctrack.sync.carriers.tcp import connect_tcp
from hpctrack.sync.carriers.transport import ConnectOptions
from hpctrack.sync.sending.push import push
from hpctrack.sync.sending.push_result import PushResult
from hpctrack.sync.wire.protocol import DATA_BYTES
from tests.programs import wait_for
from tests.services import sshd as private_sshd
from tests.services.sshd import Sshd, find_free_port, make_key, write_script
from tests.unit.sync.made_stores import hash_files, list_below, log_runs

pytestmark = pytest.mark.ssh

sshd = private_sshd.sshd
"""The fixture."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three runs that were really logged."""
    store = tmp_path_factory.mktemp("source") / "store"
    log_runs(store, "digits/one", "digits/two", "other/one", points=300)
    return store


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Where to push to; a name that a shell would take apart."""
    return tmp_path / "it's the target; $HOME"


def make_options(sshd: Sshd, **changes: object) -> ConnectOptions:
    options: dict[str, object] = {
        "remote_command": str(sshd.hpctrack),
        "identity": sshd.identity,
        "known_hosts": sshd.known_hosts,
        **changes,
    }
    return ConnectOptions(**options)  # type: ignore[arg-type]


def push_to(sshd: Sshd, source: Path, target: Path, **changes: object) -> PushResult:
    remote = sshd.url(target).replace("%", "%25").replace(" ", "%20").replace(";", "%3B")
    return push(source, remote, connect=make_options(sshd, **changes))


def run_cli(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user would."""
    code = "from hpctrack.cli.main import main; main()"
    root = str(Path(__file__).resolve().parents[2])
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_two_syncs_make_equal_stores_and_the_second_transfers_nothing(
    sshd: Sshd, source: Path, target: Path
) -> None:
    first = push_to(sshd, source, target)
    assert (first.sent, first.skipped, first.refused) == (3, 0, 0)
    assert hash_files(target) == hash_files(source)
    stamps = {path: path.stat().st_mtime_ns for path in target.rglob("*.h5")}
    second = push_to(sshd, source, target)
    assert (second.sent, second.present, second.size_bytes) == (0, 3, 0)
    assert {path: path.stat().st_mtime_ns for path in target.rglob("*.h5")} == stamps
    for run in Store(source).runs():
        copy = Store(target).run(f"{run.project}/{run.id}")
        assert copy.history()["loss"].tolist() == run.history()["loss"].tolist()
        assert (copy.config, copy.name, copy.state) == (run.config, run.name, run.state)


def test_the_command_line_syncs_and_says_so(sshd: Sshd, source: Path, tmp_path: Path) -> None:
    words = (
        "sync", sshd.url(tmp_path / "target"), "--store", str(source),
        "--remote-command", str(sshd.hpctrack), "--identity", str(sshd.identity),
        "--known-hosts", str(sshd.known_hosts),
    )  # fmt: skip
    first = run_cli(*words, "--json")
    assert (first.returncode, first.stderr) == (0, "")
    told = json.loads(first.stdout)
    assert (told["sent"], told["refused"], len(told["runs"])) == (3, 0, 3)
    second = run_cli(*words)
    assert (second.returncode, second.stderr) == (0, "")
    assert second.stdout == "nothing new; 3 runs already there\n"


def test_ssh_config_and_the_home_folder_are_honoured(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "home" / ".ssh"
    folder.mkdir()
    (folder / "known_hosts").write_text(sshd.known_hosts.read_text())
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", folder / "known_hosts"], check=True)
    (folder / "config").write_text(
        f"Host cluster\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {sshd.user}\n"
        f"  IdentityFile {sshd.identity}\n"
    )
    (target.parent / "plain").mkdir()
    options = ConnectOptions(remote_command=str(sshd.hpctrack))
    result = push(source, f"ssh://cluster{target.parent}/plain/store", connect=options)
    assert result.sent == 3


def test_fast_ciphers_are_used(sshd: Sshd, tmp_path: Path) -> None:
    remote = SshRemote("127.0.0.1", str(tmp_path / "x"), sshd.user, sshd.port)
    transport = open_transport(remote, make_options(sshd, transport="paramiko"))
    try:
        assert isinstance(transport, ParamikoTransport)
        assert "gcm" in transport._sessions[-1].local_cipher
    finally:
        transport.close()


# -- whom to trust -------------------------------------------------------------------------------


def test_an_unknown_host_key_is_refused_and_shown(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(HostKeyError) as caught:
        push_to(sshd, source, target, known_hosts=tmp_path / "empty")
    shown = subprocess.run(
        ["ssh-keygen", "-l", "-f", sshd.folder / "host_key.pub"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    assert f"[127.0.0.1]:{sshd.port} is not known" in caught.value.message
    assert shown in caught.value.message
    assert f"ssh-keyscan -p {sshd.port} 127.0.0.1" in str(caught.value.hint)
    assert not target.exists()


def test_the_command_line_ends_with_7_at_an_unknown_host_key(
    sshd: Sshd, source: Path, tmp_path: Path
) -> None:
    done = run_cli(
        "sync", sshd.url(tmp_path / "x"), "--store", str(source), "-i", str(sshd.identity)
    )
    assert done.returncode == HostKeyError.exit_code
    assert "is not known: ssh-ed25519 SHA256:" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_changed_host_key_is_refused(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other")
    known = tmp_path / "known"
    known.write_text(sshd.known_line(other.with_suffix(".pub")))
    with pytest.raises(HostKeyError, match="has CHANGED"):
        push_to(sshd, source, target, known_hosts=known)
    assert not target.exists()


def test_one_of_several_known_keys_is_enough(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    other = make_key(tmp_path / "other")
    known = tmp_path / "known"
    known.write_text(sshd.known_line(other.with_suffix(".pub")) + sshd.known_hosts.read_text())
    assert push_to(sshd, source, target, known_hosts=known).sent == 3


def test_a_key_that_is_not_accepted_is_named(
    sshd: Sshd, source: Path, target: Path, tmp_path: Path
) -> None:
    wrong = make_key(tmp_path / "wrong_key")
    with pytest.raises(AuthError) as caught:
        push_to(sshd, source, target, identity=wrong)
    assert f"did not accept {sshd.user} with wrong_key" in caught.value.message
    assert str(tmp_path) not in caught.value.message


def test_a_locked_key_is_told(sshd: Sshd, source: Path, target: Path, tmp_path: Path) -> None:
    locked = make_key(tmp_path / "locked_key")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "", "-N", "a passphrase", "-f", str(locked)], check=True
    )
    with pytest.raises(AuthError) as caught:
        push_to(sshd, source, target, identity=locked)
    assert "locked_key: locked by a passphrase" in str(caught.value.hint)


def test_without_any_key_it_says_so(
    sshd: Sshd, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(AuthError, match="no key that could be used"):
        push_to(sshd, source, target, identity=None)


# -- who answers ---------------------------------------------------------------------------------


def test_a_refused_connection_is_told_with_host_and_port(
    sshd: Sshd, source: Path, target: Path
) -> None:
    port = find_free_port()
    started = time.monotonic()
    with pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}.*refused"):
        push(source, f"ssh://127.0.0.1:{port}{target.parent}/x", connect=make_options(sshd))
    assert time.monotonic() - started < 60, "a refusal is no silence"


def test_a_host_that_swallows_packets_is_given_up(sshd: Sshd) -> None:
    del sshd
    with full_backlog() as port:
        started = time.monotonic()
        with pytest.raises(ConnectError, match=rf"127\.0\.0\.1:{port}.*no answer within 1 s"):
            connect_tcp("127.0.0.1", port, timeout_s=1)
        assert time.monotonic() - started < 60, "the kernel takes two minutes"


@contextmanager
def full_backlog() -> Iterator[int]:
    """Yield a port whose queue is full: the kernel drops what else wants to connect."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _number in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def test_something_else_than_sshd_is_told(sshd: Sshd, source: Path, target: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        answer = (
            "import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); c, _ = s.accept();"
            "c.sendall(b'HTTP/1.1 400 Bad Request\\r\\n\\r\\n'); c.close()"
        )
        server = subprocess.Popen(
            [sys.executable, "-c", answer, str(listener.fileno())], pass_fds=[listener.fileno()]
        )
        try:
            with pytest.raises(ConnectError, match="does not speak SSH"):
                push(source, f"ssh://127.0.0.1:{port}{target.parent}/x", connect=make_options(sshd))
        finally:
            server.kill()
            server.wait()


def test_a_host_without_hpctrack_is_told_how_to_install_it(
    sshd: Sshd, source: Path, target: Path
) -> None:
    with pytest.raises(SyncError, match="has no `hpctrack`") as caught:
        push_to(sshd, source, target, remote_command="hpctrack-is-not-here")
    assert "pip install hpctrack" in str(caught.value.hint)


def test_a_chatty_login_script_is_quoted(sshd: Sshd, source: Path, target: Path) -> None:
    command = f"echo 'Welcome to the cluster!'; {sshd.hpctrack}"
    with pytest.raises(ProtocolError, match="'Welcome to the cluster!' before its greeting"):
        push_to(sshd, source, target, remote_command=command)


def test_a_remote_that_prints_to_stderr_does_no_harm(
    sshd: Sshd, source: Path, target: Path
) -> None:
    command = f"head -c 300000 /dev/zero | tr '\\0' x >&2; {sshd.hpctrack}"
    assert push_to(sshd, source, target, remote_command=command).sent == 3


def test_a_store_that_cannot_be_made_is_refused(sshd: Sshd, source: Path, target: Path) -> None:
    with pytest.raises(RefusedError, match=r"the folder that the store .* is not there"):
        push_to(sshd, source, target / "absent" / "store")


# -- when it breaks off --------------------------------------------------------------------------

STALLING = """\
#!{python}
# Starts the real receiver, passes on the first bytes and then no more: the middle of a transfer.
import os, subprocess, sys
child = subprocess.Popen([{hpctrack!r}, *sys.argv[1:]], stdin=subprocess.PIPE)
left = {passed}
while left > 0:
    data = os.read(0, min(left, 65536))
    if not data:
        break
    child.stdin.write(data)
    child.stdin.flush()
    left -= len(data)
with open({pid_file!r} + ".tmp", "w") as file:
    file.write(str(child.pid))
os.rename({pid_file!r} + ".tmp", {pid_file!r})
while left <= 0 and child.poll() is None and os.read(0, 1):
    pass
child.stdin.close()
sys.exit(child.wait() and 1)
"""


class Stall:
    """A transfer that has stopped in the middle of a file."""

    def __init__(self, sshd: Sshd, source: Path, store: Path, folder: Path) -> None:
        size_bytes = sum(path.stat().st_size for path in source.rglob("*.h5"))
        pid_file = folder / "pid"
        text = STALLING.format(
            python=sys.executable,
            hpctrack=str(sshd.hpctrack),
            passed=size_bytes // 2,
            pid_file=str(pid_file),
        )
        command = write_script(folder / "stalling", text)
        code = "from hpctrack.cli.main import main; main()"
        root = str(Path(__file__).resolve().parents[2])
        self.sender = subprocess.Popen(
            [
                sys.executable, "-c", code, "sync", sshd.url(store), "--store", str(source),
                "--remote-command", str(command), "-i", str(sshd.identity),
                "--known-hosts", str(sshd.known_hosts),
            ],
            env={**os.environ, "PYTHONPATH": root},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        wait_for(pid_file.exists)
        self.receiver_pid = int(pid_file.read_text())

    def end(self) -> tuple[int, str]:
        """Wait for the sender; return its status and what it said."""
        _out, err = self.sender.communicate(timeout=180)
        return self.sender.returncode, err


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(scope="module")
def long_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with three runs whose files take several frames each."""
    store = tmp_path_factory.mktemp("long") / "store"
    log_runs(store, "digits/one", "digits/two", "other/one", points=400_000)
    sizes = [path.stat().st_size for path in store.rglob("run.h5")]
    assert min(sizes) > 3 * DATA_BYTES, "half of the bytes is the middle of a file"
    return store


def list_half_runs(store: Path) -> list[Path]:
    return [path for path in (store / ".incoming").glob("*/*") if path.stat().st_size]


def test_a_receiver_killed_in_mid_transfer_leaves_no_half_run_and_the_next_sync_completes(
    sshd: Sshd, long_source: Path, tmp_path: Path
) -> None:
    store = tmp_path / "target"
    stall = Stall(sshd, long_source, store, tmp_path)
    wait_for(lambda: list_half_runs(store))
    os.kill(stall.receiver_pid, signal.SIGKILL)
    status, told = stall.end()
    assert status == SyncError.exit_code, told
    assert "was lost" in told
    assert "run the same command again" in told
    assert list_half_runs(store), "the killed receiver could not clean up"
    visible = hash_files(store)
    assert visible.items() < hash_files(long_source).items()
    assert {f"{run.project}/{run.id}/run.h5" for run in Store(store).runs()} == set(visible)
    assert Store(store).broken() == []
    assert push_to(sshd, long_source, store).sent == 3 - len(visible)
    assert hash_files(store) == hash_files(long_source)


def test_a_sender_killed_in_mid_transfer_leaves_no_half_run_and_the_next_sync_completes(
    sshd: Sshd, long_source: Path, tmp_path: Path
) -> None:
    store = tmp_path / "target"
    stall = Stall(sshd, long_source, store, tmp_path)
    wait_for(lambda: list_half_runs(store))
    stall.sender.kill()
    stall.end()
    wait_for(lambda: not is_alive(stall.receiver_pid))
    # What has arrived is kept under its hash, for the next sync to go on at the byte.
    left = {path.partition("/")[0] for path in list_below(store / ".incoming")}
    assert left <= {"publish.lock", "partial"}
    assert hash_files(store).items() < hash_files(long_source).items()
    push_to(sshd, long_source, store)
    assert hash_files(store) == hash_files(long_source)
