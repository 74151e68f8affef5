"""What a GPU driver can be asked, whoever made the GPU, and what it can answer.

A driver is behind a `GpuSource`: ``hpctrack.telemetry.nvml`` speaks NVIDIA's, ``amd`` AMD's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Protocol

Level = Literal["info", "warning", "error"]

VALUES: Final[Mapping[str, str]] = {
    "util_frac": "share of the last sampling period in which any kernel ran",
    "memory_util_frac": "share of that period in which memory was read or written",
    "encoder_util_frac": "use of the video encoders",
    "decoder_util_frac": "use of the video decoders",
    "memory_used_bytes": "memory that programs have taken",
    "memory_reserved_bytes": "memory that driver and firmware keep, not part of what is used",
    "memory_total_bytes": "all of the memory",
    "power_w": "what the board draws, averaged over a second where the hardware does that",
    "power_instant_w": "what it draws at this moment, where power_w is an average",
    "power_limit_w": "the limit that is enforced now",
    "temp_c": "temperature of the GPU",
    "memory_temp_c": "temperature of its memory",
    "hotspot_temp_c": "temperature of its hottest place",
    "fan_frac": "fan speed as a share of the highest",
    "sm_clock_mhz": "clock of the compute units",
    "memory_clock_mhz": "clock of the memory",
    "sm_clock_max_mhz": "highest clock of the compute units",
    "memory_clock_max_mhz": "highest clock of the memory",
    "clock_event_reasons": "why the clock is not higher: bits, see hpctrack.telemetry.gpu_reasons",
    "pcie_link_generation": "generation that the PCIe link runs at now",
    "pcie_link_width": "lanes that the PCIe link uses now",
    "pcie_replay_total": "PCIe packets that had to be sent again",
    "pcie_tx_bytes_per_s": "PCIe traffic from the GPU",
    "pcie_rx_bytes_per_s": "PCIe traffic to the GPU",
    "nvlink_tx_bytes_per_s": "NVLink traffic from the GPU, all links",
    "nvlink_rx_bytes_per_s": "NVLink traffic to the GPU, all links",
    "ecc_corrected_volatile_total": "corrected memory errors since the driver was loaded",
    "ecc_uncorrected_volatile_total": "uncorrected memory errors since the driver was loaded",
    "ecc_corrected_aggregate_total": "corrected memory errors in the GPU's life",
    "ecc_uncorrected_aggregate_total": "uncorrected memory errors in the GPU's life",
    "retired_pages_single_bit": "memory pages retired for corrected errors",
    "retired_pages_double_bit": "memory pages retired for uncorrected errors",
    "retired_pages_pending": "1 if pages wait for a reset to be retired",
    "remapped_rows_corrected": "memory rows replaced for corrected errors",
    "remapped_rows_uncorrected": "memory rows replaced for uncorrected errors",
    "remapped_rows_pending": "1 if rows wait for a reset to be replaced",
    "remapped_rows_failed": "1 if a row could not be replaced",
    "graphics_active_frac": "share of time in which the compute or graphics engine was active",
    "sm_active_frac": "share of the multiprocessors that were busy",
    "sm_occupancy_frac": "warps in flight, of those that would fit",
    "tensor_active_frac": "share of time in which tensor cores worked",
    "dram_active_frac": "memory bandwidth used, of that possible",
    "fp64_active_frac": "share of time in which 64-bit arithmetic was done, tensor cores apart",
    "fp32_active_frac": "the same for 32 bits",
    "fp16_active_frac": "the same for 16 bits",
}
"""What may be in `GpuReading.values`; as a sample each has ``gpu/`` before it."""

COUNTERS: Final[Mapping[str, str]] = {
    "energy_j": "joules since the driver was loaded",
    "nvlink_tx_bytes": "bytes sent over NVLink since the driver was loaded",
    "nvlink_rx_bytes": "bytes received over NVLink since the driver was loaded",
}
"""What may be in `GpuReading.counters`."""

PROCESS_VALUES: Final[Mapping[str, str]] = {
    "process_memory_bytes": "memory that one rank's process has taken; has its number, too",
    "process_sm_util_frac": "share of the multiprocessors' time that it had; has its number, too",
}
"""What there is for each process that uses a GPU."""

OF_THE_WHOLE: Final = frozenset({"power_w", "power_instant_w", "power_limit_w"})
"""What a divided GPU has as a whole. The job may have one slice of it and strangers the others, so
it is named apart, with ``parent_``, and whoever adds up the job's power does not find it."""


