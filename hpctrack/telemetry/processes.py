"""What each rank uses: processor time, memory, input and output, with all its descendants."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpctrack.telemetry.kept_files import KeptFiles
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.process_files import ProcessIo, ProcessStat, parse_io, parse_stat
from hpctrack.telemetry.process_trees import ProcessTrees
from hpctrack.telemetry.process_use import AMOUNTS, Amounts, ProcessUse, TreeMeter
from hpctrack.telemetry.reading import Reading, Sample, Watch

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")

IO_AT = AMOUNTS.index("read")

RATE_NAMES = (
    "process/minor_faults_per_s",
    "process/major_faults_per_s",
    "process/read_bytes_per_s",
    "process/written_bytes_per_s",
    "process/disk_read_bytes_per_s",
    "process/disk_written_bytes_per_s",
)
"""Of `AMOUNTS` without the first."""


@dataclass(slots=True)
class RankUse:
    """What is remembered of one rank.

    Parameters
    ----------
    meter : TreeMeter
    mono_s : float
        When it was looked at last.
    count, threads : int
        Processes and threads; no process if it could not be looked at.
    core : int
        On which it ran last, the rank's own main thread.
    cores_used : float or None
        Between the last two looks.
    has_io : bool
        Whether its ``io`` can be read.
    """

    meter: TreeMeter = field(default_factory=TreeMeter)
    mono_s: float = -math.inf
    count: int = 0
    threads: int = 0
    core: int = -1
    cores_used: float | None = None
    has_io: bool = True


class Processes:
    """Reads what the ranks use: two small files for each process, each time.

    Parameters
    ----------
    files : KernelFiles
    """

    subject = "process"

    def __init__(self, files: KernelFiles) -> None:
        self._stats, self._ios = KeptFiles(files, "stat"), KeptFiles(files, "io")
        self.trees = ProcessTrees(files)
        self._members: Mapping[int, list[int]] = {}
        self.ranks: dict[int, RankUse] = {}

    def read(self, watch: Watch, into: Reading) -> None:
        """Add what the ranks use to a reading."""
        pids = {one.pid for one in watch.ranks if one.pid > 0}
        self.trees.update(pids, watch.mono_s)
        members = self.trees.members
        self.ranks = {pid: self.ranks.get(pid) or RankUse() for pid in members}
        if members is not self._members:  # all processes were looked at anew
            self._members = members
            there = frozenset(itertools.chain.from_iterable(members.values()))
            self._stats.retain(there)
            self._ios.retain(there)
        for pid, rank in self.ranks.items():
            self._read_rank(pid, rank, watch.mono_s, into.samples)

    def close(self) -> None:
        """Close the files that are kept open."""
        self._stats.close()
        self._ios.close()

    def _read_rank(self, root: int, rank: RankUse, mono_s: float, samples: list[Sample]) -> None:
        now: dict[int, ProcessUse] = {}
        pages = threads = 0
        core = None
        for pid in self._parents_first(root, rank.meter):
            stat = self._read_stat(root, pid, rank.meter.find(pid))
            if stat is None:
                continue
            if pid == root:
                core = stat.processor
            pages += stat.rss
            threads += stat.threads
            now[pid] = self._make_use(stat, pid, rank, is_root=pid == root)
        if core is None:
            rank.count = 0
            return
        growth = rank.meter.add(now)
        elapsed_s, rank.mono_s = mono_s - rank.mono_s, mono_s
        rank.count, rank.threads, rank.core = len(now), threads, core
        samples.append(Sample("process/rss_bytes", pages * PAGE_BYTES, "", root))
        if 0 < elapsed_s < math.inf:
            rank.cores_used = growth[0] / TICKS_PER_S / elapsed_s
            samples.append(Sample("process/cores_used", rank.cores_used, "", root))
            names = RATE_NAMES if rank.has_io else RATE_NAMES[: IO_AT - 1]
            samples += [
                Sample(name, amount / elapsed_s, "", root)
                for name, amount in zip(names, growth[1:], strict=False)
            ]

    def _parents_first(self, root: int, meter: TreeMeter) -> list[int]:
        pids = self.trees.members[root]
        if len(pids) == 1:
            return list(pids)

        def order(pid: int) -> tuple[float, int]:
            last = meter.find(pid)
            return (last.starttime if last else math.inf, pid)

        return sorted(pids, key=order)

    def _read_stat(self, root: int, pid: int, last: ProcessUse | None) -> ProcessStat | None:
        """Return what ``stat`` says; None if the process has ended, and forget it then."""
        try:
            stat = parse_stat(self._stats.read(pid))
        except (OSError, ValueError):
            stat = None
        if stat is None or (last is not None and last.starttime != stat.starttime):
            self.trees.forget(root, pid)
            return None
        return stat

    def _make_use(self, stat: ProcessStat, pid: int, rank: RankUse, *, is_root: bool) -> ProcessUse:
        last = rank.meter.find(pid)
        io = self._read_io(pid, rank, is_root=is_root)
        amounts: Amounts = io or (last.inherited[IO_AT:] if last else (0, 0, 0, 0))
        return ProcessUse(
            stat.ppid,
            stat.starttime,
            (stat.utime + stat.stime, stat.minflt, stat.majflt, 0, 0, 0, 0),
            (stat.cutime + stat.cstime, stat.cminflt, stat.cmajflt, *amounts),
        )

    def _read_io(self, pid: int, rank: RankUse, *, is_root: bool) -> ProcessIo | None:
        if not rank.has_io:
            return None
        try:
            return parse_io(self._ios.read(pid))
        except PermissionError:
            # A rank that hides it has no such samples. A child that does counts when it ends.
            rank.has_io = not is_root
        except (OSError, ValueError):
            pass  # it is ending
        return None
