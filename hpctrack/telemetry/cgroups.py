"""Which control group the job is in, however the node and the scheduler lay them out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from hpctrack.telemetry.kernel_files import KernelFiles

SLUID = re.compile(r"s[0-9A-HJKMNP-TV-Z]{13}")
"""A job as Slurm 26.05 names its cgroup, unless ``CgroupJobIdPaths=yes``: an s and thirteen digits
of Crockford's base32."""


class Mount(NamedTuple):
    """One line of ``mountinfo``, as far as it is used."""

    root: str
    point: str
    kind: str
    source: str
    options: frozenset[str]


class Owner(NamedTuple):
    """Whose a cgroup is.

    Parameters
    ----------
    kind : str
        slurm, pbs, lsf, torque, gridengine, htcondor, kubernetes, docker, podman, container.
    name : str
        The job's id, or its SLUID; a container's id.
    path : str
        The folder of the job or container as a whole, as in ``/proc/PID/cgroup``.
    """

    kind: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Cgroup:
    """Where one controller has the job.

    Parameters
    ----------
    version : int
        1 or 2.
    mount : str
        Where the hierarchy is mounted, without a slash at the front.
    path : str
        The process's own folder below that, beginning with a slash; empty for the top.
    """

    version: int
    mount: str
    path: str

    @property
    def folder(self) -> str:
        """The process's own folder."""
        return self.mount + self.path

    def levels(self) -> list[str]:
        """Return the folders from the process's own up to the top."""
        parts = self.path.split("/")[1:]
        return [
            self.mount + "".join(f"/{part}" for part in parts[:count])
            for count in range(len(parts), -1, -1)
        ]


_OWNERS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern))
    for kind, pattern in (
        # slurm, slurm_<node> (several slurmd on one machine), <node>_slurmstepd.scope; the slice
        # around it can be configured.
        ("slurm", r"/slurm[^/]*/uid_\d+/job_(?P<name>\d+)(?=/|$)"),
        ("slurm", r"/[^/]*slurmstepd\.scope/job_(?P<name>\d+)(?=/|$)"),
        ("slurm", rf"/[^/]*slurmstepd\.scope/(?P<name>{SLUID.pattern})(?=/|$)"),
        ("pbs", r"/pbs(?:_jobs|pro)\.service/job(?:id|s)/(?P<name>[^/]+)"),
        ("pbs", r"/pbspro-(?P<name>\d[^/]*)\.slice"),
        ("lsf", r"/lsf/[^/]+/job\.(?P<name>\d+)\.[^/]*"),
        ("torque", r"/torque/(?P<name>\d[^/]*)"),
        ("gridengine", r"/(?:UGE|AGE|OCS|SGE)/(?P<name>\d[^/]*)"),
        ("htcondor", r"/(?:htcondor|condor\.service)/condor_(?P<name>[^/]*slot[^/]*)"),
        ("kubernetes", r"/[^/]*kubepods.*/[^/]*?(?P<name>[0-9a-f]{64})(?:\.scope)?"),
        ("docker", r"/docker/(?P<name>[0-9a-f]{64})"),
        ("docker", r"/docker-(?P<name>[0-9a-f]{64})\.scope"),
        ("podman", r"/libpod-(?P<name>[0-9a-f]{64})(?:\.scope)?"),
        ("container", r"/(?:apptainer|singularity|lxc)[-/.](?P<name>[^/]+)"),
    )
)
"""In this order: a container in a job belongs to the job, whose limits hold for it too."""


def parse_memberships(text: str) -> dict[str, str]:
    """Return the path of a process in each hierarchy, of ``/proc/PID/cgroup``.

    Returns
    -------
    dict
        By controller (``memory``, ``cpu``); version 2 is the empty name.
    """
    found = {}
    for line in text.splitlines():
        number, colon, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        path = path.removesuffix(" (deleted)")
        if number == "0" and not controllers:
            found[""] = path
        for name in controllers.split(",") if controllers else ():
            found[name] = path
    return found


