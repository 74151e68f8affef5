"""The processors of the job: how busy each one is, and how fast."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from hpctrack.core.clock import Clock
from hpctrack.telemetry.counters import Rates
from hpctrack.telemetry.kernel_files import KernelFiles
from hpctrack.telemetry.obstacles import Obstacle
from hpctrack.telemetry.reading import Device, Reading, Sample, Watch
from hpctrack.telemetry.rota import Rota

FREQUENCY_PERIOD_S = 30.0
FREQUENCY_SHARE = 0.0005
"""Of a core, for all cores: asking an idle one for its frequency wakes it."""

IDLE_FRAC = 0.1
"""A core that is less busy than this counts as idle for the check of the binding."""


class CoreTimes(NamedTuple):
    """Ticks that a core has spent on each kind of work since boot, as in proc_stat(5)."""

    user: int
    nice: int
    system: int
    idle: int
    iowait: int
    irq: int
    softirq: int
    steal: int


class NodeTimes(NamedTuple):
    """What ``/proc/stat`` says.

    Parameters
    ----------
    cores : dict
        By the core's number; those that are switched off are missing.
    running, blocked : int or None
        Tasks of the whole node that run or want to, and that wait for a disk.
    """

    cores: dict[int, CoreTimes]
    running: int | None
    blocked: int | None


def parse_node_times(text: str) -> NodeTimes:
    """Return what ``/proc/stat`` says."""
    cores: dict[int, CoreTimes] = {}
    counts: dict[str, int] = {}
    for line in text.splitlines():
        name, _blank, rest = line.partition(" ")
        if name.startswith("cpu") and name != "cpu":
            words = rest.split()
            cores[int(name[3:])] = CoreTimes(*(int(one) for one in (*words, *"00000000")[:8]))
        elif name in {"procs_running", "procs_blocked"}:
            counts[name] = int(rest)
    return NodeTimes(cores, counts.get("procs_running"), counts.get("procs_blocked"))


class CoreShares(NamedTuple):
    """How a core spent the time between two looks, as shares of it."""

    busy: float
    user: float
    system: float
    iowait: float
    steal: float


def find_shares(before: CoreTimes, now: CoreTimes) -> CoreShares | None:
    """Return how a core spent the time between two looks; None if that cannot be told.

    Single numbers may go back a little (``iowait`` does): that counts as nothing. A core is busy
    unless it was idle or waited for a disk; time that a hypervisor took counts as busy.
    """
    spent = CoreTimes(*(max(0, new - old) for new, old in zip(now, before, strict=True)))
    total = sum(spent)
    if total <= 0:
        return None
    return CoreShares(
        busy=(total - spent.idle - spent.iowait) / total,
        user=(spent.user + spent.nice) / total,
        system=(spent.system + spent.irq + spent.softirq) / total,
        iowait=spent.iowait / total,
        steal=spent.steal / total,
    )


class Cores:
    """Reads the cores of the job.

    Parameters
    ----------
    files : KernelFiles
    find_cores : callable
        Says which cores are the job's.
    clock : Clock
        Measures what dear readings cost.
    """

    subject = "cores"

    def __init__(
        self, files: KernelFiles, find_cores: Callable[[], frozenset[int]], *, clock: Clock
    ) -> None:
        self._files = files
        self._find_cores = find_cores
        self._before: dict[int, CoreTimes] = {}
        self._rates = Rates()
        self._rota = Rota(FREQUENCY_PERIOD_S, share=FREQUENCY_SHARE, clock=clock)
        self._told: set[int] = set()
        self._has_frequency = files.has("sys/devices/system/cpu/cpu0/cpufreq")
        self.busy_frac: dict[int, float] = {}

    def read(self, watch: Watch, into: Reading) -> None:
        """Add how busy the cores are to a reading."""
        cores = self._find_cores()
        node = parse_node_times(self._files.read("proc/stat"))
        into.devices += [self._describe(one) for one in sorted(cores - self._told)]
        self._told |= cores
        shares = self._find_shares(node, cores)
        self.busy_frac = {core: one.busy for core, one in shares.items()}
        into.samples += [
            Sample("core/util_frac", one.busy, f"core-{core}") for core, one in shares.items()
        ]
        if shares:
            count = len(shares)
            into.samples.append(Sample("host/cores", count))
            into.samples += [
                Sample(f"host/cpu_{name}_frac", sum(one[at] for one in shares.values()) / count)
                for at, name in enumerate(("util", "user", "system", "iowait", "steal"))
            ]
        self._read_load(node, into.samples)
        if self._has_frequency:
            for core in self._rota.turns(sorted(cores), watch.mono_s):
                self._read_frequency(core, into.samples)

    def _find_shares(self, node: NodeTimes, cores: frozenset[int]) -> dict[int, CoreShares]:
        before, self._before = self._before, node.cores
        found = {}
        for core in sorted(cores & node.cores.keys() & before.keys()):
            shares = find_shares(before[core], node.cores[core])
            if shares is not None:
                found[core] = shares
        return found

    def _read_load(self, node: NodeTimes, samples: list[Sample]) -> None:
        words = (self._files.peek("proc/loadavg") or "").split()
        if words:
            samples.append(Sample("host/load_avg_1m", float(words[0])))
        if node.running is not None:
            # One of them is the one that reads this.
            samples.append(Sample("host/tasks_running", max(0, node.running - 1)))
        if node.blocked is not None:
            samples.append(Sample("host/tasks_blocked", node.blocked))

    def _read_frequency(self, core: int, samples: list[Sample]) -> None:
        name = f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"
        khz = self._files.number(name)
        if khz:
            samples.append(Sample("core/freq_hz", khz * 1000.0, f"core-{core}"))

    def _describe(self, core: int) -> Device:
        folder = f"sys/devices/system/cpu/cpu{core}"
        facts: dict[str, object] = {}
        for name, fact in (("physical_package_id", "socket"), ("core_id", "physical_core")):
            number = self._files.number(f"{folder}/topology/{name}")
            if number is not None and number >= 0:
                facts[fact] = number
        for name in self._files.names(folder):
            if name.startswith("node") and name[4:].isdecimal():
                facts["numa_node"] = int(name[4:])
        return Device(kind="core", key=f"core-{core}", name=f"core {core}", facts=facts)


def find_obstacles(files: KernelFiles) -> list[Obstacle]:
    """Return what of the cores cannot be read."""
    why = files.why("proc/stat")
    return [Obstacle("cores", f"/proc/stat: {why}", "mount /proc")] if why else []
