"""From settings to an open `Run`: identity, agent, first frames."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hpctrack._version import __version__
from hpctrack.client import spawn
from hpctrack.client.channel import Channel
from hpctrack.client.console import Console
from hpctrack.client.faults import Notices
from hpctrack.client.identity import Identity, make_identity, make_launch_token
from hpctrack.client.ranks import RankInfo
from hpctrack.client.run import Recording, Run, RunFacts
from hpctrack.core import wire
from hpctrack.core.clock import Clock
from hpctrack.core.names import check_id, join_run_path, make_readable_name, make_safe_id
from hpctrack.core.ring import RingWriter
from hpctrack.core.settings import Settings
from hpctrack.errors import HpctrackError, InvalidNameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

    from hpctrack.client.resume import Resume

SLURM_FACTS = (
    "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_ACCOUNT", "SLURM_JOB_QOS",
    "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_STEP_ID", "SLURM_JOB_NODELIST",
    "SLURM_CLUSTER_NAME", "SLURM_RESTART_COUNT", "SLURM_JOB_USER",
)  # fmt: skip
"""What identifies the job, written into the run."""

GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""The devices that a launcher lets a rank see; the first that is set is recorded, as text."""


class Opening:
    """Everything that opening a run needs, and what went wrong on the way.

    Parameters
    ----------
    environ : mapping
        The process's environment.
    settings : Settings
        As loaded.
    rank : RankInfo
        Where this process stands.
    ordinal : int
        How many runs this process has begun before.
    clock : Clock
        For time stamps and time-outs.
    notices : Notices
        How this rank speaks to its user.
    problems : list of str
        What went wrong so far; more is added.
    resume : Resume, optional
        What was asked about earlier runs, if anything was.
    """

    def __init__(
        self,
        *,
        environ: Mapping[str, str],
        settings: Settings,
        rank: RankInfo,
        ordinal: int,
        clock: Clock,
        notices: Notices,
        problems: list[str],
        resume: Resume | None = None,
    ) -> None:
        self.environ = environ
        self.settings = settings
        self.rank = rank
        self.ordinal = ordinal
        self.clock = clock
        self.notices = notices
        self.problems = problems
        self.resume = resume
        self._folder: spawn.RuntimeFolder | None = None

    def open(self) -> Run:
        """Return the run, recording if anything here can record.

        Raises
        ------
        HpctrackError
            Only with the setting ``strict``.
        """
        identity = self._identify()
        project = self._check_project()
        run_id = identity.run_id
        is_disabled = self.settings.mode == "disabled"
        if not is_disabled:
            run_id = self._claim(identity)
        store = os.path.abspath(os.path.expanduser(self.settings.dir))  # noqa: PTH100, PTH111 - a text
        facts = RunFacts(
            id=run_id,
            name=self.settings.name or make_readable_name(run_id),
            project=project,
            path=join_run_path(store, project, run_id),
            rank=self.rank,
        )
        run = Run(
            facts,
            settings=self.settings,
            clock=self.clock,
            notices=self.notices,
            recording=None if is_disabled else self._prepare(facts, store),
        )
        run.open()
        return run

    def _prepare(self, facts: RunFacts, store: str) -> Recording | None:
        """Make the ring and the channel, both still without an agent."""
        size_bytes = self.settings.buffer_bytes
        try:
            ring = RingWriter(size_bytes)
        except (OSError, ValueError) as error:
            self.problems.append(f"no memory to share with the agent: {error}; nothing is recorded")
            return None
        channel = Channel(
            self._connect,
            clock=self.clock,
            buffer_bytes=size_bytes,
            count_done=lambda: ring.frames_done,
        )

        def tell_printed(stream: int, data: bytes) -> None:
            channel.send(wire.pack_console(stream, self.clock.wall_s(), data))

        console = Console(
            tell_printed,
            mode=self.settings.console,
            max_bytes=self.settings.console_max_bytes,
            local_size=self.rank.local_size,
        )
        return Recording(
            channel=channel, ring=ring, console=console, hello=self._hello(facts, store)
        )

    def _identify(self) -> Identity:
        identity = make_identity(
            self.environ,
            self.rank,
            asked=(self.resume.run if self.resume else "") or self.settings.run_id,
            ordinal=self.ordinal,
        )
        if identity.problem:
            if self.settings.strict:
                check_id(self.settings.run_id, what="run id")
            self.problems.append(identity.problem)
        return identity

    def _check_project(self) -> str:
        try:
            return check_id(self.settings.project, what="project")
        except InvalidNameError as error:
            if self.settings.strict:
                raise
            safe = make_safe_id(self.settings.project)
            self.problems.append(f"{error.message}; {safe!r} is used ({error.hint})")
            return safe

    def _claim(self, identity: Identity) -> str:
        """Find the runtime folder, and in a batch script the id's number within the job."""
        asked = self.settings.runtime_dir
        try:
            self._folder = spawn.ensure_runtime_folder(self.environ, identity.job_key, asked=asked)
        except HpctrackError as error:
            self.problems.append(error.in_a_line())
            return identity.run_id
        is_batch_program = self.rank.launcher == "none" and "SLURM_JOB_ID" in self.environ
        if is_batch_program and not self.settings.run_id:
            return self._folder.claim(identity.run_id)
        return identity.run_id

    def _connect(self) -> _socket.socket:
        """Return a connection to the node's agent, else to a thread of this process."""
        reason = "no folder for the agent's socket"
        if self._folder is not None:
            options = {"linger_s": self.settings.linger_s}
            try:
                return spawn.connect_agent(self._folder, self.environ, options)
            except HpctrackError as error:
                reason = error.message
        connection = spawn.connect_in_process()
        self.problems.append(f"{reason}; this rank records on a thread of its own")
        return connection

    def settle(self, timeout_s: float) -> None:
        """Wait until the node's agent has sealed the runs that are over, for so long at most."""
        if self._folder is not None:
            spawn.settle(self._folder, timeout_s)

    def _hello(self, run: RunFacts, store: str) -> dict[str, Any]:
        rank, settings = self.rank, self.settings
        return {
            "wire": wire.WIRE_VERSION,
            "version": __version__,
            "store": store,
            "project": run.project,
            "run": run.id,
            "attempt": rank.attempt,
            "rank": rank.rank,
            "size": rank.size,
            "local_rank": rank.local_rank,
            "local_size": rank.local_size,
            "node": rank.node,
            "launcher": rank.launcher,
            "host": os.uname().nodename,
            "pid": os.getpid(),
            "wall_s": self.clock.wall_s(),
            "group": settings.group,
            "job_type": settings.job_type,
            "sweep": settings.sweep_id,
            "trial": settings.trial,
            "user": self.environ.get("USER") or self.environ.get("LOGNAME", ""),
            "gpu": next((self.environ[key] for key in GPU_VARIABLES if self.environ.get(key)), ""),
            "launch": make_launch_token(self.environ, rank, ordinal=self.ordinal),
            **(self.resume.to_hello(self.environ, rank) if self.resume else {}),
            "job": {key: self.environ[key] for key in SLURM_FACTS if key in self.environ},
            "settings": {
                "flush_interval_s": settings.flush_interval_s,
                "heartbeat_s": settings.heartbeat_s,
                "seal": settings.seal,
                "spill_dir": settings.spill_dir,
                "roll_over_bytes": settings.roll_over_bytes,
                "roll_over_s": settings.roll_over_s,
            },
        }
