"""One cluster: bring it up, use it, break it, take it down."""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from . import jobs, lifecycle
from .cgroups import remove_cgroups
from .config import write_files
from .layout import JOB_USERS, ClusterError, Layout, Options, Place, check_folder
from .machines import Machines
from .processes import run_command
from .requirements import list_missing

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping

READY_S: Final = 240.0
"""From the start of the last daemon until Slurm calls every node idle: 0.3 s on an idle host."""

RUN_S: Final = 240.0
"""A command on a machine that takes longer is taken for hung, unless the caller says else."""


class Cluster:
    """A Slurm cluster on this host: ctl, login, lab and compute nodes n1 to nN.

    Parameters
    ----------
    folder : Path, optional
        Private folder, made by `up` and removed by `down`; default a fresh one in /opt.
    options : Options, optional
        What the cluster consists of; default three nodes and nothing else.

    Notes
    -----
    The lab machine stands for a user's workstation: it reaches the login node's sshd and shares
    no file system with the cluster. Compute nodes reach one another and the controller only.
    As a context manager the cluster is up inside and down after.
    """

    def __init__(self, folder: Path | None = None, *, options: Options | None = None) -> None:
        if folder is None:
            folder = Path("/opt", f"hpctrack-cluster-{os.getpid()}-{secrets.token_hex(3)}")
        self.layout = Layout(check_folder(folder))
        self.options = options or Options()
        self._machines = Machines(self.layout, self.options)
        self._watchdog: subprocess.Popen[bytes] | None = None

    @classmethod
    def attach(cls, folder: Path) -> Self:
        """Return the cluster that lives, or died, in ``folder``; ClusterError if there is none."""
        options = Layout(folder).read_options()
        if options is None:
            raise ClusterError(f"no cluster in {folder}")
        return cls(folder, options=options)

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def up(self, *, outlive_owner: bool = False) -> float:
        """Bring the cluster up and return how many seconds that took.

        Parameters
        ----------
        outlive_owner : bool
            Stay up when this process ends; else a watchdog takes the cluster down when this
            process dies by whatever means.

        Raises
        ------
        ClusterError
            The host lacks something, the folder is taken, or a daemon did not start; the message
            ends with the last lines of the logs.
        """
        began_s = time.monotonic()
        options = self.options
        if missing := list_missing(accounting=options.accounting, cgroups=options.cgroups):
            raise ClusterError("; ".join(missing))
        self._take_folder()
        try:
            if not outlive_owner:
                self._watchdog = lifecycle.start_watchdog(self.layout, options)
            write_files(self.layout, options)
            lifecycle.start_machines(self._machines, options)
            jobs.wait_for_nodes(self, options.node_names, timeout_s=READY_S)
            lifecycle.check_kept(self)
        except ClusterError as error:
            logs = self.tail_logs()
            self.down()
            raise ClusterError(f"the cluster did not come up: {error}\n{logs}".strip()) from error
        except BaseException:
            self.down()
            raise
        return time.monotonic() - began_s

    def down(self) -> None:
        """Kill every process and remove every cgroup and file; fine to call again."""
        self._machines.kill(self.options.machine_names)
        if self.layout.state_file.exists():
            remove_cgroups(self.layout)
            lifecycle.remove_folder(self.layout)
        # last: if this process is killed half-way, the watchdog finishes the work
        if self._watchdog:
            self._watchdog.kill()
            self._watchdog.wait()
            self._watchdog = None

    def is_up(self, machine: str) -> bool:
        """Tell whether a machine has power."""
        return self._machines.find_pid(machine) is not None

    def make_command(
        self,
        machine: str,
        *argv: str,
        user: str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Return the host's command line that runs ``argv`` on a machine, for ``Popen``."""
        return self._machines.make_command(machine, argv, user=user, env=env or {})

    def run(
        self,
        machine: str,
        *argv: str,
        user: str | None = None,
        timeout_s: float = RUN_S,
        check: bool = True,
        input: str | None = None,  # noqa: A002 - the word of subprocess.run
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on a machine and return its output.

        Parameters
        ----------
        machine : str
            ``ctl``, ``login``, ``lab``, ``n1``, ...
        *argv : str
            Program and arguments; no shell is involved.
        user : str or None
            ``alice``, ``bob`` or None for root. The program starts in the home folder.
        timeout_s : float
            After that the program and its children get SIGTERM, then SIGKILL.
        check : bool
            Raise when the exit status is not 0.
        input : str or None
            Standard input; None is an empty one.
        env : mapping, optional
            Added to a fresh environment.

        Raises
        ------
        ClusterError
            The machine is off, the time is up, or ``check`` failed; with the program's output.
        """
        command = self.make_command(machine, *argv, user=user, env=env)
        name = f"{user or 'root'}@{machine}"
        return run_command(command, argv, name, timeout_s=timeout_s, check=check, text=input)

    def submit(
        self,
        *arguments: str,
        script: str | None = None,
        user: str = "alice",
        machine: str = "login",
        env: Mapping[str, str] | None = None,
    ) -> int:
        """Submit a batch job and return its id.

        Parameters
        ----------
        *arguments : str
            For ``sbatch``, such as ``"-N3"`` or ``"--wrap=hostname"``.
        script : str, optional
            The batch script's text, if the arguments do not name one.
        user, machine : str
            Who submits, and where.
        env : mapping, optional
            Added to the environment, which ``sbatch`` hands to the job.
        """
        sbatch = ("sbatch", "--parsable", *arguments)
        done = self.run(machine, *sbatch, user=user, input=script, env=env)
        return int(done.stdout.strip().split(";")[0])

    def job_states(self, job_id: int | str) -> list[str]:
        """Return the state of a job, or of each task of an array."""
        return jobs.read_states(self, job_id)

    def wait_job(
        self, job_id: int | str, states: str | Iterable[str] = "COMPLETED", timeout_s: float = RUN_S
    ) -> list[str]:
        """Wait until a job, or every task of an array, is in one of ``states``.

        Raises
        ------
        ClusterError
            The time is up, or the job has ended in another state; with Slurm's account of it.
        """
        wanted = {states} if isinstance(states, str) else set(states)
        return jobs.wait_for_states(self, job_id, wanted, timeout_s=timeout_s)

    def kill_node(self, machine: str) -> None:
        """Cut the power of a machine: everything on it dies at once, its network card too."""
        if machine == "ctl":
            raise ClusterError("the controller carries all networks; it cannot be killed alone")
        self._machines.require_pid(machine)
        self._machines.kill([machine])

    def boot(self, machine: str, *, timeout_s: float = READY_S) -> None:
        """Switch a killed machine on; for a compute node, wait until Slurm uses it again.

        Notes
        -----
        Slurm may take the jobs from before the power cut for running another minute or more if
        the node is back before it was missed: wait for them to be requeued first.
        """
        if self.is_up(machine):
            raise ClusterError(f"machine {machine} is on already")
        self._machines.unwire(machine)
        self._machines.spawn(machine)
        self._machines.wait_for(machine, "pid")
        self._machines.wire([machine])
        self._machines.release(machine)
        self._machines.wait_for(machine, "up")
        if machine in self.options.node_names:
            jobs.wait_for_nodes(self, [machine], timeout_s=timeout_s)

    def isolate(self, machine: str) -> None:
        """Pull a machine's network cables; its processes go on, shared folders stay."""
        self._machines.set_cable(machine, "down")

    def rejoin(self, machine: str) -> None:
        """Push a machine's network cables in again."""
        self._machines.set_cable(machine, "up")

    @property
    def scratch(self) -> Place:
        """The scratch file system that login and compute nodes share; anybody may write."""
        return Place(self.layout.scratch, "/srv")

    @property
    def lab_scratch(self) -> Place:
        """The lab machine's disk for data, which the cluster cannot see."""
        return Place(self.layout.lab_scratch, "/srv")

    def home(self, user: str = "alice") -> Place:
        """Return a user's home on the cluster, shared like the scratch."""
        return Place(self.layout.home, "/home") / user

    def lab_home(self, user: str = "alice") -> Place:
        """Return a user's home on the lab machine."""
        return Place(self.layout.lab_home, "/home") / user

    def client_key(self, user: str = "alice") -> Place:
        """Return the lab's private key with which ``user`` may log in on the login node."""
        return self.lab_home(user) / ".ssh/id_ed25519"

    def known_hosts(self, user: str = "alice") -> Place:
        """Return the lab's list of known hosts, with the login node's key in it."""
        return self.lab_home(user) / ".ssh/known_hosts"

    def authorized_keys(self, user: str = "alice") -> Place:
        """Return the login node's list of keys for ``user``, for tests to add forced commands."""
        return Place(self.layout.etc, "/etc") / f"ssh/authorized_keys/{user}"

    def make_scratch(self, label: str, *, user: str = "alice") -> Place:
        """Make a fresh folder in the shared scratch that belongs to ``user``."""
        place = self.scratch / f"{label}-{secrets.token_hex(3)}"
        place.host.mkdir()
        os.chown(place.host, JOB_USERS[user], JOB_USERS[user])
        return place

    def tail_logs(self, pattern: str = "*.log", *, lines: int = 12) -> str:
        """Return the last lines of every log that has any."""
        return lifecycle.tail_logs(self.layout, pattern, lines=lines)

    def _take_folder(self) -> None:
        """Make the private folder, or clear away what a dead cluster left in it."""
        folder = self.layout.folder
        if self.layout.state_file.exists():
            earlier = Cluster.attach(folder)
            if alive := [name for name in earlier.options.machine_names if earlier.is_up(name)]:
                raise ClusterError(f"{folder}: a cluster is up already ({', '.join(alive)})")
            earlier.down()
        elif folder.exists() and any(folder.iterdir()):
            raise ClusterError(f"{folder} is not empty, and not a cluster's")
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        self.layout.write_options(self.options)
