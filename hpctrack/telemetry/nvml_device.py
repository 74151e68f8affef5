"""One GPU, or one slice, as NVML knows it: asked for what it supports and nothing else.

The library comes as a parameter.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hpctrack.telemetry.asks import Ask, Asker
from hpctrack.telemetry.gpu_source import Absence, Gpu, GpuReading
from hpctrack.telemetry.nvml_asks import ASKS, PCIE_WINDOW
from hpctrack.telemetry.nvml_fields import FieldReader
from hpctrack.telemetry.nvml_gpm import GpmReader, is_supported
from hpctrack.telemetry.nvml_processes import ProcessReader
from hpctrack.telemetry.nvml_status import make_patience

GPM: Final = "sm_active_frac"
"""What stands for all of the performance counters where they are missing."""


class NvmlDevice:
    """Reads one device.

    Parameters
    ----------
    api : module
        pynvml.
    gpu : Gpu
    handle : object
        Of the GPU or the slice.
    whole : object
        Of the GPU: the same, or that of the slice's parent.
    processes : ProcessReader or None
        None if the driver's process numbers are not ours.
    """

    def __init__(
        self, api: Any, gpu: Gpu, handle: Any, *, whole: Any, processes: ProcessReader | None
    ) -> None:
        self._api = api
        self._gpu = gpu
        self._handle = handle
        self._patience = make_patience()
        self._absences: dict[str, Absence] = {}
        self._asker = Asker(
            api,
            handle,
            error=api.NVMLError,
            find_code=lambda error: int(error.value),
            patience=self._patience,
        )
        self._asker.add(ask for ask in ASKS if _applies(ask, gpu))
        self._fields = None if gpu.parent else FieldReader(api, handle)
        self._processes = None if gpu.is_sliced else processes
        if processes is None and not gpu.is_sliced:
            self._absences["processes"] = Absence.OTHER_PIDS
        self._gpm = self._find_gpm(whole)
        if self._gpm is None:
            self._do_without_gpm(Absence.NOT_SUPPORTED)

    def read(self, mono_s: float) -> GpuReading:
        """Ask for all that is due.

        Raises
        ------
        GpuLostError, DriverAbsentError
            The device or the driver is gone.
        """
        reading = GpuReading()
        self._asker.read_into(reading, mono_s)
        if self._fields is not None:
            self._read_fields(reading, mono_s, self._fields)
        if self._gpm is not None:
            self._read_gpm(reading, mono_s, self._gpm)
        if self._processes is not None:
            reading.processes = self._processes.read(self._api, self._handle)
        return reading

    def list_absences(self) -> Mapping[str, Absence]:
        """Say what cannot be read, and why."""
        found = {**self._absences, **self._asker.absences}
        found.update(self._fields.absences if self._fields is not None else {})
        if self._processes is not None and self._processes.absence is not None:
            found["processes"] = self._processes.absence
        return found

    def close(self) -> None:
        """Give the driver's buffers back; never raises."""
        if self._gpm is not None:
            self._gpm.close()

    def _find_gpm(self, whole: Any) -> GpmReader | None:
        # A GPU's counters are those of its instances once it is divided; an instance's are of all
        # its compute instances, and the name of a part of one says so: 1c.3g.40gb.
        is_part = bool(self._gpu.parent) and "c." in self._gpu.name
        if self._gpu.is_sliced or is_part or not is_supported(self._api, whole):
            return None
        return GpmReader(self._api, whole, self._gpu.instance if self._gpu.parent else None)

    def _do_without_gpm(self, absence: Absence) -> None:
        self._gpm = None
        self._absences[GPM] = absence
        self._asker.add(() if self._gpu.parent else (PCIE_WINDOW,))

    def _read_fields(self, reading: GpuReading, mono_s: float, fields: FieldReader) -> None:
        try:
            fields.read_into(reading, mono_s)
        except self._api.NVMLError as error:
            absence = self._patience.judge("fields", error.value, str(error))
            if absence is not None:
                fields.strike_all(absence)
        else:
            self._patience.forget("fields")

    def _read_gpm(self, reading: GpuReading, mono_s: float, gpm: GpmReader) -> None:
        try:
            found = gpm.read(mono_s)
        except self._api.NVMLError as error:
            absence = self._patience.judge(GPM, error.value, str(error))
            if absence is not None:
                gpm.close()
                self._do_without_gpm(absence)
            return
        self._patience.forget(GPM)
        reading.values.update(found)
        for name in ("nvlink_tx_bytes", "nvlink_rx_bytes"):
            if f"{name}_per_s" in found:
                reading.counters.pop(name, None)


def _applies(ask: Ask, gpu: Gpu) -> bool:
    return ask.on_slice if gpu.parent else ask.on_sliced or not gpu.is_sliced
