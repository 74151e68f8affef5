"""A process as /proc shows it: what was typed, where, with what environment, and who started it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from hpctrack.telemetry.provenance.files import list_names, read_bytes, read_text

ANCESTORS_MAX = 32
FAMILY_MAX = 500
ENVIRON_MAX_BYTES = 4 * 1024 * 1024
MAPS_MAX_BYTES = 16 * 1024 * 1024


class Process:
    """One process; each thing is read when it is first asked for.

    Parameters
    ----------
    pid : int
        As this process sees it.
    root : Path, optional
        For tests: what stands for ``/``.
    """

    def __init__(self, pid: int, root: Path = Path("/")) -> None:
        self.pid = pid
        self.root = root
        self._folder = root / "proc" / (str(pid) if pid else "self")

    @cached_property
    def arguments(self) -> list[str]:
        """Its command line; empty if it cannot be read."""
        return _split_zeros(read_bytes(self._folder / "cmdline") or b"")

    @cached_property
    def environ(self) -> dict[str, str] | None:
        """Its environment as it was when it began; None if it cannot be read."""
        data = read_bytes(self._folder / "environ", ENVIRON_MAX_BYTES)
        if data is None:
            return None
        pairs = (one.partition("=") for one in _split_zeros(data))
        return {name: value for name, equals, value in pairs if name and equals}

    @cached_property
    def cwd(self) -> str:
        """Its working folder; empty if it cannot be read."""
        return self._link("cwd")

    @cached_property
    def executable(self) -> str:
        """The program's file, links followed; empty if it cannot be read."""
        return self._link("exe")

    @cached_property
    def files(self) -> Path:
        """Where an absolute path of the process begins for us: it may be in a container."""
        own = self._folder / "root"
        # The way through /proc ends with the process; most are where we are.
        if self._link("root") == "/" and self.mounts == Process(0, self.root).mounts:
            return self.root
        return own if list_names(own) else self.root

    @property
    def mounts(self) -> str:
        """What tells its name space of mounts from others; number 0 is this process itself."""
        return self._link("ns/mnt")

    @property
    def parent(self) -> int:
        """The number of the process that started it, or that has taken it over; 0 if unknown."""
        fields = (read_text(self._folder / "stat") or "").rpartition(")")[2].split()
        return int(fields[1]) if len(fields) > 1 and fields[1].isdigit() else 0

    @property
    def children(self) -> list[int] | None:
        """Those that it has started and that live; None if the kernel does not tell."""
        found: list[int] = []
        for thread in list_names(self._folder / "task"):
            text = read_text(self._folder / "task" / thread / "children")
            if text is None:
                return None
            found += map(int, text.split())
        return found

    @property
    def is_there(self) -> bool:
        """Whether there is such a process."""
        return bool(self.read("stat"))

    @cached_property
    def maps(self) -> str:
        """Which files were in its memory when this was first asked."""
        return self.read_maps()

    @cached_property
    def cgroup(self) -> str:
        """Its control groups."""
        return self.read("cgroup")

    @cached_property
    def mountinfo(self) -> str:
        """What is mounted for it."""
        return self.read("mountinfo")

    def remember(self) -> None:
        """Read everything now: it may be about to end."""
        for name in ("environ", "arguments", "cwd", "executable", "maps", "files", "cgroup"):
            getattr(self, name)
        _ = self.mountinfo
        for one in self.ancestors:  # mpirun ends with the last of its ranks
            _ = one.arguments, one.environ

    def read_maps(self) -> str:
        """Return which files are in its memory, now."""
        return read_text(self._folder / "maps", MAPS_MAX_BYTES) or ""

    def read(self, name: str) -> str:
        """Return a file of its folder in /proc; empty if it cannot be read."""
        return read_text(self._folder / name) or ""

    @cached_property
    def ancestors(self) -> list[Process]:
        """Who started it, who started that one, and so on, without the first process."""
        return list(self._iter_ancestors())

    def _iter_ancestors(self) -> Iterator[Process]:
        one: Process = self
        for _generation in range(ANCESTORS_MAX):
            pid = one.parent
            if pid <= 1:
                return
            one = Process(pid, self.root)
            yield one

    def _link(self, name: str) -> str:
        try:
            return os.fspath((self._folder / name).readlink()).removesuffix(" (deleted)")
        except OSError:
            return ""


def iter_processes(root: Path = Path("/")) -> Iterator[Process]:
    """Yield the processes that can be seen."""
    for name in list_names(root / "proc"):
        if name.isdigit():
            yield Process(int(name), root)


def find_family(pid: int, root: Path = Path("/")) -> list[Process]:
    """Return a process and all that descend from it."""
    first = Process(pid, root)
    if first.children is None:
        return _search_family(first)
    family = [first]
    for one in family:
        family += [Process(number, root) for number in one.children or ()]
        if len(family) > FAMILY_MAX:
            break
    return family


def _search_family(first: Process) -> list[Process]:
    """Ask all processes for their parents, where the kernel does not tell a process's children."""
    children: dict[int, list[Process]] = {}
    for one in iter_processes(first.root):
        children.setdefault(one.parent, []).append(one)
    family = [first]
    for one in family:
        family += children.get(one.pid, [])
    return family[:FAMILY_MAX]


def _split_zeros(data: bytes) -> list[str]:
    text = data.decode("utf-8", "surrogateescape")
    return text.removesuffix("\0").split("\0") if text else []
