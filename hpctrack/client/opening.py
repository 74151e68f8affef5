"""From settings to an open `Run`: identity, agent, first frames."""

from __future__ import annotations

import os
import sys

from hpctrack.client import spawn
from hpctrack.client.channel import Channel
from hpctrack.client.console import Console
from hpctrack.client.identity import Identity, make_identity, make_launch_token
from hpctrack.client.ranks import RankInfo
from hpctrack.client.run import Recording, Run, RunFacts
from hpctrack.client.values import Notices
from hpctrack.core import __version__, wire
from hpctrack.core.clock import Clock
from hpctrack.core.names import check_id, join_run_path, make_readable_name, make_safe_id
from hpctrack.core.ring import MAX_BYTES, RingWriter
from hpctrack.core.settings import Settings, find_cwd
from hpctrack.errors import HpctrackError, InvalidNameError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping
    from typing import Any

    from hpctrack.client.resume import Resume

JOB_FACTS = (
    "SLURM_JOB_ID", "SLURM_JOB_NAME", "SLURM_JOB_PARTITION", "SLURM_JOB_ACCOUNT", "SLURM_JOB_QOS",
    "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_STEP_ID", "SLURM_JOB_NODELIST",
    "SLURM_CLUSTER_NAME", "SLURM_RESTART_COUNT", "SLURM_JOB_USER",
    "PBS_JOBID", "PBS_ARRAY_INDEX", "PBS_ARRAYID", "LSB_JOBID", "LSB_JOBINDEX", "SGE_TASK_ID",
    "COBALT_JOBID", "FLUX_JOB_ID",
)  # fmt: skip
"""What identifies the job, written into the run by every rank."""

MORE_JOB_FACTS = (
    "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_MAX", "SLURM_HET_SIZE",
    "SLURM_PACK_SIZE",
    "SLURM_STEP_NODELIST", "SLURM_STEP_NUM_TASKS", "SLURM_JOB_NUM_NODES", "SLURM_NTASKS",
    "SLURM_NTASKS_PER_NODE", "SLURM_TASKS_PER_NODE", "SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE",
    "SLURM_JOB_CPUS_PER_NODE", "SLURM_THREADS_PER_CORE", "SLURM_MEM_PER_NODE", "SLURM_MEM_PER_CPU",
    "SLURM_MEM_PER_GPU", "SLURM_GPUS", "SLURM_GPUS_PER_NODE", "SLURM_GPUS_PER_TASK",
    "SLURM_GPUS_ON_NODE", "SLURM_JOB_GPUS", "SLURM_STEP_GPUS", "SLURM_JOB_RESERVATION",
    "SLURM_JOB_LICENSES", "SLURM_JOB_DEPENDENCY", "SLURM_JOB_COMMENT", "SLURM_JOB_START_TIME",
    "SLURM_JOB_END_TIME", "SLURM_SUBMIT_DIR", "SLURM_SUBMIT_HOST",
    "PBS_JOBNAME", "PBS_QUEUE", "PBS_ACCOUNT", "PBS_O_HOST", "PBS_O_WORKDIR", "PBS_ENVIRONMENT",
    "PBS_NUM_NODES", "PBS_NUM_PPN", "PBS_NP", "PBS_WALLTIME",
    "LSB_JOBNAME", "LSB_QUEUE", "LSB_PROJECT_NAME", "LSB_HOSTS", "LSB_MCPU_HOSTS", "LSB_SUB_HOST",
    "LSB_DJOB_NUMPROC", "LSB_MAX_NUM_PROCESSORS", "LSB_RESTART", "LS_SUBCWD",
    "COBALT_PARTNAME", "COBALT_QUEUE", "COBALT_PROJECT", "FLUX_JOB_SIZE", "FLUX_JOB_NNODES",
)  # fmt: skip
"""What the job asked for and got; told once a node, or 10,000 ranks would write it 10,000 times."""

SGE_FACTS = (
    "JOB_ID", "JOB_NAME", "QUEUE", "NSLOTS", "NHOSTS", "PE", "RESTARTED", "SGE_O_HOST",
    "SGE_O_WORKDIR", "SGE_CELL",
)  # fmt: skip
"""The same of Grid Engine, whose names are too common to be taken for its own elsewhere."""

JOB_FACT_MAX_CHARS = 16 * 1024
"""LSF lists a host once for each slot. What is longer is left out: half a list is a wrong one."""

