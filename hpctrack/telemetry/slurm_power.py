"""Power as Slurm knows it, where nothing on the node tells us."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from collections.abc import Mapping
from contextlib import suppress
from typing import Final, NamedTuple

from hpctrack.telemetry.counters import Odometer
from hpctrack.telemetry.reading import Reading, Sample

PERIOD_S = 300.0
"""How often the controller is asked. It answers for the whole cluster, and every node of a large
job asks: never let this be short."""

HOLD_S = 2 * PERIOD_S + 60.0
"""For so long an answer counts: one may fail to come."""

WAIT_MAX_S = 30.0
"""A program that has not answered by then is ended."""

BELIEVABLE_W = 50_000.0

PLUGINS: Final[Mapping[str, str]] = {
    "ipmi": "node",
    "xcc": "node",
    "pm_counters": "node",
    "cray_aries": "node",
    "rapl": "cpu",
}
"""What each ``acct_gather_energy`` plug-in measures: the whole node, or processors and memory. The
one for GPUs measures these only, and of several together nobody knows what is added up: these are
told by nobody here."""


class NodePower(NamedTuple):
    """What Slurm says of a node.

    Parameters
    ----------
    watts : int
    joules : int or None
        Counted since its daemon began; None if that is not told.
    """

    watts: int
    joules: int | None = None


def parse_plugin(text: str) -> str:
    """Return what ``AcctGatherEnergyType`` of ``scontrol show config`` measures, else nothing."""
    for line in text.splitlines():
        name, _equals, value = line.partition("=")
        if name.strip() == "AcctGatherEnergyType":
            return PLUGINS.get(value.strip().rpartition("/")[2], "") if "," not in value else ""
    return ""


def parse_node_power(text: str) -> NodePower | None:
    """Return what ``scontrol show node`` says, or None if Slurm does not measure it.

    Without a plug-in it says ``n/s`` or 0.
    """
    fields = dict(word.split("=", 1) for word in text.split() if "=" in word)
    watts, joules = fields.get("CurrentWatts", ""), fields.get("ConsumedJoules", "")
    if not watts.isdecimal() or not int(watts):
        return None
    return NodePower(int(watts), int(joules) if joules.isdecimal() and int(joules) else None)


class SlurmPower:
    """Asks ``scontrol`` now and then, without waiting for the answer.

    Parameters
    ----------
    environ : mapping
        Of the job: says the node's name and where programs are.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._node = environ.get("SLURMD_NODENAME", "")
        self._program = shutil.which("scontrol", path=environ.get("PATH", ""))
        self._environ = dict(environ)
        self._child: subprocess.Popen[str] | None = None
        self._started_s = 0.0
        # Nodes of one job ask at different moments.
        self._wait_s = zlib.crc32(self._node.encode()) % 1000 / 1000 * PERIOD_S
        self._due_s: float | None = None
        self._is_told = True
        self._what = ""
        self._meter = Odometer()
        self._answered_s: float | None = None
        self._samples: list[Sample] = []

    @property
    def is_waiting(self) -> bool:
        """Whether a program runs that has not answered yet."""
        return self._child is not None

    def read(self, mono_s: float, into: Reading) -> None:
        """Add the latest answer to a reading, while it counts; ask again when it is time."""
        if not (self._program and self._node and self._is_told):
            return
        if self._due_s is None:
            self._due_s = mono_s + self._wait_s
        if self._child is not None:
            self._collect(mono_s)
        elif mono_s >= self._due_s:
            self._started_s = mono_s
            self._due_s = mono_s + PERIOD_S
            self._ask()
        # Told each time: what nobody has told for minutes is taken for not read.
        if self._answered_s is not None and mono_s - self._answered_s < HOLD_S:
            into.samples += self._samples

    def close(self) -> None:
        """End a program that still runs."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None

    def _ask(self) -> None:
        words = ["--oneliner", "show", "node", self._node] if self._what else ["show", "config"]
        with suppress(OSError):
            self._child = subprocess.Popen(
                [self._program or "scontrol", *words],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )

    def _collect(self, mono_s: float) -> None:
        child = self._child
        if child is None:
            return
        if child.poll() is None:
            if mono_s - self._started_s > WAIT_MAX_S:
                self.close()
            return
        answer, _errors = child.communicate()
        self._child = None
        if child.returncode:
            return
        if not self._what:
            self._what = parse_plugin(answer)
            self._is_told = bool(self._what)  # else it is not measured: never asked again
            self._due_s = mono_s
            return
        power = parse_node_power(answer)
        if power is None:
            self._is_told = False
        else:
            self._take(power, mono_s)

    def _take(self, power: NodePower, mono_s: float) -> None:
        self._samples = [Sample(f"power/{self._what}_w", power.watts)]
        elapsed_s = 0.0 if self._answered_s is None else mono_s - self._answered_s
        if power.joules is not None:
            self._meter.add(power.joules, at_most=BELIEVABLE_W * elapsed_s)
            # From the first answer on: readers count from one sample to the next.
            total_j = self._meter.total
            self._samples.append(Sample(f"energy/{self._what}_j_total", total_j))
        self._answered_s = mono_s
