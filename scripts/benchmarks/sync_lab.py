"""A real sshd at the end of a wire, and the commands that send a store to it, as a user types them.

The client's configuration of ssh is one file, which every contestant gets; ciphers are each
program's own choice unless a contestant's name says otherwise.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.lab import Lab, Place, end_process
from scripts.benchmarks.processes import (
    TOKEN_NAME,
    list_tree,
    read_command,
    read_cpu_s,
    read_memory_mb,
    read_tree_ticks_s,
)
from scripts.benchmarks.programs.command import START
from scripts.benchmarks.sync_link import MORTAL, Link, find_program

HOST, SHARED_HOST = "bench", "bench-shared"
"""Names in the client's ssh_config; the second goes over a ControlMaster."""

PROFILE_NAME = "BENCH_PROFILE"
"""Variable of the environment: a folder for profiles of both ends, whose times are worth nothing
then."""

SOCKET_NAME = "m"
"""A socket's path has at most 107 bytes, and ssh adds 17 while it makes one."""

PRIVILEGE_FOLDER = Path("/run/sshd")
START_TIMEOUT_S = 30.0
PUSH_TIMEOUT_S = 1200.0
SETTLE_TIMEOUT_S = 5.0
PEAK_INTERVAL_S = 0.01

SSHD_CONFIG = """\
Port 22
ListenAddress {address}
HostKey {folder}/host_key
PidFile none
AuthorizedKeysFile {folder}/user_key.pub
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
PubkeyAuthentication yes
PermitRootLogin prohibit-password
PrintMotd no
PrintLastLog no
UseDNS no
MaxStartups 100
SetEnv {token_name}={token}
"""

SSH_CONFIG = """\
Host {host} {shared_host}
  HostName {address}
  User {user}
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
Host {shared_host}
  ControlPath {socket}
"""