CONSOLE_VARIABLE = "HPCTRACK_CONSOLES"
"""Descriptors whose output ``hpctrack run`` records, see `Console.recorded`."""

GPU_VARIABLES = ("CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""The devices that a launcher lets a rank see. A rank tells all that are set: what they come to
together is different for each make of GPU, and only the agent knows which is here."""


ARGUMENTS_MAX = 2000
"""Somebody may have written ``train.py data/*``."""


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
        self._relaunch: dict[str, Any] = {}

    @property
    def needs_answer(self) -> bool:
        """Whether only the agent knows the run's id, or what it goes on with."""
        is_asked = self.resume is not None and self.resume.needs_answer
        return is_asked or self._relaunch.get("life", 1) > 1

    def open(self) -> Run:
        """Return the run, recording if anything here can record.

        Raises
        ------
        HpctrackError
            Only with the setting ``strict``.
        """
        identity = self._identify()
        run_id = identity.run_id
        joined = self._join_inherited()
        project = joined.get("project") or self._check_project()
        if identity.program:
            self._relaunch = {
                "program": identity.program,
                "job": identity.job,
                "life": self.rank.attempt,
            }
        is_disabled = self.settings.mode == "disabled"
        if not is_disabled:
            run_id = self._claim(identity)
        store = joined.get("dir") or self._find_store()
        facts = RunFacts(
            id=run_id,
            name=self.settings.name or joined.get("name") or make_readable_name(run_id),
            project=project,
            path=join_run_path(store, project, run_id),
            rank=self.rank,
        )
        kind = Run
        is_trial = self.settings.sweep_id or "HPCTRACK_SWEEP_SOCKET" in self.environ
        if is_trial or self.settings.raise_pruned:
            from hpctrack.client.trial_run import TrialRun as kind  # noqa: PLC0415, N813 - in few runs
        run = kind(
            facts,
            settings=self.settings,
            clock=self.clock,
            notices=self.notices,
            recording=None if is_disabled else self._prepare(facts, store),
        )
        run.open()
        if joined and self.settings.name:
            run.name = self.settings.name  # the agent has been told another one
        return run

    def _is_inherited(self) -> bool:
        """Tell whether the id is that of a run which whoever started this program has begun."""
        told = self.environ.get("HPCTRACK_RUN_ID")
        return "HPCTRACK_HELLO" in self.environ and self.settings.run_id == told

    def _join_inherited(self) -> dict[str, str]:
        """Return where the run is that this program joins, and its name; nothing if it joins none.

        What the program says otherwise comes too late, and is told.
        """
        if not self._is_inherited() or self.ordinal or (self.resume and self.resume.run):
            return {}
        there = {one: self.environ.get(f"HPCTRACK_{one.upper()}", "") for one in ("project", "dir")}
        for name, value in there.items():
            said = getattr(self.settings, name)
            if value and said != value:
                self.problems.append(
                    f"the run was begun with {name}={value!r} and stays there, though this program "
                    f"says {said!r}; `hpctrack run --{name.replace('dir', 'store')} {said}` begins "
                    "it there"
                )
        return {**there, "name": self.environ.get("HPCTRACK_RUN_NAME", "")}

    def _find_store(self) -> str:
        """Return the store's folder, or the node's spill folder if nobody can tell where it is."""
        here = find_cwd()
        asked = os.path.expanduser(self.settings.dir)  # noqa: PTH111 - a text
        if here or asked.startswith("/"):
            return os.path.normpath(f"{here}/{asked}" if asked[:1] != "/" else asked)
        base = self.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - as the agent's
        found = self.settings.spill_dir or f"{base}/hpctrack-spill-{os.getuid()}"
        self.problems.append(
            f"the working folder is gone, so nobody knows where the store {self.settings.dir} is; "
            f"the run is recorded in {found}; init(dir=...) takes an absolute path"
        )
        return os.path.normpath(f"/{found}")

    def _prepare(self, facts: RunFacts, store: str) -> Recording | None:
        """Make the ring and the channel, both still without an agent."""
        size_bytes = self.settings.buffer_bytes
        try:
            ring = RingWriter(size_bytes)
        except (OSError, ValueError) as error:
            self.problems.append(f"no memory to share with the agent: {error}; nothing is recorded")
            return None
        if size_bytes > MAX_BYTES:
            self.problems.append(
                f"buffer_bytes is {size_bytes:,}, more than a ring can have: {MAX_BYTES:,} are used"
            )
        if ring.size_bytes < min(size_bytes, MAX_BYTES) // 2:
            self.problems.append(
                f"the size of files is limited (ulimit -f): {ring.size_bytes:,} bytes instead of "
                f"{size_bytes:,} are held back while the agent is busy"
            )
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
            elsewhere=tuple(filter(None, self.environ.get(CONSOLE_VARIABLE, "").split(","))),
        )
        return Recording(
            channel=channel,
            ring=ring,
            console=console,
            hello=self._hello(facts, store),
            agent=self._folder.socket if self._folder else "",
        )

    def _identify(self) -> Identity:
        identity = make_identity(
            self.environ,
            self.rank,
            # Whoever started this program has begun one run: a second one is another.
            asked=(self.resume.run if self.resume else "")
            or ("" if self.ordinal and self._is_inherited() else self.settings.run_id),
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
        is_batch_program = self.rank.launcher == "none" and bool(identity.job)
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
        visible = {key: self.environ[key] for key in GPU_VARIABLES if key in self.environ}
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
            "gpu": _describe_gpus(visible),
            # Nothing: not limited. An empty text: none at all.
            "visible_gpus": visible,
            "launch": make_launch_token(self.environ, rank, ordinal=self.ordinal),
            **({"relaunch": self._relaunch} if self._relaunch else {}),
            **(self.resume.to_hello(self.environ, rank) if self.resume else {}),
            "job": read_job(self.environ, is_first_on_node=rank.local_rank == 0),
            "settings": {
                "flush_interval_s": settings.flush_interval_s,
                "heartbeat_s": settings.heartbeat_s,
                "seal": settings.seal,
                "spill_dir": settings.spill_dir,
                "roll_over_bytes": settings.roll_over_bytes,
                "roll_over_s": settings.roll_over_s,
                "telemetry": settings.telemetry,
                "telemetry_interval_s": settings.telemetry_interval_s,
                "provenance": settings.provenance,
                "provenance_skip": settings.provenance_skip,
                "provenance_env": settings.provenance_env,
                **self._choose_rules(),
            },
            "python": _describe_python() if settings.provenance != "off" else None,
        }

    def _choose_rules(self) -> dict[str, Any]:
        """Return the rules and what they need; a node's first rank says them for all of it."""
        if not self.settings.rules or self.rank.local_rank:
            return {}
        folder = find_cwd() or "/"
        end_wall_s = self.settings.job_end_wall_s
        return {"rules": self.settings.rules, "cwd": folder, "job_end_wall_s": end_wall_s}


def _describe_gpus(visible: Mapping[str, str]) -> str:
    """Say for people which GPUs a rank may use: ``0,1``, or ``CUDA 0, ROCR 4`` if lists differ."""
    told = {key.partition("_")[0]: value for key, value in visible.items() if value}
    if len(set(told.values())) > 1:
        return ", ".join([f"{key} {value}" for key, value in told.items()])
    return next(iter(told.values()), "")


def read_job(environ: Mapping[str, str], *, is_first_on_node: bool) -> dict[str, str]:
    """Return what the scheduler tells of the job; nothing outside any."""
    names = list(JOB_FACTS)
    if environ.get("SGE_TASK_ID"):
        names += SGE_FACTS
    if is_first_on_node:
        names += MORE_JOB_FACTS
        for word in ("HET", "PACK"):
            size = environ.get(f"SLURM_{word}_SIZE", "")
            groups = range(int(size)) if size.isdigit() and len(size) <= 3 else ()  # noqa: PLR2004 - 128 at most
            names += [f"SLURM_JOB_ID_{word}_GROUP_{number}" for number in groups]
    found = ((name, environ.get(name)) for name in names)
    return {
        name: value
        for name, value in found
        if value is not None and len(value) <= JOB_FACT_MAX_CHARS
    }


def _describe_python() -> dict[str, Any]:
    """Say what this process knows best; the agent finds the rest, and leaves out secrets."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    return {
        "argv": sys.orig_argv[:ARGUMENTS_MAX],
        "script": str(getattr(main, "__file__", None) or ""),
        "module": str(getattr(spec, "name", "") or ""),
        "version": sys.version.partition(" ")[0],
        "implementation": sys.implementation.name,
        "executable": sys.executable,
        "prefix": sys.prefix,
        "base_prefix": sys.base_prefix,
        "path": list(map(str, sys.path)),
    }