def parse_mounts(text: str) -> list[Mount]:
    """Return what is mounted, of ``/proc/PID/mountinfo``."""
    found = []
    for line in text.splitlines():
        front, dash, back = line.partition(" - ")
        words, ends = front.split(), back.split()
        if dash and len(words) > 4 and len(ends) > 1:  # noqa: PLR2004 - up to the mount point
            options = frozenset(ends[2].split(",")) if ends[2:] else frozenset()
            found.append(Mount(_unescape(words[3]), _unescape(words[4]), ends[0], ends[1], options))
    return found


def find_owner(path: str) -> Owner | None:
    """Return whose cgroup a path is of, or None if it is of nobody we know.

    Examples
    --------
    >>> find_owner("/slurm/uid_1000/job_42/step_0/task_3")
    Owner(kind='slurm', name='42', path='/slurm/uid_1000/job_42')
    >>> find_owner("/system.slice/slurmstepd.scope/s5K1KKYAYG5D00/step_0/user/task_0").name
    's5K1KKYAYG5D00'
    """
    for kind, pattern in _OWNERS:
        match = pattern.search(path)
        if match:
            return Owner(kind, match["name"], path[: match.end()])
    return None


def place_cgroup(
    controller: str, memberships: Mapping[str, str], mounts: list[Mount]
) -> Cgroup | None:
    """Return where a controller has a process, or None if that cannot be seen.

    A controller is in one hierarchy only: of version 1 if it is named in the memberships, else of
    version 2. A node may have both kinds (hybrid).
    """
    version = 1 if controller and controller in memberships else 2
    path = memberships.get(controller if version == 1 else "")
    if path is None or path.startswith("/.."):
        return None  # it lies outside of what this cgroup namespace shows
    for mount in mounts:
        if version == 1 and not (mount.kind == "cgroup" and controller in mount.options):
            continue
        if version == 2 and mount.kind != "cgroup2":  # noqa: PLR2004
            continue
        top = mount.root.rstrip("/")
        if path != top and not path.startswith(f"{top}/"):
            continue  # another part of the hierarchy is mounted there
        below = path[len(top) :].rstrip("/")
        return Cgroup(version, mount.point.strip("/"), below)
    return None


class JobCgroup:
    """The job's cgroup on this node, found by one of its processes.

    Parameters
    ----------
    files : KernelFiles
    pid : int or str
        A rank, or ``self``.
    """

    def __init__(self, files: KernelFiles, pid: int | str) -> None:
        self._files = files
        self._memberships = parse_memberships(files.peek(f"proc/{pid}/cgroup") or "")
        self._mounts = parse_mounts(files.peek("proc/self/mountinfo") or "")
        paths = [self._memberships.get(name) for name in ("memory", "", "cpuset", "cpu", "freezer")]
        owners = [owner for path in paths if path and (owner := find_owner(path))]
        self.owner = owners[0] if owners else None

    def find(self, controller: str) -> Cgroup | None:
        """Return where a controller has the job, as a whole: steps and tasks are part of it.

        Without a scheduler or container that we know, it is the folder of the process. Where the
        job has a folder for other controllers but not for this one, there is none: what the
        process is in then (``slurmd.service``) is of all jobs.
        """
        found = self.find_own(controller)
        path = self._memberships.get(controller) or self._memberships.get("") or ""
        if found is None or (self.owner and not find_owner(path)):
            return None
        # What is seen of the path begins within the container's folder, if that is mounted here.
        owner = find_owner(found.path)
        return Cgroup(found.version, found.mount, owner.path) if owner else found

    def find_own(self, controller: str) -> Cgroup | None:
        """Return where a controller has the process itself."""
        return place_cgroup(controller, self._memberships, self._mounts)

    def levels(self, cgroup: Cgroup) -> Iterator[str]:
        """Yield the folders from a process's own up, but not the machine's own top."""
        for folder in cgroup.levels():
            if self.is_top(cgroup, folder):
                return
            yield folder

    def is_top(self, cgroup: Cgroup, folder: str) -> bool:
        """Tell whether a folder is the machine's own top, of which every process is.

        The top of a container's view looks the same, but has limits and numbers of its own.
        """
        if folder != cgroup.mount:
            return False
        if cgroup.version == 1:
            return self._files.has(f"{folder}/release_agent")
        return not self._files.has(f"{folder}/cgroup.events")


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
