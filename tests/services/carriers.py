"""Every carrier to a peer program, for the suite that all of them must pass."""

from __future__ import annotations

import os
import pty
import select
import shlex
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hpctrack.sync.carriers.choice import open_transport
from hpctrack.sync.carriers.remote import LocalRemote, Remote, SshRemote
from hpctrack.sync.carriers.transport import ConnectOptions, Transport
from tests.services.sshd import ROOT, Sshd

PEER: Final = ROOT / "tests" / "services" / "carrier_peer.py"
TIMEOUT_S: Final = 180.0
KINDS: Final = ("local", "paramiko", "ssh", "ssh-shared", "paramiko-jump", "ssh-jump")


@dataclass(frozen=True, kw_only=True)
class Route:
    """A way to a peer.

    Parameters
    ----------
    carrier : str
        What `Transport.carrier` says.
    remote : Remote
    options : dict
        For `ConnectOptions`.
    """

    carrier: str
    remote: Remote
    options: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def start(self, word: str, **changes: Any) -> Iterator[Transport]:
        """Start a peer."""
        options = {"remote_command": peer_command(word), **self.options, **changes}
        transport = open_transport(self.remote, ConnectOptions(**options))
        with closing(transport):
            assert transport.carrier == self.carrier
            yield transport


def peer_command(word: str) -> str:
    """Return the shell words that start a peer."""
    return shlex.join([sys.executable, "-P", str(PEER), word])


def make_route(kind: str, sshd: Sshd, gateway: Sshd, folder: Path) -> Route:
    """Return a way to a peer, with a configuration of its own in a folder."""
    if kind == "local":
        return Route(carrier="local", remote=LocalRemote(folder / "store"))
    carrier, _dash, how = kind.partition("-")
    config = folder / "ssh_config"
    lines = describe_host("peer", sshd)
    if how == "jump":
        lines += ["  ProxyJump gateway", *describe_host("gateway", gateway)]
    if how == "shared":
        # A path of its own that is short: a socket's has at most 107 bytes.
        lines += [f"  ControlPath {folder}/c", "  ControlMaster no"]
    config.write_text("\n".join(lines) + "\n")
    options = {"transport": carrier, "ssh_config": config, "batch": True}
    return Route(carrier=carrier, remote=SshRemote("peer", str(folder / "store")), options=options)


def describe_host(name: str, sshd: Sshd) -> list[str]:
    """Return the lines of an ssh_config about an sshd."""
    return [
        f"Host {name}",
        "  HostName 127.0.0.1",
        f"  Port {sshd.port}",
        f"  User {sshd.user}",
        f"  IdentityFile {sshd.identity}",
        "  IdentitiesOnly yes",
        f"  UserKnownHostsFile {sshd.known_hosts}",
    ]


@contextmanager
def shared_connection(config: Path) -> Iterator[None]:
    """Hold a connection open that others share."""
    words = ["ssh", "-F", str(config), "-o", "ControlMaster=yes", "-N", "-T", "peer"]
    master = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while subprocess.run(
            ["ssh", "-F", str(config), "-O", "check", "peer"], capture_output=True, check=False
        ).returncode:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield
    finally:
        master.terminate()
        master.wait()


def read_exactly(transport: Transport, size_bytes: int) -> bytes:
    """Read so many bytes, or until the end."""
    found = bytearray()
    while len(found) < size_bytes:
        data = transport.read(size_bytes - len(found), timeout_s=TIMEOUT_S)
        if not data:
            break
        found += data
    return bytes(found)


def read_all(transport: Transport) -> bytes:
    """Read until the end."""
    return read_exactly(transport, 1 << 40)


@dataclass(frozen=True)
class Spoken:
    """What a program at a terminal has said.

    Parameters
    ----------
    shown : str
        On the terminal.
    status : int
        Its exit status.
    """

    shown: str
    status: int


def speak(code: str, answers: Sequence[tuple[str, str]], *, timeout_s: float = 180.0) -> Spoken:
    """Run Python code at a terminal, as a person would, and answer its questions.

    Parameters
    ----------
    code : str
        A program.
    answers : sequence of (str, str)
        A text to wait for, and what is typed then; one after the other.
    timeout_s : float, optional
        Then it is killed.
    """
    pid, master = pty.fork()
    if pid == 0:
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-c", textwrap.dedent(code)])  # noqa: S606
    shown = b""
    left = list(answers)
    seen = 0
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 0.1)[0]:
            continue
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        shown += data
        place = shown.find(left[0][0].encode(), seen) if left else -1
        if place >= 0:
            seen = place + len(left[0][0])
            # ssh empties what was typed before its question.
            time.sleep(0.2)
            os.write(master, left.pop(0)[1].encode() + b"\n")
    else:
        os.kill(pid, 9)
    os.close(master)
    _pid, status = os.waitpid(pid, 0)
    return Spoken(shown.decode(errors="replace"), os.waitstatus_to_exitcode(status))
