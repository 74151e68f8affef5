"""AMD GPUs, through AMD SMI. The one home of ``amdsmi``, which comes with ROCm.

The library reads most from sysfs, which no cgroup guards: it lists every GPU of the node. Which of
them are ours is asked of their device files, ``/dev/dri/render*``, which Slurm's cgroup guards.
ROCm numbers what it can open by the library's own order (``hip_id``), or by PCI address.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hpctrack.telemetry.amd_asks import ASKS, MIB, VERDICTS, read_processes
from hpctrack.telemetry.asks import Asker, Patience
from hpctrack.telemetry.device_files import can_open, has_machine_pids
from hpctrack.telemetry.gpu_source import (
    Absence,
    DriverAbsentError,
    Gpu,
    GpuEvent,
    GpuLostError,
    GpuReading,
)
from hpctrack.telemetry.kernel_files import KernelFiles


class AmdSource:
    """AMD's driver.

    Parameters
    ----------
    root : Path
        Where ``dev``, ``proc`` and ``sys`` are.
    """

    vendor = "amd"

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._api: Any = None
        self._handles: dict[str, Any] = {}
        self._devices: dict[str, _AmdDevice] = {}

    def open(self) -> None:
        """Load the library and connect to the driver.

        Raises
        ------
        DriverAbsentError
            No package, no library, no driver, or we may not use it.
        """
        self.close()
        api = _load(self._root)
        try:
            api.amdsmi_init()
        except api.AmdSmiException as error:
            raise _explain(error) from None
        self._api = api

    def list_gpus(self) -> list[Gpu]:
        """List the GPUs that we may open, as ROCm numbers them.

        Raises
        ------
        DriverAbsentError
            The driver does not answer.
        """
        try:
            handles = self._api.amdsmi_get_processor_handles()
        except self._api.AmdSmiException as error:
            raise _explain(error) from None
        found = []
        for handle in handles:
            gpu, number = _describe(self._api, handle)
            if gpu is not None and self._can_open(gpu):
                found.append((number, gpu.pci_bus_id, gpu, handle))
        found.sort(key=lambda one: one[:2])
        self._handles = {gpu.uuid: handle for _, _, gpu, handle in found}
        return [gpu for _, _, gpu, _ in found]

    def read(self, gpu: Gpu, mono_s: float) -> GpuReading:
        """Ask one GPU for all that it supports and that is due.

        Raises
        ------
        GpuLostError, DriverAbsentError
            The GPU, or the driver, is gone.
        """
        device = self._devices.get(gpu.uuid)
        if device is None:
            if gpu.uuid not in self._handles:
                raise GpuLostError("the driver does not list it any more")
            handle = self._handles[gpu.uuid]
            device = _AmdDevice(self._api, handle, has_pids=has_machine_pids(self._root))
            self._devices[gpu.uuid] = device
        return device.read(mono_s)

    def read_events(self, gpus: Sequence[Gpu]) -> list[GpuEvent]:
        """Return nothing: what this driver reports has no numbers like NVIDIA's."""
        del gpus
        return []

    def list_absences(self, gpu: Gpu) -> Mapping[str, Absence]:
        """Say what a GPU has been asked for in vain, and why."""
        device = self._devices.get(gpu.uuid)
        return device.absences if device else {}

    def close(self) -> None:
        """Let go of the driver; never raises."""
        api, self._api = self._api, None
        self._handles, self._devices = {}, {}
        if api is not None:
            with contextlib.suppress(api.AmdSmiException):
                api.amdsmi_shut_down()

    def _can_open(self, gpu: Gpu) -> bool:
        folder = self._root / "sys/bus/pci/devices" / gpu.pci_bus_id / "drm"
        names = sorted(path.name for path in folder.glob("render*"))
        return all(can_open(self._root / "dev/dri" / name) for name in names)


