"""NVIDIA GPUs, through NVML. The one home of ``pynvml`` (package nvidia-ml-py).

The package is loaded when the source is opened, never before: a node without GPUs pays nothing.

NVML and cgroups: a process that may not open ``/dev/nvidiaN`` either does not see that GPU in
NVML's count, or gets "no permission" for its handle, by driver. Both are passed over here, and so
is a GPU whose device file refuses us although NVML gives a handle. The same holds for slices.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpctrack.telemetry.device_files import can_open, has_machine_pids
from hpctrack.telemetry.gpu_source import (
    Absence,
    DriverAbsentError,
    Gpu,
    GpuEvent,
    GpuLostError,
    GpuReading,
)
from hpctrack.telemetry.nvml_device import NvmlDevice
from hpctrack.telemetry.nvml_events import EventReader
from hpctrack.telemetry.nvml_listing import list_devices
from hpctrack.telemetry.nvml_processes import ProcessReader
from hpctrack.telemetry.nvml_status import explain_opening


class NvmlSource:
    """NVIDIA's driver.

    Parameters
    ----------
    root : Path
        Where ``dev`` and ``proc`` are.
    """

    vendor = "nvidia"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._api: Any = None
        self._devices: dict[str, NvmlDevice] = {}
        self._handles: dict[str, Any] = {}
        self._events: EventReader | None = None

    def open(self) -> None:
        """Load the library and connect to the driver.

        Raises
        ------
        DriverAbsentError
            No package, no library, no driver, or we may not use it.
        """
        self.close()
        api = _load()
        try:
            api.nvmlInit()
        except api.NVMLError as error:
            raise explain_opening(error.value, str(error)) from None
        self._api = api
        self._events = EventReader(api)

    def list_gpus(self) -> list[Gpu]:
        """List the GPUs that we may open, by PCI address, each followed by its slices.

        Raises
        ------
        DriverAbsentError
            The driver has gone.
        """
        files = self._root / "dev"
        found = list_devices(self._api, lambda minor: can_open(files / f"nvidia{minor}"))
        self._handles = {gpu.uuid: handle for gpu, handle in found}
        return [gpu for gpu, _ in found]

    def read(self, gpu: Gpu, mono_s: float) -> GpuReading:
        """Ask one GPU for all that it supports and that is due.

        Raises
        ------
        GpuLostError, DriverAbsentError
            The GPU, or the driver, is gone.
        """
        device = self._devices.get(gpu.uuid) or self._make_device(gpu)
        return device.read(mono_s)

    def read_events(self, gpus: Sequence[Gpu]) -> list[GpuEvent]:
        """Return the Xid errors of these GPUs since the last call."""
        if self._events is None:
            return []
        handles = {gpu.uuid: self._handles[gpu.uuid] for gpu in gpus if gpu.uuid in self._handles}
        return self._events.read(handles)

    def list_absences(self, gpu: Gpu) -> Mapping[str, Absence]:
        """Say what a GPU has been asked for in vain, and why."""
        device = self._devices.get(gpu.uuid)
        return device.list_absences() if device else {}

    def close(self) -> None:
        """Let go of the driver; never raises."""
        api, self._api = self._api, None
        if api is None:
            return
        for device in self._devices.values():
            device.close()
        if self._events is not None:
            self._events.close()
        self._devices, self._handles, self._events = {}, {}, None
        with contextlib.suppress(api.NVMLError):
            api.nvmlShutdown()

    def _make_device(self, gpu: Gpu) -> NvmlDevice:
        handle = self._handles.get(gpu.uuid)
        if handle is None:
            raise GpuLostError("the driver does not list it any more")
        can_name = has_machine_pids(self._root)
        device = self._devices[gpu.uuid] = NvmlDevice(
            self._api,
            gpu,
            handle,
            whole=self._handles.get(gpu.parent, handle),
            processes=ProcessReader(has_utilisation=not gpu.parent) if can_name else None,
        )
        return device


def _load() -> Any:
    try:
        import pynvml  # noqa: PLC0415 - an extra, and only where there are GPUs
    except ImportError:
        text = "no NVIDIA GPU is recorded: the package nvidia-ml-py is missing"
        hint = "pip install 'hpctrack[gpu]'"
        raise DriverAbsentError("gpu-no-package", f"{text}; {hint}", may_return=False) from None
    return pynvml
