"""Machines: start, wire, enter and kill them.

A machine is a tree of processes in namespaces of its own, below one PID 1 (machine.sh). Its
network is a veth pair whose other end hangs on a bridge inside the controller's namespace, so
that no interface, route or bridge is ever made on the host.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from .cgroups import make_cgroups
from .layout import ClusterError
from .requirements import NAMESPACES, SYSTEM_PATH
from .views import plan_views

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .layout import Layout, Options

ADDRESSES: Final = {"ctl": "10.77.0.1", "login": "10.78.0.2", "lab": "10.78.0.9"}
"""10.77.0 is the compute network (nodes from .11 on), 10.78.0 the one outside."""

START_S: Final = 240.0
"""0.2 s on an idle host, 20 s for the controller with a database on a busy one."""

DIE_S: Final = 60.0
"""The kernel tears a killed machine down within milliseconds, unless a process hangs on a disk."""

POLL_S: Final = 0.01


class Plug(NamedTuple):
    """One network cable of a machine: a bridge in the controller and a device in the machine."""

    bridge: str
    address: str
    device: str


def node_address(name: str) -> str:
    """Return the address of compute node n1, n2, ... on the compute network."""
    return f"10.77.0.{10 + int(name[1:])}"


class Machines:
    """The machines of one cluster.

    Parameters
    ----------
    layout : Layout
        Where the cluster lives.
    options : Options
        What it consists of.

    Notes
    -----
    Any process may enter or kill a machine; what that takes is in the run folder. Only the
    process that started a machine can see it as its child.
    """

    def __init__(self, layout: Layout, options: Options) -> None:
        self._layout = layout
        self._options = options
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def spawn(self, name: str) -> None:
        """Start a machine; it mounts its file systems and then waits for `release`."""
        layout, options = self._layout, self._options
        for suffix in ("pid", "up"):
            (layout.run / f"{name}.{suffix}").unlink(missing_ok=True)
        steps = plan_views(layout, name, options.keep)
        (layout.run / f"{name}.views").write_text("".join("\t".join(s) + "\n" for s in steps))
        if options.cgroups:
            make_cgroups(layout, name)
        role = name if name in ADDRESSES else "node"
        script = [str(layout.folder / "machine.sh"), name, role, str(layout.folder)]
        with (layout.log / f"machine.{name}.log").open("ab") as log:
            self._children[name] = subprocess.Popen(
                ["unshare", *NAMESPACES, "--fork", "--kill-child=KILL", "bash", *script]
                + ["accounting"] * options.accounting,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd="/",
                env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"},
                start_new_session=True,
            )

    def wire(self, names: Iterable[str]) -> None:
        """Plug machines into their networks; the controller has to be alive.

        Notes
        -----
        One run of ``ip`` for the controller's ends of all cables and one for each machine's.
        """
        inside: dict[str, list[str]] = {}
        bridged: list[str] = []
        for name in names:
            pid = self.require_pid(name)
            if name == "ctl":
                for bridge, network in (("fabric", "10.77.0"), ("outer", "10.78.0")):
                    bridged.append(f"link add {bridge} type bridge")
                    bridged.append(f"addr add {network}.1/24 dev {bridge}")
                    bridged.append(f"link set {bridge} up")
            for plug in self._list_plugs(name):
                cable = f"{plug.bridge}-{name}"
                bridged.append(f"link add {cable} type veth peer name {plug.device} netns {pid}")
                bridged.append(f"link set {cable} master {plug.bridge} up")
                inside.setdefault(name, []).append(f"addr add {plug.address}/24 dev {plug.device}")
                inside[name].append(f"link set {plug.device} up")
        if "login" in inside and not self._options.login_on_fabric:
            # slurmctld and slurmdbd and nothing else of the compute network
            inside["login"].append(f"route add {ADDRESSES['ctl']}/32 via 10.78.0.1")
        self._set_network("ctl", bridged)
        for name, commands in inside.items():
            self._set_network(name, commands)

    def unwire(self, name: str) -> None:
        """Take away what is left of a dead machine's cables; the kernel may be slow to do it."""
        for plug in self._list_plugs(name):
            self._set_network("ctl", [f"link del {plug.bridge}-{name}"], strict=False)

    def set_cable(self, name: str, state: str) -> None:
        """Pull (``"down"``) or push in (``"up"``) the network cables of a machine."""
        plugs = self._list_plugs(name)
        self._set_network("ctl", [f"link set {plug.bridge}-{name} {state}" for plug in plugs])

    def release(self, name: str) -> None:
        """Tell a machine that it is wired and may start its daemons."""
        pipe = self._children[name].stdin
        if pipe is not None:
            with pipe:
                pipe.write(b"wired\n")

    def wait_for(self, name: str, suffix: str) -> None:
        """Wait for the machine's mark ``pid`` (it exists) or ``up`` (its daemons run).

        Raises
        ------
        ClusterError
            The machine died, or `START_S` has passed.
        """
        mark = self._layout.run / f"{name}.{suffix}"
        child = self._children[name]
        deadline = time.monotonic() + START_S
        while not mark.exists():
            if child.poll() is not None:
                raise ClusterError(f"machine {name} died while it started")
            if time.monotonic() > deadline:
                raise ClusterError(f"machine {name} is not ready after {START_S:.0f} s")
            time.sleep(POLL_S)

    def kill(self, names: Sequence[str]) -> None:
        """Pull the plug: everything on these machines dies at once, and is gone on return.

        Raises
        ------
        ClusterError
            A machine outlives SIGKILL for longer than `DIE_S`.
        """
        dying = {}
        for name in names:
            if (descriptor := self._open_pid(name)) is not None:
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                dying[name] = descriptor
        deadline = time.monotonic() + DIE_S
        for name, descriptor in dying.items():
            # readable when PID 1 has ended, which the kernel lets happen last
            ended, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
            os.close(descriptor)
            if not ended:
                raise ClusterError(f"machine {name} does not die")
        for name in names:
            if child := self._children.pop(name, None):
                if child.stdin:
                    child.stdin.close()
                child.kill()  # it may have come no further than unshare
                child.wait(DIE_S)

    def find_pid(self, name: str) -> int | None:
        """Return the host's number of a machine's PID 1, None if the machine is off."""
        try:
            number, namespace = (self._layout.run / f"{name}.pid").read_text().split()
            # the inode tells PID 1 from a later process with the same number
            alive = str(Path(f"/proc/{number}/ns/pid").readlink()) == namespace
        except OSError:
            return None
        return int(number) if alive else None

    def require_pid(self, name: str) -> int:
        """Return the host's number of a machine's PID 1.

        Raises
        ------
        ClusterError
            There is no such machine, or it is off.
        """
        if name not in self._options.machine_names:
            known = ", ".join(self._options.machine_names)
            raise ClusterError(f"there is no machine {name!r}; there are {known}")
        pid = self.find_pid(name)
        if pid is None:
            raise ClusterError(f"machine {name} is off")
        return pid

    def make_command(
        self, name: str, argv: Iterable[str], *, user: str | None, env: Mapping[str, str]
    ) -> list[str]:
        """Return the host's command line that runs ``argv`` on a machine.

        Parameters
        ----------
        name : str
            The machine.
        argv : iterable of str
            Program and arguments, found on the machine's PATH.
        user : str or None
            A job user; None is root.
        env : mapping
            Added to a fresh environment; nothing of the caller's is passed on.
        """
        home = f"/home/{user}" if user else "/root"
        fresh = {
            "HOME": home,
            "USER": user or "root",
            "LOGNAME": user or "root",
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "PATH": SYSTEM_PATH,
            **env,
        }
        become = [f"--reuid={user}", f"--regid={user}", "--init-groups"] if user else []
        return [
            *("nsenter", "-t", str(self.require_pid(name)), "-m", "-n", "-u", "-i", "-p"),
            *(["setpriv", *become] if user else []),
            *("env", "-i", f"--chdir={home}", *(f"{key}={fresh[key]}" for key in fresh)),
            *argv,
        ]

    def _open_pid(self, name: str) -> int | None:
        """Return a descriptor of PID 1 that cannot come to mean another process."""
        pid = self.find_pid(name)
        if pid is None:
            return None
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return None
        if self.find_pid(name) == pid:
            return descriptor
        os.close(descriptor)
        return None

    def _list_plugs(self, name: str) -> list[Plug]:
        """List the cables of a machine; the controller has none, the bridges are in it."""
        if name == "ctl":
            return []
        if name not in ADDRESSES:
            return [Plug("fabric", node_address(name), "eth0")]
        plugs = [Plug("outer", ADDRESSES[name], "eth0")]
        if name == "login" and self._options.login_on_fabric:
            plugs.append(Plug("fabric", "10.77.0.2", "eth1"))
        return plugs

    def _set_network(self, name: str, commands: list[str], *, strict: bool = True) -> None:
        """Run commands of ``ip`` in a machine's network."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.require_pid(name)), "-n", "ip", "-batch", "-"],
            input="".join(f"{command}\n" for command in commands),
            env={"PATH": SYSTEM_PATH},
            capture_output=True,
            text=True,
            check=False,
        )
        if strict and done.returncode != 0:
            raise ClusterError(f"cannot set up the network of {name}: {done.stderr.strip()}")
