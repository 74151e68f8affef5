"""What every source of telemetry answers with, and what it is told before it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something on a node that has readings of its own.

    Parameters
    ----------
    kind : str
        gpu, mig, core, socket, sensor (hwmon, firmware), disk, net, fabric (InfiniBand,
        Omni-Path), mount (Lustre, NFS).
    key : str
        What tells it from all others of the node, for good: a GPU's UUID, ``eth0``, ``core-3``.
    name : str
        For people: ``NVIDIA H100 80GB HBM3``.
    parent : str
        Key of the device that it is a part of: the GPU of a MIG slice.
    facts : mapping
        What does not change and is worth recording, JSON-able: driver version, total memory.
    """

    kind: str
    key: str
    name: str = ""
    parent: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


class Sample(NamedTuple):
    """One reading. What could not be read has no sample: never 0, never a guess.

    Parameters
    ----------
    name : str
        Path with the unit at its end: ``gpu/util_frac``, ``host/memory_used_bytes``. Rates are
        per second (``_bytes_per_s``), shares are 0 to 1 (``_frac``), counters that only grow end
        in ``_total``.
    value : float
    device : str
        `Device.key`; empty for the node, or the process, as a whole.
    pid : int
        The process that it is of, as the agent sees it; 0 if it is of no process. A child's
        number counts for the rank that it descends from.
    """

    name: str
    value: float
    device: str = ""
    pid: int = 0


class Happening(NamedTuple):
    """Something that a source noticed and a user should know.

    Parameters
    ----------
    level : str
        info, warning or error.
    code : str
        Stable: ``gpu-lost``, ``gpu-xid``, ``oom-kill``, ``cores-shared``.
    text : str
        One line: what, where, what to do.
    device : str
        `Device.key`, if it is of one.
    """

    level: str
    code: str
    text: str
    device: str = ""


@dataclass(frozen=True, slots=True)
class WatchedRank:
    """A process of the job on this node that has a rank.

    Parameters
    ----------
    pid : int
    rank : int
    visible_gpus : str or None
        Its ``CUDA_VISIBLE_DEVICES``; None if it is not set.
    rocr_gpus, hip_gpus : str or None
        Its ``ROCR_VISIBLE_DEVICES`` and ``HIP_VISIBLE_DEVICES``, which are for AMD's GPUs only.
    """

    pid: int
    rank: int
    visible_gpus: str | None = None
    rocr_gpus: str | None = None
    hip_gpus: str | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """What a source is told each time that it is asked.

    Parameters
    ----------
    wall_s, mono_s : float
        Now: UTC seconds, and seconds of a clock that never jumps, for rates.
    ranks : tuple of WatchedRank
        Of all runs that the agent serves; they come and go.
    """

    wall_s: float
    mono_s: float
    ranks: tuple[WatchedRank, ...] = ()


@dataclass(slots=True)
class Reading:
    """What a source answers.

    Parameters
    ----------
    devices : list of Device
        Those that were not told before, or have changed.
    samples : list of Sample
    happenings : list of Happening
    uses : dict or None
        By process number of a watched rank: keys of the devices that it may use. None if the
        source knows nothing of the kind; then its devices are everybody's.
    parents : dict or None
        By process number: the watched rank's process that it descends from. None likewise.
    """

    devices: list[Device] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    happenings: list[Happening] = field(default_factory=list)
    uses: dict[int, tuple[str, ...]] | None = None
    parents: dict[int, int] | None = None


class Source(Protocol):
    """Something that can be asked again and again what it sees on this node.

    Notes
    -----
    The agent gives each source a thread of its own, so that one that hangs (a driver, a dead
    file server) delays nobody. A source raises nothing for what is simply not there; anything it
    does raise is told once and costs that one reading. Rates need two readings: the first of a
    counter gives none.
    """

    name: str

    def read(self, watch: Watch) -> Reading:
        """Return what is new and what is measured now."""
        ...

    def close(self) -> None:
        """Let go of drivers and files."""
        ...
