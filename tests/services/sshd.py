"""A private sshd on loopback, with its own keys, for tests marked ``ssh``.

It runs as root or as an ordinary user, without PAM, and trusts one key that was made for it.
Nothing of the machine's own SSH is read or changed, but for /run/sshd, which a root's sshd needs.
"""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.capabilities import find_program

ROOT: Final = Path(__file__).resolve().parents[2]
PRIVILEGE_FOLDER: Final = Path("/run/sshd")
START_TIMEOUT_S: Final = 180.0
STOP_TIMEOUT_S: Final = 180.0
START_ATTEMPTS: Final = 5
"""Between finding a free port and sshd's bind another process may take it."""

CONFIG: Final = """
{extra}
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
PidFile {folder}/sshd.pid
AuthorizedKeysFile {folder}/authorized_keys
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
MaxStartups 100
LogLevel VERBOSE
"""

HPCTRACK: Final = """\
#!/bin/sh
exec {python} -P -c 'import sys; sys.path.insert(0, sys.argv.pop(1))
from hpctrack.cli.main import main; main()' {root} "$@"
"""


class Sshd:
    """A running sshd.

    Parameters
    ----------
    folder : Path
        An empty one for its files.
    extra : str, optional
        More lines of its configuration; they win. ``{folder}`` is filled in.
    start : sequence of str, optional
        Words before the program: what it is to run in.

    Attributes
    ----------
    folder : Path
        Its keys, configuration and log.
    port : int
    user : str
        Who may log in.
    identity : Path
        The private key that is accepted.
    known_hosts : Path
        A file that trusts it.
    hpctrack : Path
        A program to give as ``--remote-command``: this checkout's command line.
    """

    def __init__(self, folder: Path, *, extra: str = "", start: Sequence[str] = ()) -> None:
        self.folder = folder
        self._extra = extra
        self._start = list(start)
        self.user = getpass.getuser()
        self.identity = folder / "user_key"
        self.known_hosts = folder / "known_hosts"
        self.hpctrack = folder / "hpctrack"
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._program = find_program("sshd")
        make_key(folder / "host_key")
        make_key(self.identity)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        self.hpctrack.write_text(
            HPCTRACK.format(python=shlex.quote(sys.executable), root=shlex.quote(str(ROOT)))
        )
        self.hpctrack.chmod(0o755)

    def start(self) -> None:
        """Start it on a free port and wait until it answers."""
        assert self._program, "sshd is not installed"
        if os.getuid() == 0:
            PRIVILEGE_FOLDER.mkdir(mode=0o755, exist_ok=True)
        for _attempt in range(START_ATTEMPTS):
            self.port = find_free_port()
            config = self.folder / "sshd_config"
            extra = self._extra.replace("{folder}", str(self.folder))
            config.write_text(CONFIG.format(extra=extra, port=self.port, folder=self.folder))
            with (self.folder / "sshd.log").open("ab") as log:
                # -e: to this log. sshd starts itself again, so its path must be absolute.
                self._process = subprocess.Popen(
                    [*self._start, self._program, "-D", "-e", "-f", str(config)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if self._answers():
                self.known_hosts.write_text(self.known_line(self.folder / "host_key.pub"))
                return
            self.stop()
        pytest.fail(f"sshd does not start:\n{self.read_log()}")

    def stop(self) -> None:
        """End it; sessions that are open end with their clients."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def known_line(self, public_key: Path) -> str:
        """Return the line of a known_hosts file that trusts a key for this server."""
        kind, blob, *_ = public_key.read_text().split()
        return f"[127.0.0.1]:{self.port} {kind} {blob}\n"

    def url(self, store: Path) -> str:
        """Return the remote of a store."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}{store}"

    def read_log(self) -> str:
        """Return what it has said."""
        return (self.folder / "sshd.log").read_text(errors="replace")

    def _answers(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                    if sock.recv(4) == b"SSH-":
                        return True
            except OSError:
                time.sleep(0.02)
        return False


def make_key(path: Path, kind: str = "ed25519", *, passphrase: str = "") -> Path:
    """Make a key pair."""
    words = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", path.name, "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


def certify(authority: Path, public_key: Path, *options: str) -> Path:
    """Have an authority sign a public key; return the certificate.

    Parameters
    ----------
    authority : Path
        Its private key.
    public_key : Path
        A ``.pub`` file.
    *options : str
        More of ssh-keygen's: ``-n names``, ``-V validity``, ``-h`` for a host.
    """
    words = ["ssh-keygen", "-q", "-s", str(authority), "-I", public_key.stem, *options]
    subprocess.run([*words, str(public_key)], check=True, stdin=subprocess.DEVNULL)
    return public_key.with_name(f"{public_key.stem}-cert.pub")


def find_free_port() -> int:
    """Return a port that nobody listens on just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def write_script(path: Path, text: str) -> Path:
    """Write a program for the other side."""
    path.write_text(textwrap.dedent(text))
    path.chmod(0o755)
    return path


@contextmanager
def running(extra: str = "", *, start: Sequence[str] = ()) -> Iterator[Sshd]:
    """Run one more sshd; its log is printed if what it is for fails."""
    folder = Path(tempfile.mkdtemp(prefix="sshd-"))
    server = Sshd(folder, extra=extra, start=start)
    try:
        server.start()
        yield server
    except BaseException:
        print("\n".join(server.read_log().splitlines()[-40:]))
        raise
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sshd(request: pytest.FixtureRequest) -> Iterator[Sshd]:
    """An sshd that the test session shares; its log is printed when a test has failed."""
    folder = Path(tempfile.mkdtemp(prefix="sshd-"))
    failed_before = request.session.testsfailed
    server = Sshd(folder)
    try:
        server.start()
        yield server
    finally:
        server.stop()
        if request.session.testsfailed > failed_before:
            print("\n".join(server.read_log().splitlines()[-40:]))
        shutil.rmtree(folder, ignore_errors=True)