class _AmdDevice:
    """One GPU: what it is asked, and what it has been asked in vain."""

    def __init__(self, api: Any, handle: Any, *, has_pids: bool) -> None:
        self._api = api
        self._handle = handle
        self._patience = Patience(VERDICTS, "AMD")
        self._asker = Asker(
            api, handle, error=api.AmdSmiException, find_code=_find_code, patience=self._patience
        )
        self._asker.add(ASKS)
        self.absences = self._asker.absences
        if not has_pids:
            self.absences["processes"] = Absence.OTHER_PIDS

    def read(self, mono_s: float) -> GpuReading:
        reading = GpuReading()
        self._asker.read_into(reading, mono_s)
        if "processes" not in self.absences:
            try:
                reading.processes = read_processes(self._api, self._handle)
            except (AttributeError, KeyError):
                self.absences["processes"] = Absence.NOT_SUPPORTED
            except self._api.AmdSmiException as error:
                absence = self._patience.judge("processes", _find_code(error), str(error))
                if absence is not None:
                    self.absences["processes"] = absence
            else:
                self._patience.forget("processes")
        return reading


def _load(root: Path) -> Any:
    try:
        # Without its library the package prints a complaint and then fails on a missing key.
        with contextlib.redirect_stdout(io.StringIO()):
            # Comes with ROCm, or not at all.
            return importlib.import_module("amdsmi")
    except ImportError:
        if not _has_cards(root):
            raise DriverAbsentError(
                "gpu-no-package", "amdsmi is not installed", level=None, may_return=False
            ) from None
        text = (
            "an AMD GPU is here, but the package amdsmi is not installed: none is recorded; it "
            "comes with ROCm, `pip install /opt/rocm/share/amd_smi`"
        )
        raise DriverAbsentError("gpu-no-package", text, may_return=False) from None
    except (OSError, KeyError, AttributeError, SystemExit):
        text = "AMD's library (libamd_smi.so) cannot be loaded: no AMD GPU is recorded"
        raise DriverAbsentError("gpu-no-library", text, may_return=False) from None


def _has_cards(root: Path) -> bool:
    """Whether the kernel knows of a GPU of AMD's, for computing or at all."""
    files = KernelFiles(root)
    vendors = (
        files.peek(f"sys/class/drm/{one}/device/vendor") for one in files.names("sys/class/drm")
    )
    return (root / "dev/kfd").exists() or any((one or "").strip() == "0x1002" for one in vendors)


def _find_code(error: Any) -> int:
    return int(getattr(error, "err_code", None) or -1)


def _explain(error: Any) -> DriverAbsentError:
    code = _find_code(error)
    if code == 10:  # noqa: PLR2004 - no permission
        text = "the AMD driver may not be used: no AMD GPU is recorded on this node"
        return DriverAbsentError("gpu-no-permission", text, level="warning")
    text = f"no AMD driver answers (code {code}): no AMD GPU is recorded on this node"
    return DriverAbsentError("gpu-no-driver", text)


def _describe(api: Any, handle: Any) -> tuple[Gpu | None, int]:
    """Return a GPU, and its place in ROCm's order if the library tells it."""
    uuid = _ask(api, "amdsmi_get_gpu_device_uuid", handle)
    if not uuid:
        return None, 0
    asic = _ask(api, "amdsmi_get_gpu_asic_info", handle) or {}
    memory = _ask(api, "amdsmi_get_gpu_vram_usage", handle) or {}
    driver = _ask(api, "amdsmi_get_gpu_driver_info", handle) or {}
    order = _ask(api, "amdsmi_get_gpu_enumeration_info", handle) or {}
    serial = str(asic.get("asic_serial", "")).removeprefix("0x").lower()
    total = memory.get("vram_total")
    facts = {
        "driver_version": driver.get("driver_version"),
        "memory_total_bytes": total * MIB if isinstance(total, int) else None,
        "target": asic.get("target_graphics_version"),
    }
    gpu = Gpu(
        uuid=str(uuid),
        name=str(asic.get("market_name", "AMD GPU")),
        pci_bus_id=str(_ask(api, "amdsmi_get_gpu_device_bdf", handle) or "").lower(),
        # ROCR_VISIBLE_DEVICES knows GPUs by the serial number of their chip.
        aliases=tuple(filter(None, (order.get("hip_uuid"), serial and f"GPU-{serial}"))),
        facts={key: value for key, value in facts.items() if value not in {None, "N/A"}},
    )
    number = order.get("hip_id")
    return gpu, number if isinstance(number, int) else 0


def _ask(api: Any, function: str, handle: Any) -> Any:
    try:
        return getattr(api, function)(handle)
    except (AttributeError, KeyError, ValueError, api.AmdSmiException):
        return None
