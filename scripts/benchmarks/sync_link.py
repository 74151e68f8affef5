"""Two machines and the wire between them: network namespaces, which vanish with their processes.

Nothing has a name on this machine: a namespace lives as long as the process that holds it, and
that one ends when its standard input does, however the benchmark ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from scripts.benchmarks.lab import Lab, Place, end_process

PROGRAMS = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nsenter": "util-linux",
    "unshare": "util-linux",
    "setpriv": "util-linux",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "rsync": "rsync",
    "strace": "strace",
}
"""What is needed, and the Debian package that has it."""

MORTAL = ("setpriv", "--pdeathsig", "KILL")
"""Before a command that has to end with the benchmark, however that ends."""

SEARCHED = f"{os.environ.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
CLIENT_ADDRESS, SERVER_ADDRESS, LOOPBACK = "10.0.0.1", "10.0.0.2", "127.0.0.1"
INTERFACES = ("wire0", "wire1")
START_TIMEOUT_S = 20.0
QUEUE_PACKETS = 100_000
"""netem drops what does not fit; 1,000, its default, is less than one window at 150 ms."""


def list_obstacles() -> list[str]:
    """List what keeps transfers from being measured here."""
    found = [] if os.geteuid() == 0 else ["network namespaces need root"]
    missing = {package for name, package in PROGRAMS.items() if find_program(name) is None}
    return found + [f"{package} is not installed" for package in sorted(missing)]


def find_program(name: str) -> str | None:
    """Return the path of a program, daemons' folders included."""
    return shutil.which(name, path=SEARCHED)


@dataclass(frozen=True, slots=True)
class Machine:
    """A network namespace."""

    pid: int

    def enter(self, command: Sequence[str]) -> list[str]:
        """Return the command line that runs a program there; no process stays in between."""
        return ["nsenter", f"--net=/proc/{self.pid}/ns/net", "--", *command]

    def call(self, *command: str) -> bool:
        """Run a program there and tell whether it succeeded."""
        return subprocess.run(self.enter(command), capture_output=True, check=False).returncode == 0

    def need(self, *command: str) -> None:
        """Run a program there that has to succeed."""
        subprocess.run(self.enter(command), check=True, capture_output=True)

    def count_sent_bytes(self) -> int:
        """Return what all interfaces have sent."""
        lines = Path(f"/proc/{self.pid}/net/dev").read_text().splitlines()[2:]
        return sum(int(line.partition(":")[2].split()[8]) for line in lines)


@dataclass(frozen=True, slots=True)
class Link:
    """A client's machine, a server's, and the wire.

    Parameters
    ----------
    client, server : Machine
        The same one on loopback.
    address : str
        The server's.
    how : str
        What delays the packets.
    """

    client: Machine
    server: Machine
    address: str
    how: str

    def count_bytes(self) -> int:
        """Return what has gone over the wire, both ways together, as the interfaces count it.

        That is before segmentation: 64 KiB of a stream have one header, not 45.
        """
        machines = {self.client, self.server}
        return sum(one.count_sent_bytes() for one in machines)


@dataclass(frozen=True, slots=True)
class Wire:
    """How long and how wide a wire is.

    Parameters
    ----------
    rtt_s : float
        Round-trip time; 0 means loopback.
    rate_bytes_s : float
        Of either direction; 0 means that only the processor bounds it.
    """

    rtt_s: float = 0.0
    rate_bytes_s: float = 0.0


@contextmanager
def make_link(lab: Lab, place: Place, wire: Wire) -> Iterator[Link]:
    """Make two machines with a wire between them, or one with a loopback."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(_make_machine(place))
        if not wire.rtt_s:
            yield Link(server, server, LOOPBACK, "loopback")
            return
        client = stack.enter_context(_make_machine(place))
        how = "netem"
        if not _add_netem(client, server, wire):
            how = "delay line"
            line = _start_delay_line(lab, place, client, wire)
            stack.callback(end_process, line)
            client.need("ip", "link", "set", INTERFACES[1], "netns", str(server.pid))
        for machine, address, name in (
            (client, CLIENT_ADDRESS, INTERFACES[0]),
            (server, SERVER_ADDRESS, INTERFACES[1]),
        ):
            machine.need("ip", "address", "add", f"{address}/24", "dev", name)
            machine.need("ip", "link", "set", name, "txqueuelen", "10000", "up")
        yield Link(client, server, SERVER_ADDRESS, how)


@contextmanager
def _make_machine(place: Place) -> Iterator[Machine]:
    ours = Path("/proc/self/ns/net").stat().st_ino
    holder = subprocess.Popen(
        ["unshare", "--net", "cat"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=place.environ,
    )
    try:
        namespace = Path(f"/proc/{holder.pid}/ns/net")
        _wait_until(lambda: namespace.stat().st_ino != ours, "no namespace")
        machine = Machine(holder.pid)
        machine.need("ip", "link", "set", "lo", "up")
        yield machine
    finally:
        end_process(holder)
        if holder.stdin:
            holder.stdin.close()


def _add_netem(client: Machine, server: Machine, wire: Wire) -> bool:
    """Join two machines by a pair of interfaces with netem; False if the kernel has no netem."""
    one, other = INTERFACES
    client.need(
        *("ip", "link", "add", one, "type", "veth", "peer", "name", other),
        *("netns", str(server.pid)),
    )
    kind = ["netem", "delay", f"{wire.rtt_s * 5e5:.0f}us", "limit", str(QUEUE_PACKETS)]
    if wire.rate_bytes_s:
        kind += ["rate", f"{wire.rate_bytes_s * 8:.0f}bit"]
    for machine, name in ((client, one), (server, other)):
        if not machine.call("tc", "qdisc", "add", "dev", name, "root", *kind):
            client.need("ip", "link", "delete", one)
            return False
    return True


def _start_delay_line(
    lab: Lab, place: Place, client: Machine, wire: Wire
) -> subprocess.Popen[bytes]:
    """Start a program that makes two interfaces and holds every packet for half the round trip."""
    ready = place.folder / "delay-line"
    told = {
        "delay_s": wire.rtt_s / 2,
        "rate_bytes_s": wire.rate_bytes_s,
        "names": INTERFACES,
        "out": str(ready),
    }
    program = "scripts.benchmarks.programs.delay_line"
    command = [lab.python(), "-P", "-m", program, json.dumps(told)]
    ready.unlink(missing_ok=True)
    line = lab.start(
        place,
        [*MORTAL, *client.enter(command)],
        log_name="delay-line.log",
    )
    try:
        _wait_until(ready.exists, "neither netem nor a delay line (/dev/net/tun) works", line)
    except BaseException:
        end_process(line)
        raise
    return line


def _wait_until(
    is_true: Callable[[], bool], what: str, process: subprocess.Popen[bytes] | None = None
) -> None:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while not is_true():
        if time.monotonic() > deadline_s or (process is not None and process.poll() is not None):
            raise RuntimeError(what)
        time.sleep(0.005)
