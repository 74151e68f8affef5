"""What is dear to know of a rank, and so told rarely: shared memory, switches, its cores."""

from __future__ import annotations

from hpctrack.core.clock import Clock
from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.process_files import ProcessStatus, parse_pss, parse_status, parse_switches
from hpctrack.telemetry.process_use import AMOUNTS
from hpctrack.telemetry.processes import RATE_NAMES, TICKS_PER_S, Processes
from hpctrack.telemetry.reading import Reading, Sample, Watch
from hpctrack.telemetry.rota import Rota

PSS_PERIOD_S = 30.0
PSS_SHARE = 0.0004
"""Of a core, for all ranks: the kernel walks through all pages of a process to tell this."""

THREADS_PERIOD_S = 10.0
THREADS_SHARE = 0.0006
"""Of a core, for all ranks: context switches are told for each thread alone."""

TOTAL_NAMES = tuple(f"{name.removesuffix('_per_s')}_total" for name in RATE_NAMES)
"""Told rarely; so the sums of a run can be had without adding up its rates."""


class ProcessDetails:
    """Reads what is dear, each rank in its turn.

    Parameters
    ----------
    files : KernelFiles
    processes : Processes
        Has read the ranks just before.
    clock : Clock
        Measures what a turn has cost.
    """

    subject = "process details"

    def __init__(self, files: KernelFiles, processes: Processes, *, clock: Clock) -> None:
        self._files = files
        self._processes = processes
        self._pss_rota = Rota(PSS_PERIOD_S, share=PSS_SHARE, clock=clock)
        self._rota = Rota(THREADS_PERIOD_S, share=THREADS_SHARE, clock=clock)
        self._rates = Rates()
        self._switches: dict[int, dict[int, tuple[int, int]]] = {}
        self._sums: dict[int, tuple[int, int]] = {}
        self.statuses: dict[int, ProcessStatus] = {}

    def read(self, watch: Watch, into: Reading) -> None:
        """Add to a reading what the ranks whose turn it is have."""
        ranks = {pid: one for pid, one in self._processes.ranks.items() if one.count}
        for kept in (self.statuses, self._switches, self._sums):
            for pid in kept.keys() - ranks.keys():
                del kept[pid]
        new = ranks.keys() - self.statuses.keys()
        texts = {pid: self._read_status(pid, into.samples) for pid in new}
        for pid in self._rota.turns(ranks, watch.mono_s):
            text = texts[pid] if pid in texts else self._read_status(pid, into.samples)
            self._read_switches(pid, text, watch.mono_s, into.samples)
            self._add_totals(pid, into.samples)
        for pid in self._pss_rota.turns(ranks, watch.mono_s):
            self._read_pss(pid, into.samples)
        self._rates.forget([(name, pid) for pid in ranks for name in (0, 1)])

    def _read_status(self, pid: int, samples: list[Sample]) -> str:
        """Take in a rank's ``status`` and return it; empty if it has ended."""
        text = self._files.peek_small(f"proc/{pid}/status")
        if text is None:
            return ""
        status = self.statuses[pid] = parse_status(text)
        if status.rss_peak_bytes is not None:
            samples.append(Sample("process/rss_peak_bytes", status.rss_peak_bytes, pid=pid))
        if status.swap_bytes is not None:
            samples.append(Sample("process/swap_bytes", status.swap_bytes, pid=pid))
        return text

    def _read_switches(self, root: int, status: str, mono_s: float, samples: list[Sample]) -> None:
        """Add the context switches of all threads of all processes of a rank.

        The ``status`` of a process, such as the rank's that was read just before, has those of its
        first thread.

        Those of a thread that has ended since the last turn are not told by anybody: the sums
        are at least what has been.
        """
        before = self._switches.get(root, {})
        now: dict[int, tuple[int, int]] = {}
        voluntary, involuntary = self._sums.get(root, (0, 0))
        for pid in self._processes.trees.members.get(root, ()):
            for thread in self._files.numbers(f"proc/{pid}/task"):
                name = f"proc/{pid}/task/{thread}/status"
                text = status if thread == root else self._files.peek_small(name)
                found = parse_switches(text or "")
                if found is None:
                    continue
                now[thread] = found
                last = before.get(thread, (0, 0))
                voluntary += max(0, found[0] - last[0])
                involuntary += max(0, found[1] - last[1])
        if not now:
            return
        self._switches[root], self._sums[root] = now, (voluntary, involuntary)
        for at, name in enumerate(("voluntary", "involuntary")):
            total = self._sums[root][at]
            samples.append(Sample(f"process/{name}_switches_total", total, pid=root))
            rate = self._rates.rate((at, root), total, mono_s)
            if rate is not None:
                samples.append(Sample(f"process/{name}_switches_per_s", rate, pid=root))

    def _add_totals(self, root: int, samples: list[Sample]) -> None:
        """Add what was read with all ranks, but need not be told each time."""
        rank = self._processes.ranks[root]
        cpu_s = rank.meter.total[0] / TICKS_PER_S
        samples.append(Sample("process/cpu_s_total", cpu_s, pid=root))
        samples.append(Sample("process/count", rank.count, pid=root))
        samples.append(Sample("process/threads", rank.threads, pid=root))
        samples.append(Sample("process/core", rank.core, pid=root))
        for at, name in enumerate(TOTAL_NAMES, start=1):
            if rank.has_io or AMOUNTS[at] in {"minor", "major"}:
                samples.append(Sample(name, rank.meter.total[at], pid=root))

    def _read_pss(self, root: int, samples: list[Sample]) -> None:
        total = 0
        for pid in self._processes.trees.members.get(root, ()):
            pss = parse_pss(self._files.peek_small(f"proc/{pid}/smaps_rollup") or "")
            if pss is None and pid == root:
                return
            total += pss or 0
        samples.append(Sample("process/pss_bytes", total, pid=root))