REMOTE_COMMAND = """\
#!/bin/sh
exec {before}{start} "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """One way of sending a store.

    Parameters
    ----------
    program : {"rsync", "sync"}
        ``rsync -a``, or ``hpctrack sync``.
    host : str
        By which name of ssh_config.
    options : tuple of str
        For ours; of ssh for rsync.
    """

    program: str
    host: str = HOST
    options: tuple[str, ...] = ()


CARRIERS: dict[str, Carrier] = {
    "rsync": Carrier(program="rsync"),
    "rsync with GCM": Carrier(program="rsync", options=("-c", "aes128-gcm@openssh.com")),
    "rsync over a ControlMaster": Carrier(program="rsync", host=SHARED_HOST),
    "paramiko": Carrier(program="sync", options=("--transport", "paramiko")),
    "ssh": Carrier(program="sync", options=("--transport", "ssh")),
    "ControlMaster": Carrier(program="sync", host=SHARED_HOST, options=("--transport", "ssh")),
}
"""All of them by name."""


@dataclass(slots=True)
class Desk:
    """A client and a server that are ready.

    Parameters
    ----------
    lab, place : Lab, Place
        Whose.
    link : Link
        Between the two.
    folder : Path
        Keys and configuration.
    sshd : Popen
        The server's.
    """

    lab: Lab
    place: Place
    link: Link
    folder: Path
    sshd: subprocess.Popen[bytes]
    master: subprocess.Popen[bytes] | None = None

    @property
    def ssh_config(self) -> Path:
        """The client's."""
        return self.folder / "ssh_config"

    def ssh(self, host: str, *words: str) -> list[str]:
        """Return the command line that runs something there."""
        return ["ssh", "-F", str(self.ssh_config), host, *words]

    def command(
        self,
        carrier: Carrier,
        source: Path,
        target: Path,
        extra: Sequence[str] = (),
        remote: Path | None = None,
    ) -> list[str]:
        """Return what a user types.

        Parameters
        ----------
        carrier : Carrier
            How.
        source, target : Path
            Store here and store there.
        extra : sequence of str
            More options.
        remote : Path, optional
            What is started there, instead of hpctrack as it is.
        """
        if carrier.program == "rsync":
            shell = shlex.join([*self.ssh(carrier.host, *carrier.options)[:3], *carrier.options])
            # What sync remembers of the store lies at its top, and is spared.
            return [
                *("rsync", "-a", "--exclude=/.*", "-e", shell, *extra),
                *(f"{source}/", f"{carrier.host}:{target}/"),
            ]
        program = remote or self.folder / "hpctrack"
        return [
            *(*self.start_words(), "sync", f"ssh://{carrier.host}{target}"),
            *("--ssh-config", str(self.ssh_config), "--remote-command", str(program)),
            *("--store", str(source), "--no-accounting", *carrier.options, *extra),
        ]

    def connect(self, name: str) -> dict[str, Any]:
        """Log in by a carrier, start a program that only ends, and return what that took."""
        carrier = CARRIERS[name]
        if "paramiko" not in carrier.options:
            return self.run(self.ssh(carrier.host, "true"))
        told = {"url": f"ssh://{carrier.host}/nowhere", "ssh_config": str(self.ssh_config)}
        program = "scripts.benchmarks.programs.connect_once"
        return self.run([self.lab.python(), "-P", "-m", program, json.dumps(told)])

    def start_words(self) -> list[str]:
        """Return how hpctrack is started at either end."""
        folder = os.environ.get(PROFILE_NAME)
        if folder is None:
            return [self.lab.python(), "-P", "-c", START]
        program = "scripts.benchmarks.programs.profiled"
        return [self.lab.python(), "-P", "-m", program, str(Path(folder, "sync").absolute())]

    def write_remote(self, name: str, before: Sequence[str] = ()) -> Path:
        """Write the program that stands for hpctrack there.

        Parameters
        ----------
        name : str
            Of the file.
        before : sequence of str
            A program that runs it.
        """
        path = self.folder / name
        words = f"{shlex.join(before)} " if before else ""
        start = shlex.join(self.start_words())
        path.write_text(REMOTE_COMMAND.format(before=words, start=start))
        path.chmod(0o755)
        return path

    def run(self, command: Sequence[str], *, is_watched: bool = False) -> dict[str, Any]:
        """Run a command on the client and return what it took at both ends.

        Parameters
        ----------
        command : sequence of str
            Words.
        is_watched : bool
            Look at the memory of both ends a hundred times a second, which costs time.
        """
        os.sync()
        cpu_s, wire_bytes = self._read_server_cpu_s(), self.link.count_bytes()
        master_s = read_cpu_s(self.master.pid) if self.master else 0.0
        wall_s = time.perf_counter()
        with self._start(command, is_watched=is_watched) as (process, peaks):
            _pid, status, used = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - wall_s
            process.returncode = os.waitstatus_to_exitcode(status)
        self._settle()
        if self.master:
            master_s = read_cpu_s(self.master.pid) - master_s
        sample = {
            "wall_s": wall_s,
            "client_cpu_s": used.ru_utime + used.ru_stime + master_s,
            "server_cpu_s": self._read_server_cpu_s() - cpu_s,
            "wire_bytes": self.link.count_bytes() - wire_bytes,
            **peaks,
        }
        if process.returncode:
            return {"error": self.lab.last_words(self.place, process.returncode)}
        return sample

    @contextmanager
    def _start(
        self, command: Sequence[str], *, is_watched: bool
    ) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, float]]]:
        """Start a process, kill it when it takes too long, and see how large both ends grow."""
        peaks: dict[str, float] = {}
        is_over = threading.Event()
        process = self.lab.start(self.place, self.link.client.enter(command))
        timer = threading.Timer(PUSH_TIMEOUT_S, process.kill)
        ends = {"client_mb": process.pid, "server_mb": self.sshd.pid}
        watch = threading.Thread(target=_watch_peaks, args=(ends, peaks, is_over))
        timer.start()
        if is_watched:
            watch.start()
        try:
            yield process, peaks
        finally:
            is_over.set()
            timer.cancel()
            end_process(process)
            if is_watched:
                watch.join()

    def _read_server_cpu_s(self) -> float:
        return read_tree_ticks_s(self.sshd.pid)

    def _settle(self) -> None:
        """Wait until the server's end of the session is gone: its CPU is counted then."""
        kept = 0 if self.master is None else self._shared
        deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
        while len(list_tree(self.sshd.pid)) > 1 + kept and time.monotonic() < deadline_s:
            time.sleep(0.005)

    _shared: int = 0

    @contextmanager
    def share(self) -> Iterator[None]:
        """Hold a connection open that `SHARED_HOST` goes over."""
        command = self.link.client.enter(self.ssh(SHARED_HOST, "-M", "-N"))
        self.master = self.lab.start(self.place, [*MORTAL, *command], log_name="master.log")
        try:
            check = self.link.client.enter(self.ssh(SHARED_HOST, "-O", "check"))
            _wait_until(lambda: _succeeds(check), "no ControlMaster", self.master)
            self._shared = len(list_tree(self.sshd.pid)) - 1
            yield
        finally:
            end_process(self.master)
            self.master = None
            (self.place.folder / SOCKET_NAME).unlink(missing_ok=True)
            self._settle()


