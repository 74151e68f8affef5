"""Which processes belong to which rank."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from hpctrack.telemetry.kernel_files import KernelFiles, first_number
from hpctrack.telemetry.process_files import ProcessStat, parse_stat, parse_status

RESCAN_S = 30.0
"""How often all processes are looked at again. In between only new ones are: a process that left
its parent, or one that got the number of another, may be missed for so long."""

NEW_MAX = 50
"""New processes and threads, by their numbers, that are looked at one by one; the list of all costs
as much as this many of them."""

DEPTH_MAX = 100
"""Ancestors that are looked at; more than this would be a loop in what we were told."""

HOST_PID_NAMESPACE = "pid:[4026531836]"
"""What the first PID namespace of a Linux machine is called, always."""


class ProcessTrees:
    """The watched ranks and all their descendants.

    Parameters
    ----------
    files : KernelFiles

    Notes
    -----
    Once found, a process stays with its rank when its parent dies and it is given to another: a
    daemon that a rank started goes on counting for the rank. New processes are known by
    their numbers, which the kernel gives away one after the other; only where many were made, and
    from time to time, the list of all is looked at. One that has ended stays until it is forgotten,
    or until then.
    """

    def __init__(self, files: KernelFiles) -> None:
        self._files = files
        self._roots: frozenset[int] = frozenset()
        self._owners: dict[int, int] = {}
        self._newest: int | None = None
        self._scanned_s: float | None = None
        self._inner: dict[int, int] | None = None
        self.members: dict[int, list[int]] = {}

    def owners(self) -> dict[int, int]:
        """Return the root of each process that is known, by pid."""
        return dict(self._owners)

    def update(self, roots: AbstractSet[int], mono_s: float) -> None:
        """Find the processes that there are now; `members` are then those of each root.

        Parameters
        ----------
        roots : set of int
            Pids of the watched ranks. One that descends from another is a tree of its own.
        mono_s : float
            Now.
        """
        newest = first_number((self._files.peek_small("proc/loadavg") or "").rpartition(" ")[2])
        is_stale = self._scanned_s is None or mono_s - self._scanned_s >= RESCAN_S
        known = self._owners
        if is_stale or roots != self._roots:
            self._roots = frozenset(roots)
            self._scanned_s = mono_s
            self._owners = {root: root for root in roots}
            self._scan(known)
        elif newest is None or self._newest is None or not self._is_near(newest):
            self._scan(known)
        elif newest > self._newest:
            self._look_at(range(self._newest + 1, newest + 1))
        self._newest = newest

    def forget(self, root: int, pid: int) -> None:
        """Take a process out that has ended."""
        self._owners.pop(pid, None)
        if pid in self.members.get(root, ()):
            self.members[root].remove(pid)
            self._inner = None

    def find_root(self, pid: int) -> int | None:
        """Return the watched rank that a process belongs to, or None.

        Parameters
        ----------
        pid : int
            As the agent sees it, or as the process sees itself in a container that has PIDs of
            its own, if that number is of one watched process only.

        Notes
        -----
        May be called from any thread.
        """
        owner = self._owners.get(pid)
        if owner:
            return owner
        if self._files.has(f"proc/{pid}"):
            return find_root(pid, self._roots, self._files)
        inner = self._inner
        if inner is None:
            inner = self._inner = self._read_inner()
        return inner.get(pid) or None

    def _read_inner(self) -> dict[int, int]:
        """Return the roots by the numbers in inner PID namespaces; 0 where one is ambiguous."""
        found: dict[int, int] = {}
        for root, pids in list(self.members.items()):
            for pid in list(pids):
                text = self._files.peek_small(f"proc/{pid}/status")
                for inner in parse_status(text).namespace_pids[1:] if text else ():
                    found[inner] = root if found.get(inner, root) == root else 0
        return found

    def _scan(self, known: dict[int, int]) -> None:
        """Give every process that has no owner one, or 0 for none of ours.

        Parameters
        ----------
        known : dict
            Owners as they were before.
        """
        there = self._files.numbers("proc")
        owners = {pid: root for pid, root in self._owners.items() if pid in there}
        parents = {pid: self._find_parent(pid) for pid in there if pid not in owners}
        for pid in parents:
            trace(pid, parents, owners)
        strays = {
            pid: root
            for pid, root in known.items()
            if root in self._roots and owners.get(pid, root) == 0
        }
        if strays:
            owners = {pid: root for pid, root in owners.items() if root} | strays
            for pid in parents:
                trace(pid, parents, owners)
        members: dict[int, list[int]] = {root: [] for root in self._roots if root in there}
        for pid, root in owners.items():
            if root in members:
                members[root].append(pid)
        if members != self.members:
            self._inner = None
        self._owners, self.members = owners, members

    def _is_near(self, newest: int) -> bool:
        """Tell whether few processes were made since the last look; numbers start over, too."""
        return self._newest is not None and 0 <= newest - self._newest <= NEW_MAX

    def _look_at(self, pids: Iterable[int]) -> None:
        """Find out whose the processes with these numbers are, if there are such.

        Parameters
        ----------
        pids : iterable of int
            All that were given away since the last look, to threads too; and those in between that
            were in use.
        """
        parents = {}
        for pid in pids:
            if self._owners.get(pid):
                continue  # it is one of ours, as long as it is not forgotten
            self._owners.pop(pid, None)
            stat = read_stat(self._files, pid)
            if stat is not None and not stat.is_thread:
                parents[pid] = stat.ppid
        for pid in parents:
            trace(pid, parents, self._owners)
            members = self.members.get(self._owners[pid])
            if members is not None:
                members.append(pid)
                self._inner = None

    def _find_parent(self, pid: int) -> int:
        stat = read_stat(self._files, pid)
        return stat.ppid if stat else 0


def trace(pid: int, parents: dict[int, int], owners: dict[int, int]) -> None:
    """Give a process the owner that its nearest ancestor with one has; 0 if there is none.

    Parameters
    ----------
    pid : int
    parents : dict
        Of all processes that may have no owner yet.
    owners : dict
        Is filled, for the ancestors on the way too.
    """
    line: list[int] = []
    while pid not in owners and pid in parents and len(line) < DEPTH_MAX:
        line.append(pid)
        pid = parents[pid]
    owner = owners.get(pid, 0)
    for one in line:
        owners[one] = owner


def read_stat(files: KernelFiles, pid: int) -> ProcessStat | None:
    """Return what ``stat`` says of a process, or None if it has ended."""
    try:
        return parse_stat(files.read_small(f"proc/{pid}/stat"))
    except (OSError, ValueError):
        return None


def find_root(pid: int, roots: AbstractSet[int], files: KernelFiles) -> int | None:
    """Return the one of some processes that another is, or descends from, as things stand now.

    Parameters
    ----------
    pid : int
    roots : set of int
    files : KernelFiles
    """
    for _depth in range(DEPTH_MAX):
        if pid in roots:
            return pid
        stat = read_stat(files, pid) if pid > 1 else None
        if stat is None:
            return None
        pid = stat.ppid
    return None


def is_host_pid_namespace(files: KernelFiles) -> bool | None:
    """Tell whether we see the machine's own PIDs, as drivers do; None if it cannot be told.

    In a container that has PIDs of its own the numbers that a driver names (NVML's processes)
    are of other processes than ours.
    """
    try:
        return str(files.path("proc/self/ns/pid").readlink()) == HOST_PID_NAMESPACE
    except OSError:
        return None
