"""Faults: what is done to a program that logs, to its agent and its disk, or by itself."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from scripts.benchmarks.lab import Place
from scripts.benchmarks.processes import find_agents
from tests.faults import disks
from tests.faults.test_failing_store import build_shim

QUOTA_BYTES = 768 * 1024
"""Used up soon after half of the points."""

HOURS_2_S = 7200


@dataclass(slots=True)
class Victim:
    """A program that logs, and where.

    Parameters
    ----------
    place : Place
        Its folder and environment.
    process : Popen or None
        The program, once it runs.
    stores : list of Path
        Where its points may be afterwards; the first is its store.
    harm : callable
        What happens in the middle.
    """

    place: Place
    process: subprocess.Popen[bytes] | None = None
    stores: list[Path] = field(default_factory=list)
    harm: Callable[[], object] = lambda: None

    def kill(self) -> None:
        """Kill the program."""
        assert self.process is not None  # noqa: S101 - it runs
        self.process.kill()

    def signal_agents(self, number: int) -> None:
        """Send its agents a signal."""
        for pid in find_agents(self.place.token):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that may happen.

    Parameters
    ----------
    name : str
        For people.
    deed : str
        What the program does itself, see `scripts.benchmarks.programs.under_fault`.
    prepare : callable, optional
        Makes the place ready and says what the harm is.
    mend : callable, optional
        Takes the harm back, before the program finishes.
    after : callable, optional
        Done before the files are read.
    ends : bool
        The program is not there for the second half.
    rate : int
        How much faster it logs, and how many more calls it makes.
    """

    name: str
    deed: str = ""
    prepare: Callable[[Victim, ExitStack], None] | None = None
    mend: Callable[[Victim], None] | None = None
    after: Callable[[Victim], None] | None = None
    ends: bool = False
    rate: int = 1


def _on_disk(harm: Callable[[Path], None]) -> Callable[[Victim, ExitStack], None]:
    def prepare(victim: Victim, ends: ExitStack) -> None:
        disk = ends.enter_context(disks.mounted("ext4", victim.place.folder))
        _spill(victim, disk / "store")
        victim.harm = lambda: harm(disk)

    return prepare


def _spill(victim: Victim, store: Path) -> None:
    spill = victim.place.folder / "spill"
    victim.place.environ["HPCTRACK_SPILL_DIR"] = str(spill)
    victim.stores = [store, spill]


def _quota(victim: Victim, _ends: ExitStack) -> None:
    folder = victim.place.folder
    _spill(victim, folder / "quota")
    victim.place.environ |= {
        "LD_PRELOAD": str(build_shim("quota", folder)),
        "TEST_QUOTA_DIR": str(folder / "quota"),
        "TEST_QUOTA_BYTES": str(QUOTA_BYTES),
    }


def _clock(victim: Victim, _ends: ExitStack) -> None:
    lag = victim.place.folder / "lag"
    lag.touch()
    shim = str(build_shim("clock", victim.place.folder))
    victim.place.environ |= {"LD_PRELOAD": shim, "TEST_CLOCK_FILE": str(lag)}
    victim.harm = lambda: os.truncate(lag, HOURS_2_S)


def _stop(victim: Victim, _ends: ExitStack) -> None:
    victim.harm = lambda: victim.signal_agents(signal.SIGSTOP)


def _stop_small(victim: Victim, ends: ExitStack) -> None:
    victim.place.environ["HPCTRACK_BUFFER_BYTES"] = str(256 * 1024)
    _stop(victim, ends)


def _go_on(victim: Victim) -> None:
    victim.signal_agents(signal.SIGCONT)


def _kill_agent(victim: Victim, _ends: ExitStack) -> None:
    victim.harm = lambda: victim.signal_agents(signal.SIGKILL)


def _kill_rank(victim: Victim, _ends: ExitStack) -> None:
    victim.harm = victim.kill


def _kill_all(victim: Victim, _ends: ExitStack) -> None:
    def harm() -> None:
        victim.signal_agents(signal.SIGKILL)
        victim.kill()

    victim.harm = harm


FAULTS = (
    Fault("none: the same program in peace"),
    Fault("no space left (ENOSPC)", prepare=_on_disk(disks.fill)),
    Fault("quota used up (EDQUOT)", prepare=_quota),
    Fault("file system goes read-only", prepare=_on_disk(disks.make_read_only)),
    Fault(
        "input/output errors (EIO)",
        prepare=_on_disk(disks.shut_down),
        after=lambda victim: disks.mount_again(victim.place.folder),
    ),
    Fault("agent stopped (SIGSTOP)", prepare=_stop, mend=_go_on),
    Fault("the same at 4 kHz, least `buffer_bytes`", prepare=_stop_small, mend=_go_on, rate=4),
    Fault("agent killed", prepare=_kill_agent),
    Fault("rank killed", prepare=_kill_rank, ends=True),
    Fault("rank and agent killed", prepare=_kill_all, ends=True),
    Fault("segmentation fault at the end", deed="segfault"),
    Fault("`os._exit` at the end", deed="os._exit"),
    Fault("exception at the end", deed="exception"),
    Fault("`os.fork` every 100 calls", deed="fork"),
    Fault("`multiprocessing`, two children with runs", deed="multiprocessing"),
    Fault("the program writes with h5py", deed="h5py"),
    Fault("clock goes back two hours", prepare=_clock),
    Fault("16 threads log", deed="threads"),
    Fault("two runs in one process", deed="two runs"),
)
"""Those that need no Slurm and no notebook."""
