"""The GPUs and slices that NVML lets us have. The library comes as a parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hpctrack.telemetry.asks import Verdict, make_gone
from hpctrack.telemetry.gpu_source import Gpu
from hpctrack.telemetry.nvml_status import VERDICTS


def list_devices(api: Any, can_open: Callable[[int], bool]) -> list[tuple[Gpu, Any]]:
    """List what may be opened, with handles: GPUs by PCI address, each followed by its slices.

    Parameters
    ----------
    api : module
        pynvml.
    can_open : callable
        Whether the device file with this minor number lets us in.

    Raises
    ------
    DriverAbsentError
        The driver has gone.

    Notes
    -----
    One GPU that is lost or forbidden does not hide the others.
    """
    driver = {
        "driver_version": _ask(api, "nvmlSystemGetDriverVersion"),
        "cuda_driver_version": _ask(api, "nvmlSystemGetCudaDriverVersion"),
    }
    found = []
    for index in range(_ask(api, "nvmlDeviceGetCount") or 0):
        handle = _ask(api, "nvmlDeviceGetHandleByIndex", index)
        uuid = handle and _ask(api, "nvmlDeviceGetUUID", handle)
        if not uuid:
            continue
        minor = _ask(api, "nvmlDeviceGetMinorNumber", handle)
        if minor is not None and not can_open(minor):
            continue
        found.append((_describe(api, handle, uuid, driver), handle))
    found.sort(key=lambda pair: pair[0].pci_bus_id)
    return [pair for gpu, handle in found for pair in ((gpu, handle), *_slices(api, gpu, handle))]


def _describe(api: Any, handle: Any, uuid: str, driver: dict[str, Any]) -> Gpu:
    name = _ask(api, "nvmlDeviceGetName", handle) or ""
    pci = _ask(api, "nvmlDeviceGetPciInfo", handle)
    capability = _ask(api, "nvmlDeviceGetCudaComputeCapability", handle)
    memory = _ask(api, "nvmlDeviceGetMemoryInfo", handle)
    mode = _ask(api, "nvmlDeviceGetMigMode", handle) or [0, 0]
    bus_id = _decode(pci.busId) if pci is not None else ""
    facts = {
        **driver,
        "pci_bus_id": bus_id,
        "compute_capability": ".".join(map(str, capability)) if capability else None,
        "memory_total_bytes": memory.total if memory is not None else None,
        "power_limit_default_w": _to_watt(
            _ask(api, "nvmlDeviceGetPowerManagementDefaultLimit", handle)
        ),
        "pcie_link_generation_max": _ask(api, "nvmlDeviceGetMaxPcieLinkGeneration", handle),
        "pcie_link_width_max": _ask(api, "nvmlDeviceGetMaxPcieLinkWidth", handle),
        "is_sliced": bool(mode[0]),
    }
    return Gpu(
        uuid=uuid,
        name=name,
        pci_bus_id=bus_id,
        is_sliced=bool(mode[0]),
        model=f"{name} {capability}",
        facts={key: value for key, value in facts.items() if value is not None},
    )


def _slices(api: Any, gpu: Gpu, handle: Any) -> Iterator[tuple[Gpu, Any]]:
    if not gpu.is_sliced:
        return
    for index in range(_ask(api, "nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        one = _ask(api, "nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        uuid = one and _ask(api, "nvmlDeviceGetUUID", one)
        if not uuid:
            continue
        memory = _ask(api, "nvmlDeviceGetMemoryInfo", one)
        attributes = _ask(api, "nvmlDeviceGetAttributes", one)
        instance = _ask(api, "nvmlDeviceGetGpuInstanceId", one)
        compute = _ask(api, "nvmlDeviceGetComputeInstanceId", one)
        facts = {
            "memory_total_bytes": memory.total if memory is not None else None,
            "multiprocessors": attributes.multiprocessorCount if attributes is not None else None,
            "gpu_instance": instance,
            "compute_instance": compute,
        }
        yield (
            Gpu(
                uuid=uuid,
                name=_name_slice(_ask(api, "nvmlDeviceGetName", one) or "", attributes, memory),
                pci_bus_id=gpu.pci_bus_id,
                parent=gpu.uuid,
                instance=instance,
                compute_instance=compute,
                facts={key: value for key, value in facts.items() if value is not None},
            ),
            one,
        )


def _name_slice(told: str, attributes: Any, memory: Any) -> str:
    """Return a slice's profile: ``1g.10gb``, or ``1c.3g.40gb`` for a part of an instance.

    Drivers put it behind the product's name and ``MIG``; very old ones tell the product only.
    """
    profile = told.rpartition("MIG ")[2] if "MIG " in told else ""
    if profile or attributes is None or memory is None:
        return profile or told
    slices = attributes.gpuInstanceSliceCount
    part = attributes.computeInstanceSliceCount
    gigabytes = round(attributes.memorySizeMB / 1024)
    whole = f"{slices}g.{gigabytes}gb"
    return whole if part == slices else f"{part}c.{whole}"


def _ask(api: Any, function: str, *arguments: Any) -> Any:
    """Return an answer, or None if there is none."""
    try:
        return getattr(api, function)(*arguments)
    except AttributeError:
        return None
    except api.NVMLError as error:
        if VERDICTS.get(error.value) is Verdict.GONE:
            raise make_gone("NVIDIA", str(error)) from None
        return None


def _to_watt(milliwatt: int | None) -> float | None:
    return None if milliwatt is None else milliwatt / 1000.0


def _decode(text: Any) -> str:
    return text.decode() if isinstance(text, bytes) else str(text)