def _watch_peaks(ends: dict[str, int], peaks: dict[str, float], is_over: threading.Event) -> None:
    """Note the largest memory of any of our processes, or rsync's, at either end."""
    while not is_over.wait(PEAK_INTERVAL_S):
        for end, root in ends.items():
            for pid in list_tree(root):
                words = read_command(pid)
                if "hpctrack.cli" in words or words.startswith("rsync"):
                    peaks[end] = max(peaks.get(end, 0.0), read_memory_mb(pid, "VmHWM"))


@contextmanager
def open_desk(lab: Lab, place: Place, link: Link) -> Iterator[Desk]:
    """Start sshd at the server's end of a link and give the client what it needs to log in."""
    PRIVILEGE_FOLDER.mkdir(mode=0o755, exist_ok=True)
    folder = place.folder / "ssh"
    folder.mkdir(exist_ok=True)
    _make_keys(folder, link.address)
    facts = {
        "folder": folder,
        "address": link.address,
        "user": getpass.getuser(),
        "host": HOST,
        "shared_host": SHARED_HOST,
        "socket": place.folder / SOCKET_NAME,
        "token_name": TOKEN_NAME,
        "token": place.token,
    }
    for name, text in (("sshd_config", SSHD_CONFIG), ("ssh_config", SSH_CONFIG)):
        (folder / name).write_text(text.format(**facts))
    # sshd starts itself again for each connection, so its path must be absolute.
    program = [str(find_program("sshd")), "-D", "-e", "-f", str(folder / "sshd_config")]
    keep = [lab.python(), "-P", str(Path(__file__).with_name("programs") / "keep.py")]
    sshd = lab.start(place, [*keep, *link.server.enter(program)], log_name="sshd.log")
    try:
        desk = Desk(lab, place, link, folder, sshd)
        desk.write_remote("hpctrack")
        hello = link.client.enter(desk.ssh(HOST, "true"))
        _wait_until(lambda: _succeeds(hello), "sshd does not answer", sshd)
        yield desk
    finally:
        for pid in list_tree(sshd.pid)[1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        end_process(sshd)


def _make_keys(folder: Path, address: str) -> None:
    for name in ("host_key", "user_key"):
        if not (folder / name).exists():
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)],
                check=True,
                stdin=subprocess.DEVNULL,
            )
    kind, blob, *_comment = (folder / "host_key.pub").read_text().split()
    (folder / "known_hosts").write_text(f"{HOST},{SHARED_HOST},{address} {kind} {blob}\n")


def _succeeds(command: Sequence[str]) -> bool:
    done = subprocess.run(command, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    return done.returncode == 0


def _wait_until(is_true: Callable[[], bool], what: str, process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not is_true():
        if time.monotonic() > deadline_s or process.poll() is not None:
            raise RuntimeError(what)
        time.sleep(0.02)
