"""Which processes use a device through NVML, with how much. The library comes as a parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hpctrack.telemetry.gpu_source import Absence, GpuProcess
from hpctrack.telemetry.nvml_status import make_patience

LISTS: Final = (
    "nvmlDeviceGetComputeRunningProcesses",
    "nvmlDeviceGetGraphicsRunningProcesses",
    "nvmlDeviceGetMPSComputeRunningProcesses",
)
"""Programs that compute, that draw (in-situ rendering does), and that compute through MPS. A
process may be in several, each time with all of its memory."""

VERSIONS: Final = ("_v3", "_v2")
"""Functions whose structures are the same; drivers before R510 have the second only."""

MEMORY_MAX_BYTES: Final = 2**48
"""No GPU has this much: above it are the marks of what is not available."""

PERCENT_MAX: Final = 100


class ProcessReader:
    """Reads the processes of one device.

    Parameters
    ----------
    has_utilisation : bool
        Whether the shares of computing time may be asked for; slices have none.

    Attributes
    ----------
    absence : Absence or None
        Why there is no list at all, if there is none.
    """

    def __init__(self, *, has_utilisation: bool) -> None:
        self._lists = [[name + version for version in VERSIONS] for name in LISTS]
        self._has_utilisation = has_utilisation
        self._patience = make_patience()
        self._last_us = 0
        self.absence: Absence | None = None

    def read(self, api: Any, handle: Any) -> list[GpuProcess]:
        """Return all processes that the driver tells of.

        Raises
        ------
        GpuLostError, DriverAbsentError
            The device or the driver is gone.
        """
        memory: dict[int, int | None] = {}
        for names in tuple(self._lists):
            for process in self._read_list(api, handle, names):
                if process.pid > 0:
                    memory[process.pid] = _join(memory.get(process.pid), process.usedGpuMemory)
        shares = self._read_shares(api, handle, memory) if self._has_utilisation else {}
        return [GpuProcess(pid, memory[pid], shares.get(pid)) for pid in sorted(memory)]

    def _read_list(self, api: Any, handle: Any, names: list[str]) -> list[Any]:
        try:
            found = list(getattr(api, names[0])(handle))
        except AttributeError:
            absence: Absence | None = Absence.NOT_SUPPORTED
        except api.NVMLError as error:
            absence = self._patience.judge(names[0], error.value, str(error))
        else:
            self._patience.forget(names[0])
            return found
        if absence is not None:
            names.pop(0)
            if names:
                return self._read_list(api, handle, names)
            self._lists.remove(names)
            self.absence = None if self._lists else absence
        return []

    def _read_shares(self, api: Any, handle: Any, known: Mapping[int, Any]) -> dict[int, float]:
        try:
            samples = list(api.nvmlDeviceGetProcessUtilization(handle, self._last_us))
        except AttributeError:
            self._has_utilisation = False
            return {}
        except api.NVMLError as error:
            absence = self._patience.judge("shares", error.value, str(error))
            self._has_utilisation = absence is None
            return {}
        self._patience.forget("shares")
        # The first answer reaches back for as long as the driver remembers. The list may
        # be filled up with rubbish: numbers of no process, shares above 100.
        is_first = self._last_us == 0
        good = [one for one in samples if one.pid in known and one.smUtil <= PERCENT_MAX]
        good = sorted((one.timeStamp, one.pid, one.smUtil) for one in good)
        shares = {pid: share / 100.0 for at_us, pid, share in good if at_us > self._last_us}
        self._last_us = good[-1][0] if good else self._last_us
        return {} if is_first else shares


def _join(known: int | None, told: int | None) -> int | None:
    if told is None or told > MEMORY_MAX_BYTES:
        return known
    return max(known or 0, told)