class Absence(StrEnum):
    """Why something cannot be read."""

    NOT_SUPPORTED = "not supported by this GPU or driver"
    NO_PERMISSION = "no permission"
    FAILING = "the driver fails each time that it is asked"
    OTHER_PIDS = "the driver numbers processes otherwise than we do (PID namespace)"


class DriverAbsentError(Exception):
    """The driver cannot be used now.

    Parameters
    ----------
    code : str
        As in `hpctrack.telemetry.reading.Happening`.
    text : str
        What, and what to do.
    level : str or None
        None: not worth a word, as for a vendor whose package is not installed.
    may_return : bool
        Whether it makes sense to try again.
    """

    def __init__(
        self, code: str, text: str, *, level: Level | None = "info", may_return: bool = True
    ) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.level = level
        self.may_return = may_return


class GpuLostError(Exception):
    """One GPU does not answer any more: it fell off the bus, or needs a reset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU that we may use, or a slice of one.

    Parameters
    ----------
    uuid : str
        As the driver writes it: ``GPU-...``, ``MIG-...``.
    name : str
        Product, ``NVIDIA H100 80GB HBM3``; of a slice its profile, ``1g.10gb``.
    pci_bus_id : str
        ``00000000:1B:00.0``; of a slice that of its GPU.
    parent : str
        UUID of the GPU that this is a slice of.
    instance, compute_instance : int or None
        Numbers of a slice inside its GPU.
    aliases : tuple of str
        Other identifiers by which a list of visible devices may name it.
    is_sliced : bool
        It is divided into slices, and only these can compute.
    model : str
        What tells kinds of GPUs apart by speed: name and compute capability.
    facts : mapping
        What is worth recording once.
    """

    uuid: str
    name: str
    pci_bus_id: str = ""
    parent: str = ""
    instance: int | None = None
    compute_instance: int | None = None
    aliases: tuple[str, ...] = ()
    is_sliced: bool = False
    model: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


class GpuProcess(NamedTuple):
    """What a process has of a GPU; None is not available.

    Parameters
    ----------
    pid : int
    memory_bytes : int or None
    sm_util_frac : float or None
    """

    pid: int
    memory_bytes: int | None = None
    sm_util_frac: float | None = None


class Counter(NamedTuple):
    """A counter as the driver shows it, with what one step of it is.

    Parameters
    ----------
    raw : int
        May wrap and start again: see `hpctrack.telemetry.growth`.
    scale : float
        ``raw * scale`` has the unit that the counter's name in `COUNTERS` says.
    """

    raw: int
    scale: float


class GpuEvent(NamedTuple):
    """Something that the driver reports by itself.

    Parameters
    ----------
    uuid : str
        The GPU's, empty if the driver does not say.
    xid : int
        NVIDIA's number of the error.
    """

    uuid: str
    xid: int


@dataclass(slots=True)
class GpuReading:
    """What one GPU answers at one moment: what cannot be read is not in it.

    Parameters
    ----------
    values : dict
        Of `VALUES`.
    counters : dict
        Of `COUNTERS`.
    processes : list of GpuProcess
    """

    values: dict[str, float] = field(default_factory=dict)
    counters: dict[str, Counter] = field(default_factory=dict)
    processes: list[GpuProcess] = field(default_factory=list)


class GpuSource(Protocol):
    """A vendor's driver.

    Notes
    -----
    Any call may block for as long as the driver likes. After a `DriverAbsentError` the source is
    closed; ``open`` tries again with the library initialised anew.
    """

    vendor: str

    def open(self) -> None:
        """Load the library, connect to the driver.

        Raises
        ------
        DriverAbsentError
            There is none that we may use.
        """
        ...

    def list_gpus(self) -> list[Gpu]:
        """List the GPUs that this process may open, by PCI address, each followed by its slices."""
        ...

    def read(self, gpu: Gpu, mono_s: float) -> GpuReading:
        """Ask one GPU for all that it supports.

        Parameters
        ----------
        gpu : Gpu
            Of ``list_gpus`` since the last ``open``.
        mono_s : float
            Now; what changes slowly is not asked each time.

        Raises
        ------
        GpuLostError
            It does not answer any more.
        DriverAbsentError
            The driver has gone.
        """
        ...

    def read_events(self, gpus: Sequence[Gpu]) -> list[GpuEvent]:
        """Return what the driver has reported of these GPUs since the last call; do not wait."""
        ...

    def list_absences(self, gpu: Gpu) -> Mapping[str, Absence]:
        """Say what of ``VALUES`` and ``COUNTERS`` a GPU has been asked for in vain, and why."""
        ...

    def close(self) -> None:
        """Let go of the driver; never raises."""
        ...
